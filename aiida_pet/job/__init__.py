"""The contract between plugin and engine: the job's folder, its parameters, the checkpoint, what a row may be.

Nothing here imports torch or AiiDA.
"""
