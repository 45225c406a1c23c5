"""What is known of launches: progress, rows, comparisons, provenance."""
