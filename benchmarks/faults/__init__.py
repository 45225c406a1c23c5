"""Experiments on what breaks: campaigns with faults injected over SLURM, and one killed in the middle."""
