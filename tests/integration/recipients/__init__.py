"""Recipients from real directories."""
