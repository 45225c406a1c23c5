"""Training of PET by metatrain: labels, splits, options, and the job on the compute node. Free of AiiDA.

Only :mod:`~aiida_pet.training.run`, :mod:`~aiida_pet.training.checkpoints` and :mod:`~aiida_pet.training.evaluate` need
torch, and only where a job runs.
"""
