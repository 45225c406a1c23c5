"""The physics of crystals without torch: validity, symmetry, phonons, elasticity."""
