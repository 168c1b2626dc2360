"""What this node owns, for how long that may be relied on, and what of it is on its way to others.

What is given away isn't owned from that moment on, though its row is still ours until it is at rest. The lease's
thread and the event loop both change this, one change at a time; neither the database nor anybody else is told here.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field

from relay.clock import Clock
from relay.cluster.lease import View
from relay.cluster.observer import Timing
from relay.cluster.spread import Peer, adopt, portion, shed, surplus


@dataclass(frozen=True, slots=True)
class _Lease:
    """What we own (epochs by appliance id), and until when that may be relied on (monotonic seconds)."""

    owned: dict[int, int] = field(default_factory=dict)
    valid_until: float = float("-inf")


@dataclass(frozen=True, slots=True)
class Change:
    """What a renewal has changed: what we own, what of that is on its way; ``lost``: how much was taken from us."""

    owned: bool
    leaving: bool
    lost: int


class Holdings:
    """Of the node of that name."""

    def __init__(self, name: str, clock: Clock, timing: Timing) -> None:
        self.peers: tuple[Peer, ...] = ()
        """The nodes that live, this one too, as of the last renewal."""
        self._name = name
        self._clock = clock
        self._timing = timing
        self._lease = _Lease()
        self._leaving: dict[int, str] = {}  # what is being handed over, and to whom; replaced whole
        self._ready: set[int] = set()  # what of it is at rest
        self._guard = threading.Lock()  # of these three, which thread and loop both change

    @property
    def epochs(self) -> Mapping[int, int]:
        """Of what is ours by the database, by appliance id."""
        return self._lease.owned

    @property
    def leaving(self) -> Mapping[int, str]:
        """To whom what is being handed over goes."""
        return self._leaving

    @property
    def lapsed(self) -> bool:
        """Whether the last renewal is too old to rely on anything."""
        return self._lease.valid_until <= self._clock.monotonic()

    def owns(self, appliance_id: int) -> bool:
        """Whether this node may begin work for an appliance now."""
        held = self._lease
        return (
            appliance_id in held.owned
            and appliance_id not in self._leaving
            and self._clock.monotonic() < held.valid_until
        )

    def give(self, appliance_id: int, to: Collection[str]) -> str | None:
        """Say of what is ours that it goes to one of those: to whom; None where none of them lives, or it isn't."""
        chosen = adopt([appliance_id], [peer for peer in self.peers if peer.name in to], {}).get(appliance_id)
        with self._guard:
            if chosen is None or appliance_id not in self._lease.owned:
                return None
            self._leaving = {**self._leaving, appliance_id: chosen}
        return chosen

    def rest(self, ready: Collection[int]) -> None:
        """Nobody is busy any more with these of what is leaving."""
        with self._guard:
            self._ready = set(ready)

    def ready(self) -> dict[int, tuple[int, str]]:
        """What can be handed over now: its epoch, and to whom."""
        with self._guard:
            owned = self._lease.owned
            return {one: (owned[one], self._leaving[one]) for one in self._ready & self._leaving.keys() & owned.keys()}

    def take(self, view: View, began: float, busy: Callable[[int], bool] | None) -> Change:
        """What we own from now on, by a look that ``began`` then, and what of it has to go.

        ``busy``: whether something for an appliance is under way; None: there is nobody yet to hand anything over.
        """
        with self._guard:
            before, handing = self._lease.owned, self._leaving
            self.peers = view.peers
            leaving = {number: to for number, to in handing.items() if number in view.owned and to in view.alive}
            if busy is not None:
                leaving |= self._too_many(view, leaving, busy)
            self._leaving, self._ready = leaving, set()  # what was at rest may have been begun since
            self._lease = _Lease(view.owned, began + self._timing.dead_after - self._timing.margin)
        lost = len(before.keys() - view.owned.keys() - handing.keys() - view.gone)
        return Change(view.owned != before, leaving != handing, lost)

    def drop(self) -> None:
        """Own nothing any more."""
        self._lease, self._leaving = _Lease(), {}

    def _too_many(self, view: View, leaving: Mapping[int, str], busy: Callable[[int], bool]) -> dict[int, str]:
        """What others should have of ours, a portion of it."""
        given = surplus(self._name, view.peers)
        for to in leaving.values():
            given[to] = given.get(to, 0) - 1  # on its way already
        given = {to: count for to, count in given.items() if count > 0}
        limit = portion(sum(given.values()) + len(leaving), len(leaving))
        return shed([each for each in view.owned if each not in leaving], given, limit, view.avoid, busy)
