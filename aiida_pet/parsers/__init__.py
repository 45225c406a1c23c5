"""From retrieved files to nodes."""
