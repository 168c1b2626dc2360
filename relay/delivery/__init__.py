"""Mail goes out."""
