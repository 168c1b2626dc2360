"""What all sessions of a node share."""

from __future__ import annotations

import asyncio
import itertools
import ssl
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from relay.clock import Clock
from relay.edge.admission import Admission
from relay.edge.etrn import Etrn
from relay.edge.limits import Connections, Memory
from relay.edge.shares import Shares
from relay.edge.tally import Tally
from relay.edge.visitor import Visitors
from relay.networks import Networks
from relay.queue.queue import Queue
from relay.settings import Smtp

if TYPE_CHECKING:
    from relay.edge.entrance import Entrance


@dataclass(slots=True, eq=False)
class Shared:
    """``smtp``, ``proxies``, ``askers`` (by ETRN) and ``tls`` are as they are now; no ``tls``: STARTTLS isn't offered.
    ``counter``: numbers our transactions."""

    smtp: Smtp
    hostname: str
    admission: Admission
    queue: Queue
    clock: Clock
    connections: Connections
    memory: Memory
    shares: Shares
    visitors: Visitors
    etrn: Etrn
    tally: Tally
    proxies: Networks = field(default_factory=lambda: Networks(()))
    askers: Networks = field(default_factory=lambda: Networks(()))
    tls: ssl.SSLContext | None = None
    sessions: set[Entrance] = field(default_factory=set)
    empty: asyncio.Event = field(default_factory=asyncio.Event)
    counter: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    def __post_init__(self) -> None:
        self.empty.set()

    def enter(self, session: Entrance) -> None:
        self.sessions.add(session)
        self.empty.clear()

    def leave(self, session: Entrance) -> None:
        """``empty`` is set while no session is left."""
        self.sessions.discard(session)
        if not self.sessions:
            self.empty.set()
