"""Who is out: the connections of one drain, on their way, at work, or going home.

Counts them, all together and for each host, gives each a place, and knows which of them take the newest mail first.
Decides nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable

from relay.delivery.courier import Courier
from relay.delivery.host import Host
from relay.delivery.route import Hops

NEWEST = 4
"""One connection in so many takes the newest mail first; of fewer connections one message in so many."""


class Roster:
    """``hops``: whose hosts have the connections."""

    def __init__(self, hops: Hops) -> None:
        self._hops = hops
        self._couriers: dict[asyncio.Task[None], Courier] = {}
        self._leaving = 0
        self._lanes = 0  # of those who don't leave
        self._silent: list[Host] = []  # in whose place others could have the mail

    def __len__(self) -> int:
        return len(self._couriers)

    @property
    def couriers(self) -> Iterable[Courier]:
        return self._couriers.values()

    @property
    def under_way(self) -> list[tuple[asyncio.Task[None], Courier]]:
        """Those who have no session yet."""
        return [(task, courier) for task, courier in self._couriers.items() if not courier.connected]

    @property
    def counted(self) -> int:
        """Connections that count for the limit: those who wait for a silent host are in nobody's way."""
        return len(self._couriers) - sum(host.connections for host in self._silent)

    @property
    def overdue(self) -> int:
        """Messages that silent hosts have."""
        return sum(host.in_hand for host in self._silent)

    @property
    def staying(self) -> int:
        """Of these, those that don't go home just now."""
        return self.counted - self._leaving

    def slot(self) -> int:
        """The first place that nobody has."""
        taken = {courier.slot for courier in self._couriers.values()}
        return next(slot for slot in range(len(taken) + 1) if slot not in taken)

    def takes_newest(self, courier: Courier, turn: int) -> bool:
        """Whether its next message, the drain's in this turn, is to be the newest."""
        return takes_newest(courier.slot, self._lanes, turn)

    def send(self, courier: Courier, back: Callable[[asyncio.Task[None]], None]) -> None:
        """It sets out; ``back`` is called when it has come home."""
        self._hops.host(courier.primary).connections += 1
        self._lanes += is_lane(courier.slot)
        task = asyncio.create_task(courier.run())
        self._couriers[task] = courier
        task.add_done_callback(back)

    def leaves(self, courier: Courier) -> None:
        """It takes nothing more."""
        courier.leaving = True
        self._leaving += 1
        self._hops.host(courier.primary).leaving += 1
        self._lanes -= is_lane(courier.slot)

    def back(self, task: asyncio.Task[None]) -> Courier:
        """It has come home."""
        courier = self._couriers.pop(task)
        host = self._hops.host(courier.primary)
        host.connections -= 1
        if courier.leaving:
            self._leaving -= 1
            host.leaving -= 1
        else:
            self._lanes -= is_lane(courier.slot)
        return courier

    def look_for_silence(self, now: float) -> None:
        """Find anew which hosts have ceased to answer, while another could have the mail."""
        self._silent = [host for host in self._hops.hosts if host.silent(now) and self._hops.replaceable(host.primary)]


def is_lane(slot: int) -> bool:
    """Whether a connection in this place is a lane for the newest mail: each fourth is."""
    return slot % NEWEST == NEWEST - 1


def takes_newest(slot: int, lanes: int, turn: int) -> bool:
    """Whether a connection in this place takes the newest mail in this turn of the drain. ``lanes``: how many there are
    for it; where there is none, every fourth message is the newest."""
    return is_lane(slot) if lanes else turn % NEWEST == NEWEST - 1
