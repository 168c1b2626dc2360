"""What became of mail is reported to those senders who exist."""
