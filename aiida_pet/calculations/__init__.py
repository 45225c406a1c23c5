"""Jobs of the engine, and the calcfunctions between their nodes."""
