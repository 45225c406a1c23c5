"""Molecular dynamics of a batch: each row on its own path, with numbers, steps and conditions of its own."""
