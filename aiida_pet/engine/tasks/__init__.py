"""What the engine does with crystals: static, relax, phonons, elastic."""
