"""The six proofs of readiness, one file each: whether it holds, and on what evidence, in one line."""
