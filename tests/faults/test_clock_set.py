"""The wall clock is set in mid-run, 3 days ahead or 2 hours back, on a machine with two nodes and an outage.

Every clock that could run out is short enough for those 3 days: mail that waits has a lifetime of one day, the P1 an
hour to be acknowledged in. Then the owner of the appliance is killed under the wrong clock, and started again.
Promised: nothing expires, no ticket is opened or breached, the other node takes over as soon as ever, and all mail goes
home. By libfaketime, which sets the clock of the nodes alone; monotonic time goes on as it does on a real machine.
Clients, primary and PostgreSQL's server keep the right time, as if they were other machines: whatever a node reads in
the database was written by a clock, its own or the other node's, since no time of the server's is asked for. What a
server whose own clock is set makes of its limits for locks and silent clients isn't told here.
"""

from __future__ import annotations

import asyncio
import itertools
import time
from functools import reduce
from operator import add
from pathlib import Path
from typing import Any

from tests.faults.broken import program
from tests.faults.engines import SQLITE, Engine
from tests.faults.node import Node
from tests.faults.result import Fault, Result
from tests.faults.site import Site, site
from tests.support.processes import need
from tests.support.waiting import eventually

JUMPS = ("+3d", "-2h")
RATE = 40.0
TICKET_AFTER = {"continuity": {"ticket_after": 1.0}}
OPTIONS = ("--business-hours", "always", "--lifetime", "1d")
LOOK = 65.0
"""Seconds in which a node looks at every ticket's clocks, and once at the age of all that waits."""
TAKEOVER = 20.0
NOTICED = "the wall clock was set"
"""What the log says."""


async def clock_set(engine: Engine, runs: int, folder: Path) -> Result:
    """Set it ahead and back by turns; then see that nodes which believe the wall clock fall for it."""
    jumps = itertools.islice(itertools.cycle(JUMPS), runs)
    result = reduce(add, [await set_once(engine, folder / str(run), jump) for run, jump in enumerate(jumps)])
    control = await set_once(engine, folder / "control", JUMPS[0], program=program("gullible"))
    noticed = any("breach" in what for what in control.wrong)
    return result.with_wrong(() if noticed else (f"the control has breached nothing: {control.wrong}",))


async def set_once(engine: Engine, folder: Path, jump: str, *, look: float = LOOK, **node: Any) -> Result:
    """``look``: seconds in which all that could go wrong has time to, twice."""
    folder.mkdir(parents=True, exist_ok=True)
    clock = folder / "clock"
    clock.write_text("+0")
    node |= {"settings": TICKET_AFTER, "env": _faked(clock)}
    async with site(folder, engine, options=OPTIONS, **node) as place:
        place.node.start()
        await place.node.ready()
        await place.until(owner=place.node.name, health="down")
        other = place.add(Node(folder / "other", place.database, name="two", **node))
        other.start()
        await other.ready()
        await eventually(lambda: _has_ticket(place), timeout=60, every=0.1)
        before = await _tickets(place)
        async with place.clients(rate=RATE) as clients:
            await clients.until_accepted(20)
            clock.write_text(jump)
            await asyncio.sleep(look)
            wrong = [f"node {one.name} hasn't noticed" for one in place.nodes if NOTICED not in one.log()]
            owner = (await place.domain())["owner"]  # the second node, where appliances are spread
            dies, lives = (place.node, other) if owner == place.node.name else (other, place.node)
            died = time.monotonic()
            await dies.kill()
            await place.until(owner=lives.name, timeout=TAKEOVER * 3)
            taken = time.monotonic() - died
            dies.start()
            await dies.ready()
            await asyncio.sleep(look)
            await clients.until_accepted(20)
        wrong += _differences(before, await _tickets(place))
        return await place.reckoning(1, [clients], [taken], wrong=[f"{jump}: {what}" for what in wrong])


def _faked(clock: Path) -> dict[str, str]:
    need("faketime", "faketime")
    (library,) = Path("/usr/lib").glob("*/faketime/libfaketime.so.1")
    return {
        "LD_PRELOAD": str(library),
        "FAKETIME_TIMESTAMP_FILE": str(clock),
        "FAKETIME_CACHE_DURATION": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        "NO_FAKE_STAT": "1",
    }


async def _has_ticket(place: Site) -> bool:
    return (await place.domain())["ticket"] is not None


async def _tickets(place: Site) -> dict[int, dict[str, Any]]:
    listed = await place.ask("ticket", "list", "--all")
    return {row["id"]: await place.ask("ticket", "show", str(row["id"])) for row in listed}


def _differences(before: dict[int, dict[str, Any]], after: dict[int, dict[str, Any]]) -> list[str]:
    """What has been done to tickets meanwhile, but for words."""
    told = [f"ticket {number} was opened: {after[number]['condition']}" for number in after.keys() - before.keys()]
    for number, ticket in before.items():
        news = after[number]["history"][len(ticket["history"]) :]
        told += [f"ticket {number}: {one['event']} {one['reason']}" for one in news if one["event"] != "comment"]
    return told


CLOCK_SET = Fault(
    "clock",
    "clock 3 days ahead, 2 hours back (and kill -9 of the owner, two nodes)",
    4,
    clock_set,
    within=TAKEOVER,
    recovery="the other node owns",
)


async def test_a_clock_that_is_set_decides_nothing(tmp_path: Path) -> None:
    """Three days ahead nothing expires or is breached, also after a start, and the other node takes over."""
    result = await set_once(SQLITE, tmp_path, "+3d", look=4.0)
    assert not result.broken


async def test_nor_does_one_beside_a_server(postgresql: Engine, tmp_path: Path) -> None:
    """Two hours back, while the server of the database knows better, neither lease nor lock waits for these hours."""
    result = await set_once(postgresql, tmp_path, "-2h", look=4.0)
    assert not result.broken
