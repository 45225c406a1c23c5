"""Crystals side by side in tensors, their neighbours, and what is computed for them."""
