"""ETRN: a primary that is back asks for its mail (RFC 1985).

Promises: nobody is told or helped but a host of the appliance itself (by address), and those that the settings name
(``[smtp] etrn_from``); for strangers every domain is one that they may not ask for. What is asked for is tried at once,
retry times included, as soon as the primary answers the probe that is made then; health, canary and ramp stay what
they are. What a stranger asks costs few look-ups and little time, however many domains lie below a name.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence

from relay import events
from relay.appliances.directory import Directory
from relay.appliances.model import Appliance, Domain
from relay.appliances.mx import Endpoints
from relay.appliances.pulse import Pulse
from relay.clock import Clock
from relay.errors import Deferred, EdgeError, LookupFailed, Rejected
from relay.mail import Reply, normalise_domain
from relay.networks import Networks
from relay.queue.queue import Queue

EVERY = 10.0
"""Seconds in which asking again for the same domain changes nothing."""
KEPT = 10_000
"""Domains for which the last time is remembered."""
MOST = 100
"""Appliances (domains, where each has hosts of its own) of which the hosts are looked up for one command. A name with
more than that below it is nobody's own: a top-level domain, say."""
WAIT = 10.0
"""Seconds that this may take."""


class Etrn:
    """One for each node. ``wake``: tells those who hand mail back that there is something to do for appliances."""

    def __init__(
        self,
        directory: Directory,
        endpoints: Endpoints,
        queue: Queue,
        pulse: Pulse,
        wake: Callable[[Iterable[int]], None],
        clock: Clock,
    ) -> None:
        self._directory = directory
        self._endpoints = endpoints
        self._queue = queue
        self._pulse = pulse
        self._wake = wake
        self._clock = clock
        self._asked: dict[str, float] = {}
        self._work: set[asyncio.Task[None]] = set()

    async def ask(self, argument: str, client: str, allowed: Networks) -> Reply:
        """The reply to ``client``, an address, which asks so; what follows is begun. Raises Rejected, Deferred."""
        await asyncio.sleep(0)  # whoever asks for much many times in a row lets others in between
        domains = self._named(argument)
        if client not in allowed:
            domains = await self._own(client, domains)
        if not domains:
            raise Deferred(459, "4.7.1", "Not for you: only the domain's own servers may ask for its mail")
        waiting = sum(self._queue.depth_of_domain(domain.name).queued for domain in domains)
        for domain in domains:
            self._begin(domain, client)
        if not waiting:
            return Reply(251, "2.0.0", "Ok, no messages wait")
        return Reply(253, "2.0.0", f"Ok, {waiting} pending messages started")

    def close(self) -> None:
        """Nothing more is begun."""
        for task in self._work:
            task.cancel()

    def _named(self, argument: str) -> list[Domain]:
        """The Gold domains that are asked for: one, or with an @ also those below it. Raises Rejected."""
        try:
            name = normalise_domain(argument.removeprefix("@"))
        except ValueError:
            raise Rejected(501, "5.5.4", "Syntax: ETRN domain, or ETRN @domain for those below it too") from None
        domain = self._directory.domain(name)
        found = [domain] if domain is not None else []
        if argument.startswith("@"):
            found += [one for other, one in self._directory.snapshot.domains.items() if other.endswith(f".{name}")]
        return found

    async def _own(self, client: str, domains: Sequence[Domain]) -> list[Domain]:
        """Those whose appliance ``client`` is a host of, as far as that is known in time."""
        groups: dict[tuple[int, str], tuple[Appliance, list[Domain]]] = {}
        for domain in domains:
            if (appliance := self._directory.appliance(domain.appliance_id)) is not None:
                # Fixed primaries are the same for all domains; by MX records each may have its own.
                key = appliance.id, "" if appliance.primaries else domain.name
                groups.setdefault(key, (appliance, []))[1].append(domain)
        own: list[Domain] = []
        if len(groups) <= MOST:
            try:
                async with asyncio.timeout(WAIT):
                    for appliance, group in groups.values():
                        if await self._is_host(client, appliance, group[0].name):
                            own += group
            except TimeoutError:
                pass  # who isn't known by now may ask again
        return own

    async def _is_host(self, client: str, appliance: Appliance, domain: str) -> bool:
        route = await self._endpoints.of(appliance, domain)
        for primary in route.primaries:
            try:
                if client in await self._endpoints.addresses(primary):
                    return True
            except LookupFailed:
                pass  # another of its hosts may be known
        return False

    def _begin(self, domain: Domain, client: str) -> None:
        now = self._clock.monotonic()
        if now - self._asked.get(domain.name, float("-inf")) < EVERY:
            return
        if len(self._asked) >= KEPT:
            self._asked.clear()
        self._asked[domain.name] = now
        events.asked_for(domain.name, client)
        self._pulse.suspect(domain.appliance_id)
        task = asyncio.create_task(self._release(domain))
        self._work.add(task)
        task.add_done_callback(self._work.discard)

    async def _release(self, domain: Domain) -> None:
        try:
            await self._queue.retry(domain.appliance_id, domain.name)
        except EdgeError as error:
            events.fault("etrn", error)  # retry times stay; the rest is handed back all the same
        self._wake([domain.appliance_id])
