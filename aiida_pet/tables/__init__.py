"""Rows and columns, conditions on them, and the catalogue of what each column is. Free of AiiDA and torch."""
