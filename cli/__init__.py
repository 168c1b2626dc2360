"""relayctl: one file a noun."""
