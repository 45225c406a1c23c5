"""Strains, fits of stress against strain, and moduli."""
