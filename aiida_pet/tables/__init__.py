"""What a table of crystals holds: the catalogue of columns and the codes of warnings. Free of AiiDA and torch."""
