"""What an appliance and a Gold domain are: frozen values, their choices, and the checks of what a person typed.

A *primary* is a host of the appliance; an appliance without fixed primaries is found by MX. Durations are seconds,
sizes bytes, times POSIX seconds.
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from enum import StrEnum

from relay.mail import normalise_domain
from relay.tls import Policy

DEFAULT_LIFETIME = 14 * 86400
DEFAULT_QUOTA = 10 * 1000**3
DEFAULT_PLUS = "+"
GOLD_PLAN = "gold"
"""The support plan that is built in."""
PLUS = frozenset("+-_=#~/*&^|{}$?'`")
"""What may begin an extension: any that may stand in an address, but dots, and what the edge refuses (%, !)."""


class Activation(StrEnum):
    """When the relay may take over by itself."""

    OFF_HOURS = "off-hours"
    ALWAYS = "always"
    MANUAL = "manual"


class RecipientPolicy(StrEnum):
    """Which recipients of a domain are taken."""

    ANY = "any"
    LISTED = "listed"
    LEARNED = "learned"


class NeverSeen(StrEnum):
    """What a learned domain does with recipients that nothing is known of, while the primary can't be asked."""

    ACCEPT = "accept"
    DEFER = "defer"
    REJECT = "reject"


class WhenUp(StrEnum):
    """What the edge does while the primary is proven up."""

    RELAY = "relay"
    DEFER = "defer"


@dataclass(frozen=True, slots=True)
class Primary:
    """One endpoint of an appliance."""

    host: str
    port: int = 25

    @classmethod
    def parse(cls, text: str) -> Primary:
        """``mail.acme.example``, ``192.0.2.25:2525``, ``[2001:db8::25]:25``. Raises ValueError with a sentence."""
        match = re.fullmatch(
            r"(?:\[([0-9A-Fa-f:.]+)\]|([^\s:\[\]]+)|([0-9A-Fa-f:.]+:[0-9A-Fa-f:.]*))(?::(\d{1,5}))?", text.strip()
        )
        if not match or (match[4] is not None and not 0 < int(match[4]) < 65536):
            raise ValueError(f"{text!r} should be a host, or host:port")
        host = match[1] or match[2] or match[3]
        try:
            host = str(ipaddress.ip_address(host))
        except ValueError:
            if match[1] or match[3]:
                raise ValueError(f"{text!r} should be a host, or host:port") from None
            host = normalise_domain(host)
        return cls(host, int(match[4] or 25))

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Appliance:
    """A customer's own mail system. ``primaries``, most preferred first, is empty for ``--primary mx``; ``plan``: of
    support; ``backup_every``: seconds after which its last backup is too old (0: nobody asks).

    ``max_connections``: so many at once for a drain, None for the node's setting; ``max_rate``: so many messages a
    second, None for any number. ``tls``: how its primaries are spoken to, None for the node's setting.
    """

    id: int
    name: str
    customer: str
    primaries: tuple[Primary, ...]
    business_hours: str
    timezone: str
    holidays: str
    activation: Activation
    contacts: tuple[str, ...]
    hidden: bool
    skip_proofs: tuple[str, ...]
    created_at: float
    plan: str = GOLD_PLAN
    backup_every: int = 0
    max_connections: int | None = None
    max_rate: float | None = None
    tls: Policy | None = None


@dataclass(frozen=True, slots=True)
class Domain:
    """A Gold domain. ``lifetime``: seconds a message may wait; ``quota``: bytes that may, ``quota_messages``: messages
    (0: any number); ``until``: the contract's last day.

    ``plus_addressing``: the characters of which each begins an extension (``info+shop``); empty for none.
    """

    id: int
    name: str
    appliance_id: int
    recipients: RecipientPolicy
    when_up: WhenUp
    lifetime: int
    quota: int
    until: date | None
    created_at: float
    quota_messages: int = 0
    never_seen: NeverSeen = NeverSeen.ACCEPT
    plus_addressing: str = DEFAULT_PLUS

    @property
    def ends_at(self) -> float | None:
        """The end of the contract's last day, in UTC; None: it has no end."""
        if self.until is None:
            return None
        return (datetime(self.until.year, self.until.month, self.until.day, tzinfo=UTC) + timedelta(days=1)).timestamp()

    def contract_runs(self, now: float) -> bool:
        """True to the end of the contract's last day."""
        return self.ends_at is None or now < self.ends_at


def parse_plus(text: str) -> str:
    """The characters that begin an extension, such as ``+`` or ``+-``; none of ``none``. Raises ValueError."""
    if text == "none":
        return ""
    if not PLUS.issuperset(text):
        raise ValueError(f"{text!r} should be characters such as + or +-, or none")
    return "".join(dict.fromkeys(text))
