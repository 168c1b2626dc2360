"""Appliances, their Gold domains, and what is known of them: each fact written by one room, read by all."""
