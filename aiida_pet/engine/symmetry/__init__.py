"""Symmetry of an unconstrained model: projection onto a group, averages over a group or over O(3)."""
