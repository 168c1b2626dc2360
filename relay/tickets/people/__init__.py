"""People: who is told of a ticket, what, and when; each message at least once, in order for each ticket and person."""
