"""Helpers for tests of plugins that use aiida-pet: a stand-in engine, crystals, models, fixtures.

``pytest_plugins = ["aiida.tools.pytest_fixtures", "aiida_pet.testing.fixtures"]`` in a ``conftest.py`` is enough; see
``docs/dev/testing.md``.
"""
