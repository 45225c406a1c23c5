"""aiida-pet: screen crystals with the PET machine-learned interatomic potential through AiiDA.

Imports go one way. Without AiiDA: :mod:`aiida_pet.tables`, :mod:`aiida_pet.job`, :mod:`aiida_pet.crystals`,
:mod:`aiida_pet.io`, :mod:`aiida_pet.analysis`, and :mod:`aiida_pet.engine`, which runs on the compute node and alone
needs torch. Above them :mod:`aiida_pet.data`, :mod:`aiida_pet.computers`, :mod:`aiida_pet.calculations`,
:mod:`aiida_pet.parsers`, :mod:`aiida_pet.workchains`, :mod:`aiida_pet.campaigns` and :mod:`aiida_pet.cli`. Importing
``aiida_pet`` needs neither torch nor a profile; ``tests/test_layers.py`` has the table of who may import whom.
"""

__version__ = "0.1.0"
