"""What runs on the compute node: torch and PET, and nothing of AiiDA.

The contract with the AiiDA side is :mod:`aiida_pet.job` and :mod:`aiida_pet.tables`, which import without torch.
"""
