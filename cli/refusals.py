"""Why mail was refused, in words for an operator: counted in one line, and what each reason means for the customer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

FEW = 5
"""Reasons that are told; the rest is summed."""
HIGH = 20
"""Mail put off for a reason of ours, in 24 hours, that ``doctor`` warns of."""

WORDS = {
    "bare-newline": ("bare CR or LF", "the sender's software is broken, and [smtp] bare_newline says to refuse it"),
    "busy": ("too much at once", "others had their turn; senders try again within minutes"),
    "client-rate": ("client too fast", "one client tried more in a minute than [limits] allows; it tries again"),
    "connections": ("too many connections", "senders try again later; more than a few: [smtp] max_connections"),
    "contract": ("contract over", "the Gold contract has ended; while an MX still names us senders try again"),
    "dnsbl": ("on a block list", "a list of [limits] dnsbl names the client; the sender was told so for good"),
    "domain-connections": ("too many for one domain", "so that others have their share; senders try again"),
    "domain-rate": ("domain too fast", "more came in a minute than [limits] allows the domain; senders try again"),
    "early-talker": ("spoke before the greeting", "no mail server does: robots, seldom a broken sender"),
    "errors": ("too many errors", "the session was ended: mostly robots that guess"),
    "etrn": ("ETRN refused", "somebody who isn't the primary asked for its mail"),
    "full": ("no room", "this node's disk is full; senders try again, mail is late"),
    "loop": ("mail loop", "the message had been here before: look at where the primary sends mail"),
    "memory": ("no memory left", "too much arrives at once for [smtp] memory; senders try again, mail is late"),
    "not-ours": ("not ours", "no Gold domain of that name: strangers' attempts, or a domain that was never added"),
    "primary-up": ("primary is up", "as the domain wants it: senders were told to deliver to the primary"),
    "proxy-header": ("no PROXY header", "a listed load balancer didn't say who the client is: mend its settings"),
    "quota": ("quota", "too much mail waits for the domain; senders try again, mail is late"),
    "recipients": ("too many recipients", "none is lost: senders send the message again for the rest"),
    "size": ("too large", "larger than this node or the primary takes; the sender was told so for good"),
    "smtputf8": ("SMTPUTF8", "the primary doesn't take such addresses; the sender was told so for good"),
    "syntax": ("bad commands", "the client doesn't speak SMTP properly: mostly robots"),
    "timeout": ("timed out", "the client was silent for too long; a real sender tries again"),
    "unavailable": (
        "not possible now",
        "mail couldn't be stored or judged for the moment; senders try again, mail is late",
    ),
    "unknown-recipient": (
        "unknown recipient",
        "nobody of that name is on the domain's list; the sender was told so for good",
    ),
    "unverified-recipient": ("not verified yet", "the primary couldn't say now whether they exist; senders try again"),
}
"""For each reason its name, and what it means; a reason that isn't here speaks for itself."""

OURS = {
    "quota": "drain what waits, or 'relayctl domain set {domain} --quota SIZE'",
    "full": "make room on the disk",
    "memory": "raise [smtp] memory, if this machine has it",
    "unavailable": "look for faults in the log; a list of recipients that is empty does it too",
    "busy": "is it a flood? relay_refused_total and the log say from where",
}
"""Reasons of our own for which mail is put off, and what to do about them."""


def facts(counts: Mapping[str, int]) -> list[dict[str, Any]]:
    """Refusals by reason as JSON, in their order."""
    return [{"reason": reason, "count": count} for reason, count in counts.items()]


def line(counts: Mapping[str, int]) -> str:
    """The most frequent reasons: ``unknown recipient 1 204 · quota 31``; empty where there were none."""
    told = [f"{name(reason)} {_figure(count)}" for reason, count in list(counts.items())[:FEW]]
    if rest := sum(list(counts.values())[FEW:]):
        told.append(f"others {_figure(rest)}")
    return " · ".join(told)


def meanings(counts: Mapping[str, int]) -> list[str]:
    """What these reasons mean, a line each."""
    return [f"{name(reason)}: {WORDS[reason][1]}" for reason in list(counts)[:FEW] if reason in WORDS]


def ours(counts: Mapping[str, int]) -> dict[str, int]:
    """Those for which mail was put off for reasons of our own, where they stand high; else nothing."""
    found = {reason: count for reason, count in counts.items() if reason in OURS}
    return found if sum(found.values()) >= HIGH else {}


def name(reason: str) -> str:
    return WORDS[reason][0] if reason in WORDS else reason.replace("-", " ")


def _figure(count: int) -> str:
    return f"{count:,}".replace(",", " ")
