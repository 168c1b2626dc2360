"""DNS lists of addresses that mail is not taken from (RFC 5782): asked when a client comes, known by its first RCPT.

Promises: fails open. A list that gives no answer, none in time, or one that makes no sense keeps no mail away; one
that is silent several times in a row, or says that it doesn't serve us, is left alone for a while. What is known of
an address is kept for as long as the lists say, within bounds; no flood of addresses asks or remembers without end.
"""

from __future__ import annotations

import asyncio
import ipaddress
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from relay import events
from relay.clock import Clock
from relay.dns import Resolver
from relay.errors import LookupFailed
from relay.values import parse_blocklist

WAIT = 2.0
"""Seconds that a client waits at RCPT for what the lists say of it."""
SHORTEST, LONGEST = 60.0, 3600.0
"""Bounds of the seconds for which an answer is kept; that there was none, and of an address on no list, SHORTEST."""
KEPT = 50_000
"""Addresses of which the answer is kept."""
ASKING = 200
"""Addresses that are asked about at a time; those beyond it are taken unasked."""
FAILURES = 5
"""Failures in a row after which a list is left alone."""
ALONE = 300.0
"""Seconds for which it is."""

_TEST_NET = ipaddress.IPv4Network("127.0.0.0/8")  # every answer that means anything is in it (RFC 5782 2.1)
_REFUSALS = ipaddress.IPv4Network("127.255.255.0/24")  # what lists answer to those that they don't serve


class Answer(StrEnum):
    """What one list says of one address."""

    CLEAR = "clear"
    LISTED = "listed"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class Zone:
    """One list. ``answers``: the addresses that count, as ranges of numbers; empty: every one that means 'listed'."""

    name: str
    answers: tuple[tuple[int, int], ...] = ()

    def question(self, ip: str) -> str:
        """The name to look up: the address backwards, by numbers or by nibbles, in front of the zone."""
        backwards = ipaddress.ip_address(ip).reverse_pointer
        return f"{backwards.removesuffix('.in-addr.arpa').removesuffix('.ip6.arpa')}.{self.name}"

    def read(self, answer: Sequence[str]) -> Answer:
        """What the addresses mean that the name has."""
        found = [ipaddress.IPv4Address(address) for address in answer]
        if any(address not in _TEST_NET or address in _REFUSALS for address in found):
            return Answer.REFUSED  # outside of 127/8: the domain has been given up, and answers whatever is asked
        listed = any(
            any(first <= int(address) <= last for first, last in self.answers)
            if self.answers
            else int(address) != int(_TEST_NET[1])  # 127.0.0.1 stands on no list (RFC 5782 5); some say 'no' with it
            for address in found
        )
        return Answer.LISTED if listed else Answer.CLEAR


class Source:
    """A list as it has behaved lately."""

    __slots__ = ("_failures", "_until", "zone")

    def __init__(self, zone: Zone) -> None:
        self.zone = zone
        self._failures = 0
        self._until = float("-inf")

    def may_be_asked(self, now: float) -> bool:
        return now >= self._until

    def answered(self) -> None:
        self._failures = 0

    def failed(self, now: float) -> bool:
        """Count a failure; True where it is left alone from now on."""
        self._failures += 1
        return self._failures >= FAILURES and self.refused(now)

    def refused(self, now: float) -> bool:
        """It doesn't serve us: leave it alone. True where it wasn't already."""
        anew = self.may_be_asked(now)
        self._failures = 0
        self._until = now + ALONE
        return anew


class Blocklists:
    """The lists of a node. ``zones``: as in [limits] dnsbl."""

    def __init__(self, resolver: Resolver, clock: Clock, zones: Sequence[str]) -> None:
        self._resolver = resolver
        self._clock = clock
        self._sources: tuple[Source, ...] = ()
        self._known: OrderedDict[str, tuple[str, float]] = OrderedDict()  # the zone that lists it; good until
        self._asking: dict[str, asyncio.Task[None]] = {}
        self._set: tuple[str, ...] = ()
        self.reconfigure(zones)

    def reconfigure(self, zones: Sequence[str]) -> None:
        """Ask these from now on; what is known stays where they are the same."""
        if tuple(zones) != self._set:
            self.close()
            self._known.clear()
            self._set = tuple(zones)
            self._sources = tuple(Source(Zone(*parse_blocklist(zone))) for zone in zones)

    def close(self) -> None:
        """Ask no more; whoever waits goes on without an answer."""
        for task in self._asking.values():
            task.cancel()

    def ask(self, ip: str) -> None:
        """Begin to look an address up, unless that is known."""
        if not self._sources or ip in self._asking or self._knows(ip) is not None:
            return
        if len(self._asking) >= ASKING:
            events.blocklist_asked("", "busy")
            return
        self._asking[ip] = task = asyncio.get_running_loop().create_task(self._look_up(ip))
        task.add_done_callback(lambda _: self._asking.pop(ip))

    async def listed(self, ip: str) -> str:
        """The list that an address is on; empty: on none, as far as is known in time."""
        if not self._sources:
            return ""
        self.ask(ip)
        task = self._asking.get(ip)
        if task is not None:
            _, late = await asyncio.wait((task,), timeout=WAIT)
            if late:
                events.blocklist_asked("", "late")
        return self._knows(ip) or ""

    def _knows(self, ip: str) -> str | None:
        zone, until = self._known.get(ip, ("", float("-inf")))
        return zone if self._clock.monotonic() < until else None

    async def _look_up(self, ip: str) -> None:
        try:
            listed, life = await self._ask_all(ip)
        except Exception as error:
            events.fault("dnsbl", error)
            listed, life = "", 0.0
        self._known[ip] = listed, self._clock.monotonic() + min(max(life, SHORTEST), LONGEST)
        self._known.move_to_end(ip)
        if len(self._known) > KEPT:
            self._known.popitem(last=False)

    async def _ask_all(self, ip: str) -> tuple[str, float]:
        """Ask all lists at once; the first that lists the address will do, and for how long."""
        now = self._clock.monotonic()
        asked = {asyncio.ensure_future(self._ask(one, ip)) for one in self._sources if one.may_be_asked(now)}
        try:
            while asked:
                done, asked = await asyncio.wait(asked, return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    zone, life = task.result()
                    if zone:
                        return zone, life
            return "", 0.0
        finally:
            for task in asked:
                task.cancel()

    async def _ask(self, source: Source, ip: str) -> tuple[str, float]:
        """The zone's name if the address is on it, else nothing; and for how long that holds."""
        zone = source.zone
        try:
            addresses, life = await self._resolver.listing(zone.question(ip))
        except LookupFailed as error:
            events.blocklist_asked(zone.name, "failed")
            if source.failed(self._clock.monotonic()):
                events.blocklist_left_alone(zone.name, str(error))
            return "", 0.0
        answer = zone.read(addresses)
        events.blocklist_asked(zone.name, answer)
        if answer is Answer.REFUSED:
            if source.refused(self._clock.monotonic()):
                events.blocklist_left_alone(zone.name, f"it answers {', '.join(addresses)}: it doesn't serve us")
            return "", 0.0
        source.answered()
        return (zone.name, life) if answer is Answer.LISTED else ("", 0.0)
