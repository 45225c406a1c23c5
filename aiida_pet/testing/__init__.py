"""What tests of plugins need that stand on this one: an engine that stands in, crystals, models, fixtures.

``pytest_plugins = ["aiida.tools.pytest_fixtures", "aiida_pet.testing.fixtures"]`` in a ``conftest.py`` is enough; see
``docs/dev/testing.md``.
"""
