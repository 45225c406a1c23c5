"""Supercells, displacements, force constants and what follows from them."""
