"""The quasi-harmonic approximation: free energies over volumes, what they say, and mode Grueneisen parameters."""
