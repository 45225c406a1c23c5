"""Convex hulls of compositions, references and levels of theory."""
