"""WorkChains: what is computed from what, in which order, and what happens when something fails.

The package is imported as ``aiida_pet.workchains``.
"""
