"""The client's side of SMTP, used by the drain, by probes and by proofs."""
