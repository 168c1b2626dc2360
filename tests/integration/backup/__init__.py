"""Saving the database, checking it, bringing it back."""
