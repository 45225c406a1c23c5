"""aiida-pet: screen crystals with the PET machine-learned interatomic potential through AiiDA.

Layers, each importing only those before it: :mod:`aiida_pet.engine` (runs on the compute node; no AiiDA),
:mod:`aiida_pet.data`, :mod:`aiida_pet.calculations` and :mod:`aiida_pet.parsers`, :mod:`aiida_pet.workchains`,
:mod:`aiida_pet.cli`. Importing ``aiida_pet`` needs neither torch nor a profile.
"""

__version__ = "0.1.0"
