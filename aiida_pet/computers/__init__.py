"""Clusters and the machine at hand: resources, checks, the store of models."""
