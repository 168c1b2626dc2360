"""One entry of a list of recipients: a mailbox, another name for one, or whoever there may be.

What a person or a directory wrote is checked here, and here alone: :class:`relay.errors.Refused` says in one plain
line what it should be.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from relay.errors import Refused
from relay.mail import domain_of, normalise_domain
from relay.recipients.address import mailbox, written

EVERYONE = "*"
"""Stands before the @ of a catch-all."""
LONGEST = 80
"""Characters that are shown of what is no address."""


class Source(StrEnum):
    """Who says that a recipient exists; each keeps a list of its own."""

    OPERATOR = "operator"
    SYNC = "sync"


class Kind(StrEnum):
    """What a listed address is. Mail for each is taken; what becomes of it is the primary's business."""

    ADDRESS = "address"
    ALIAS = "alias"
    CATCH_ALL = "catch-all"


@dataclass(frozen=True, slots=True)
class Entry:
    """``local``: in the form of :func:`relay.recipients.address.mailbox`, ``*`` for a catch-all.

    ``target``: the address that an alias (or a catch-all, where that is known) stands for; else None.
    """

    local: str
    kind: Kind = Kind.ADDRESS
    target: str | None = None

    @classmethod
    def parse(cls, domain: str, text: str, target: str | None = None) -> Entry:
        """``info``, ``info@gold.example``, or ``*@gold.example`` for everyone. Raises Refused.

        ``domain``: the one whose list it is, normalised. ``target``: what it is an alias of, if that was said; without
        a domain it is at this one.
        """
        text = text.strip()
        local, at, other = text.rpartition("@")
        if not at:
            local = text
        elif other.lower() != domain and domain_of(text) != domain:
            raise Refused(f"{shown(text)} is not an address at {domain}")
        stands_for = _target(domain, target) if target else None
        try:
            known_as = mailbox(local) if local or not at else EVERYONE
        except ValueError:
            raise Refused(f"{shown(text)} should be an address such as info@{domain}") from None
        if known_as == EVERYONE:
            return cls(EVERYONE, Kind.CATCH_ALL, stands_for)
        return cls(known_as, Kind.ALIAS if stands_for else Kind.ADDRESS, stands_for)

    def address(self, domain: str) -> str:
        """As people write it."""
        return f"{EVERYONE}@{domain}" if self.kind is Kind.CATCH_ALL else written(self.local, domain)


def _target(domain: str, text: str) -> str:
    local, at, other = text.strip().rpartition("@")
    try:
        return written(mailbox(local), normalise_domain(other)) if at else written(mailbox(text.strip()), domain)
    except ValueError:
        raise Refused(f"{shown(text)} should be the address that an alias stands for") from None


def shown(text: str) -> str:
    """What is no address, in a sentence about it."""
    return repr(text if len(text) <= LONGEST else text[:LONGEST] + "…")
