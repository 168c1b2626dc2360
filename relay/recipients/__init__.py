"""Who exists at a domain."""
