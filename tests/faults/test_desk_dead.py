"""The helpdesk is dead throughout an outage: gone, silent for ever, or answering nonsense; and so is whoever is told.

Mail is taken and handed back as ever, the ticket goes its whole way here, P1, P3 with the proof, resolved; and when the
helpdesk is back it learns of all of it, each message once and in order, and ends in the state in which the ticket is.
Nobody is at the one address that people on call are told by; the other one, and the mail server by which the customer
is written to, take connections and say nothing. They stay so.
"""

from __future__ import annotations

import itertools
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import reduce
from operator import add
from pathlib import Path
from typing import Any

from tests.faults.engines import SQLITE, Engine
from tests.faults.result import Fault, Result
from tests.faults.site import Site, site
from tests.support.processes import free_port
from tests.support.receiver import GARBAGE, HANG, Answer, Receiver, receiver
from tests.support.waiting import eventually

SECRET = "whsec_" + "c2VjcmV0" * 5
RATE = 200.0
WAYS = {"gone": None, "silent": HANG, "500": Answer(500), "garbage": GARBAGE}
"""How it is dead; None: nobody listens."""
CONTACT = "ops@elsewhere.example"
OPTIONS = ("--business-hours", "none", "--skip-proof", "dns", "--contact", CONTACT)
PEOPLE = {"everyone", "everyone#2", f"contact {CONTACT}"}
PATIENCE = 120.0


async def desk_dead(engine: Engine, runs: int, folder: Path) -> Result:
    """Dead in each way by turns."""
    ways = itertools.islice(itertools.cycle(WAYS), runs)
    with _silence() as silent:
        return reduce(add, [await _outage(engine, folder / str(run), way, silent) for run, way in enumerate(ways)])


async def _outage(engine: Engine, folder: Path, way: str, silent: str) -> Result:
    async with (
        receiver(SECRET) as desk,
        site(folder, engine, settings=_settings(desk, silent), options=OPTIONS) as place,
    ):
        await _break(desk, way)
        await place.primary.start()
        place.node.start()
        await place.node.ready()
        await place.until(health="up")
        await place.primary.stop()
        async with place.clients(rate=RATE) as clients:
            await place.until(health="down", continuity="active")
            await eventually(lambda: _priority(place, 3), timeout=PATIENCE, every=0.1)
            await clients.until_accepted(200)
        await place.primary.start()
        await eventually(lambda: _resolved(place), timeout=PATIENCE, every=0.1)
        wrong = [] if not desk.told else [f"{way}: it was told {desk.kinds}"]
        await _mend(desk, way)
        back = time.monotonic()
        await eventually(lambda: _all_told(place), timeout=PATIENCE, every=0.1)
        told = time.monotonic() - back
        ticket = await _ticket(place)
        wrong += [f"{way}: {what}" for what in (*_differences(desk, ticket), *_heard(ticket))]
        return await place.reckoning(1, [clients], [told], wrong=wrong)


@contextmanager
def _silence() -> Iterator[str]:
    """An address that takes connections, and never says anything."""
    with socket.create_server(("127.0.0.1", 0), backlog=1000) as listener:
        yield f"127.0.0.1:{listener.getsockname()[1]}"


def _settings(desk: Receiver, silent: str) -> dict[str, dict[str, Any]]:
    return {
        "notify": {
            "urls": [f"json://127.0.0.1:{free_port()}", f"json://{silent}"],
            "mail": f"mailto://{silent}?from=relay@desk.example",
        },
        "helpdesk": {"kind": "webhook", "url": desk.url, "secret": SECRET, "allow_private": True},
        "continuity": {"ticket_after": 1.0, "settle": 1.0},
    }


async def _break(desk: Receiver, way: str) -> None:
    answer = WAYS[way]
    if answer is None:
        await desk.stop()
    else:
        desk.otherwise = answer


async def _mend(desk: Receiver, way: str) -> None:
    desk.otherwise = Answer(204)
    if WAYS[way] is None:
        await desk.start()


async def _ticket(place: Site) -> dict[str, Any]:
    """The one of the outage."""
    listed = await place.ask("ticket", "list", "--all")
    (number,) = [row["id"] for row in listed if row["condition"] == "mailflow"]
    ticket: dict[str, Any] = await place.ask("ticket", "show", str(number))
    return ticket


async def _priority(place: Site, wanted: int) -> bool:
    ticket = (await place.domain())["ticket"]
    return ticket is not None and ticket["priority"] == wanted


async def _resolved(place: Site) -> bool:
    return (await _ticket(place))["status"] == "resolved"


async def _all_told(place: Site) -> bool:
    helpdesk = (await place.ask("status"))["helpdesk"]
    return (helpdesk["trouble"], helpdesk["waiting"]) == (None, 0)


def _differences(desk: Receiver, ticket: dict[str, Any]) -> list[str]:
    """What the helpdesk was told otherwise than it happened."""
    mine = [one for one in desk.told if one["data"]["ticket"]["id"] == ticket["id"]]
    events = [one["type"].removeprefix("ticket.") for one in mine]
    happened = [one["event"] for one in ticket["history"]]
    found = [] if events == happened else [f"told {events}, of {happened}"]
    last = mine[-1]["data"]["ticket"] if mine else {}
    return found + [f"its {key} is {last.get(key)}" for key in ("priority", "status") if last.get(key) != ticket[key]]


def _heard(ticket: dict[str, Any]) -> list[str]:
    """What is wrong with whom it was tried to tell: whoever is on call and the contact, and nobody was reached."""
    wanted = {row["to"] for row in ticket["told"]}
    reached = {row["to"] for row in ticket["told"] if row["outcome"] == "sent"}
    return [f"told {reached} of {wanted}"] if reached or wanted != PEOPLE else []


DESK_DEAD = Fault(
    "desk", "helpdesk and notification targets dead throughout", 4, desk_dead, recovery="helpdesk told of everything"
)


async def test_a_dead_helpdesk_holds_up_nothing(tmp_path: Path) -> None:
    """The outage goes its way without it, and afterwards it has heard the whole story in order."""
    result = await desk_dead(SQLITE, 1, tmp_path)
    assert not result.broken
