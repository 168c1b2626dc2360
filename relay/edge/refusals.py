"""Replies that end or refuse something: on the line, in the log, and in the metrics."""

from __future__ import annotations

from collections.abc import Sequence

from relay import events
from relay.mail import Reply

LATE = Reply(421, "4.4.2", "Timeout, closing the connection")
TIRED = Reply(421, "4.7.0", "Too many commands without a message, closing the connection")
STOPPED = Reply(421, "4.3.2", "Shutting down")
NO_HEADER = Reply(421, "4.3.5", "A PROXY header should come first, closing the connection")
FAULT = Reply(451, "4.3.0", "Something went wrong here, try again later")
BROKEN = Reply(421, "4.3.0", "Something went wrong here, closing the connection")

REASONS = {
    "421 4.3.2": "connections",
    "421 4.3.5": "proxy-header",
    "421 4.4.2": "timeout",
    "421 4.7.0": "connections",
    "450 4.1.1": "unverified-recipient",
    "450 4.2.2": "quota",
    "451 4.3.0": "unavailable",
    "451 4.3.2": "primary-up",
    "451 4.4.5": "busy",
    "451 4.7.1": "contract",
    "452 4.3.1": "full",
    "452 4.5.3": "recipients",
    "459 4.7.1": "etrn",
    "550 5.1.1": "unknown-recipient",
    "550 5.1.2": "contract",
    "550 5.6.7": "smtputf8",
    "550 5.6.11": "bare-newline",
    "550 5.7.1": "not-ours",
    "552 5.3.4": "size",
    "554 5.4.6": "loop",
}
"""The word for a reply, as a label of the metrics; any other is ``syntax``. A refusal may bring a word of its own:
``client-rate``, ``domain-rate``, ``domain-connections``, ``drained``, ``early-talker``, ``dnsbl``, ``errors``,
``memory``."""

DETAIL_LIMIT = 300


def line(reply: Reply) -> bytes:
    """``reply`` as it goes over the line."""
    return f"{reply}\r\n".encode("ascii", "replace")


def note(reply: Reply, client: str, domains: Sequence[str], said: bytes, sender: str | None, reason: str = "") -> str:
    """A client was refused; returns the word for why. ``domains``: the Gold domains that it is about; ``said``: the
    command; ``sender``: whose; ``reason``: the word for it, where REASONS doesn't have it.

    What strangers said is made safe to look at.
    """
    detail = said[:DETAIL_LIMIT].decode("utf-8", "replace")
    if sender is not None and said[:4].upper() != b"MAIL":
        detail += f" from <{sender[:DETAIL_LIMIT]}>"
    shown = "".join(character if character.isprintable() else "?" for character in detail)
    word = reason or REASONS.get(f"{reply.code} {reply.enhanced}", "syntax")
    events.refused(word, reply, client=client, domains=domains, detail=shown)
    return word
