"""The relay's own database: saved while the node runs, checked, and brought back, here or elsewhere."""
