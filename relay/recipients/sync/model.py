"""A customer's directory as it is set, and how its sync stands: frozen values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from relay.recipients.sync.url import LdapUrl

DEFAULT_EVERY = 3600
SHORTEST_EVERY = 60


class Tls(StrEnum):
    """How ldap:// is spoken. (ldaps:// is always encrypted.)"""

    STARTTLS = "starttls"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class CustomerDirectory:
    """``urls``: tried in turn until one answers. ``password_file``: read at each sync, never kept. ``ca_file``: whose
    certificates are believed; empty: those that the system believes. ``every``: seconds."""

    appliance_id: int
    urls: tuple[LdapUrl, ...]
    user: str = ""
    password_file: str = ""
    tls: Tls = Tls.STARTTLS
    ca_file: str = ""
    every: int = DEFAULT_EVERY

    @property
    def name(self) -> str:
        """Its hosts, for people."""
        return ", ".join(dict.fromkeys(url.host for url in self.urls))

    @property
    def readable(self) -> bool:
        """Whether a password would travel unencrypted over a network."""
        plain = (url.host for url in self.urls if not url.secure and self.tls is Tls.NONE)
        return bool(self.user) and not all(map(_loopback, plain))


@dataclass(frozen=True, slots=True)
class Taken:
    """A list that the sync has brought: how many addresses, and when they were last confirmed."""

    count: int
    at: float


@dataclass(frozen=True, slots=True)
class Loss:
    """A list that would lose too much: how many addresses it has, and how many of those were found this time."""

    had: int
    found: int


@dataclass(frozen=True, slots=True)
class SyncState:
    """Times are POSIX seconds, None: never. ``tried_at``: the last sync; ``ok_at``: the last that was answered in full;
    ``failing_since``: the first of ``failures`` in a row, the last of them with ``error``. ``lists`` and ``losses``
    (what waits for a word): by domain."""

    tried_at: float | None = None
    ok_at: float | None = None
    failing_since: float | None = None
    failures: int = 0
    error: str = ""
    lists: Mapping[str, Taken] = field(default_factory=dict)
    losses: Mapping[str, Loss] = field(default_factory=dict)

    @property
    def addresses(self) -> int:
        """In all lists."""
        return sum(taken.count for taken in self.lists.values())


def _loopback(host: str) -> bool:
    return host in ("localhost", "::1") or host.startswith("127.")
