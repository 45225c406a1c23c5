"""Clusters and the machine at hand: resources, set-up, checks, daemon and broker, repair, the store of models."""
