"""Equations of state: energies over volumes, what they say, and how two of them differ."""
