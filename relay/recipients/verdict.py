"""What is known of a recipient, in a word."""

from __future__ import annotations

from enum import StrEnum


class Verdict(StrEnum):
    """What is known of a recipient."""

    TAKEN = "taken"
    UNKNOWN = "unknown"
    UNDECIDED = "undecided"
    """The list that would tell isn't there yet."""
    UNVERIFIED = "unverified"
    """The primary couldn't be asked yet, or its answer can't be relied on."""
