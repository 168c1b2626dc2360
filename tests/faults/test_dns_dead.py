"""The DNS is dead, says SERVFAIL, or takes 30 s for an answer, while an appliance that is found by its MX goes down.

What was known serves: the outage is seen, proven ready by the last good answer, and drained when the primary returns.
A node that is started meanwhile knows nothing: it takes mail all the same, bounces none, claims no proof for a domain
that the DNS never spoke of, and has handed back all that waits within 60 s of the return of the DNS. Root only: a
primary that is found by MX listens on port 25.
"""

from __future__ import annotations

import asyncio
import itertools
import random
import time
from collections.abc import Sequence
from functools import reduce
from operator import add
from pathlib import Path

from tests.faults.engines import SQLITE, Engine
from tests.faults.letters import DOMAIN
from tests.faults.node import HOSTNAME
from tests.faults.result import Fault, Result
from tests.faults.site import Site, site
from tests.support.dns_stub import DnsStub
from tests.support.processes import need_root
from tests.support.waiting import eventually

RATE = 40.0
CACHED = 6.0
"""Seconds after which an answer with a short TTL is no longer taken for new."""
NEWCOMER = "new.example"


async def _slow(dns: DnsStub) -> None:
    dns.delay = 30.0


async def _servfail(dns: DnsStub) -> None:
    dns.failing = True


async def _dead(dns: DnsStub) -> None:
    dns.stop()


WAYS = {"dead": _dead, "SERVFAIL": _servfail, "30 s slow": _slow}


async def _mend(dns: DnsStub, way: str) -> None:
    dns.failing, dns.delay = False, 0.0
    if way == "dead":
        await dns.start()


async def dns_dead(engine: Engine, runs: int, folder: Path) -> Result:
    """Fail in each way by turns."""
    need_root()
    ways = itertools.islice(itertools.cycle(WAYS), runs)
    return reduce(add, [await _fail(engine, folder / str(run), way) for run, way in enumerate(ways)])


async def _fail(engine: Engine, folder: Path, way: str) -> Result:
    host = f"127.{random.randint(1, 254)}.{random.randint(1, 254)}.{random.randint(2, 254)}"
    records: dict[str, Sequence[str]] = {
        f"{DOMAIN} MX": [f"10 mail.{DOMAIN}.", f"20 {HOSTNAME}."],
        f"mail.{DOMAIN} A": [host],
        f"{HOSTNAME} A": ["255.255.255.255"],  # nobody can listen there
        f"{NEWCOMER} MX": [f"10 mail.{DOMAIN}.", f"20 {HOSTNAME}."],
    }
    async with (
        DnsStub(records, ttl=1) as dns,
        site(
            folder,
            engine,
            settings={"dns": {"resolvers": [dns.address]}},
            primary=(host, 25),
            known_as="mx",
            options=("--business-hours", "none"),
        ) as place,
    ):
        await place.primary.start()
        place.node.start()
        await place.node.ready()
        await place.until(health="up", ready=True)
        async with place.clients(rate=RATE) as clients:
            await clients.until_accepted(20)
            await WAYS[way](dns)
            await asyncio.sleep(CACHED)
            await place.primary.stop()
            await place.until(health="down", continuity="active", ready=True)
            await clients.until_accepted(20)
            await place.primary.start()
            await place.until(health="up")
            await eventually(lambda: _drained(place), timeout=60, every=0.1)
            await place.primary.stop()
            await clients.until_accepted(20)
            await place.node.kill()
            place.node.start()
            await place.node.ready()
            await place.ask("domain", "add", NEWCOMER, "--primary", "mx", "--business-hours", "none")
            await place.primary.start()
            await clients.until_accepted(100)
        (newcomer,) = (await place.ask("status", NEWCOMER))["domains"]
        wrong = [f"{way}: {NEWCOMER} is said to be proven"] if newcomer["ready"] else []
        waited = (await place.ask("ledger", DOMAIN))["queued"]
        await _mend(dns, way)
        back = time.monotonic()
        await eventually(lambda: _drained(place), timeout=180, every=0.1)
        took = time.monotonic() - back
        if not waited:
            wrong.append(f"{way}: nothing waited for the DNS")
        return await place.reckoning(1, [clients], [took], wrong=wrong)


async def _drained(place: Site) -> bool:
    return not (await place.ask("ledger", DOMAIN))["queued"]


DNS_DEAD = Fault(
    "dns",
    "DNS dead, SERVFAIL, 30 s slow (and kill -9 meanwhile)",
    3,
    dns_dead,
    within=60.0,
    recovery="drained after its return",
)


async def test_a_dead_dns_bounces_nothing(tmp_path: Path) -> None:
    """What was known serves, what isn't known is claimed by nobody, and mail that waits for the DNS goes home."""
    result = await dns_dead(SQLITE, 1, tmp_path)
    assert not result.broken
