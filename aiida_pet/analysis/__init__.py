"""What is read off tables of results: convex hulls, and how results compare with references. No AiiDA, no torch."""
