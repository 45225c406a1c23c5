"""Space groups, operations and rotations of crystals."""
