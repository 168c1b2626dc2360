"""The address of a synthetic message: how a node proves to itself that mail for a domain comes all the way in.

``relay-proof-<time>-<HMAC>@domain``: the time in milliseconds, and what only a node of this cluster could have
computed from it and the domain, so that nobody else can make us write. An address serves for 60 seconds; that it
serves once is the queue's to ensure, by its local part, which is unique for each domain and millisecond. Pure.
"""

from __future__ import annotations

import hmac
import re

from relay.mail import domain_of

PREFIX = "relay-proof-"
LIFETIME = 60.0
"""Seconds for which an address serves."""
SKEW = 5.0
"""Seconds by which another node's clock may be ahead of ours."""

_DIGITS = 32  # 128 bits of the HMAC: with prefix and time 56 octets of the 64 that RFC 5321 4.5.3.1.1 allows
_LOCAL = re.compile(rf"{PREFIX}(?P<at>[0-9a-f]{{1,12}})-(?P<mac>[0-9a-f]{{{_DIGITS}}})")


def make(key: bytes, domain: str, at: float) -> str:
    """The address for ``domain`` made at ``at`` (POSIX seconds) with the cluster's ``key``; all in lower case."""
    milliseconds = int(at * 1000)
    domain = domain.lower()
    return f"{PREFIX}{milliseconds:x}-{_mac(key, domain, milliseconds)}@{domain}"


def is_proof(address: str) -> bool:
    """Whether an address claims to be one of these; cheap, and no proof of anything."""
    return address[: len(PREFIX)].lower() == PREFIX


def verify(key: bytes, address: str, now: float) -> bool:
    """Whether ``address`` was made with ``key`` for its domain within the last 60 seconds."""
    local, _, _ = address.rpartition("@")
    match = _LOCAL.fullmatch(local.lower())
    if match is None:
        return False
    milliseconds = int(match["at"], 16)
    if not -SKEW <= now - milliseconds / 1000 <= LIFETIME:
        return False
    return hmac.compare_digest(_mac(key, domain_of(address), milliseconds), match["mac"])


def _mac(key: bytes, domain: str, milliseconds: int) -> str:
    return hmac.digest(key, f"relay-proof\0{domain}\0{milliseconds}".encode(), "sha256").hex()[:_DIGITS]
