"""What all drains of a node share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from relay.appliances.evidence import Evidence
from relay.clock import Clock
from relay.db import Database
from relay.delivery.flaws import Flaws
from relay.delivery.greylisting import Appointments
from relay.delivery.memory import Memory
from relay.delivery.poison import InFlight
from relay.mail import Reply
from relay.queue.queue import Queue
from relay.settings import Settings


@dataclass(slots=True)
class Means:
    """``settings`` may be replaced, and hold for connections opened from then on. ``owns``: whether work for an
    appliance may be begun. ``breakdowns``: of this program, by number of message. ``heard``: told what a primary in its
    right mind answered to RCPT for an address. ``flaws``: what primaries offer and can't do; ``appointments``: whom a
    primary has greylisted."""

    settings: Settings
    db: Database
    queue: Queue
    evidence: Evidence
    clock: Clock
    owns: Callable[[int], bool]
    in_flight: InFlight
    breakdowns: dict[int, int]
    memory: Memory
    heard: Callable[[str, Reply], None]
    flaws: Flaws
    appointments: Appointments
