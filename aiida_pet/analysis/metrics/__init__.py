"""How results compare with references: the numbers that the field reports."""
