"""The contract between plugin and engine: the job's folder, its parameters, the checkpoint, what a row may be.

Nothing here imports AiiDA. Torch is imported by :mod:`~aiida_pet.job.checkpoint` alone, when it opens a checkpoint.
"""
