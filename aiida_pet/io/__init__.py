"""Crystals and tables in files of many formats, read and written without AiiDA."""
