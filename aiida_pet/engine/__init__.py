"""What runs on the compute node: crystals, torch and PET, and nothing of AiiDA.

:mod:`~aiida_pet.engine.table`, :mod:`~aiida_pet.engine.job`, :mod:`~aiida_pet.engine.parameters` and
:mod:`~aiida_pet.engine.checkpoint` are the contract with the AiiDA side and import without torch.
"""
