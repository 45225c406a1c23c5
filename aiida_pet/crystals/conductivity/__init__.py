"""Lattice thermal conductivity: displacements of second and third order, and transport with their forces."""
