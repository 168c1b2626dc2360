"""That these tests can fail: a node that answers before it commits is found out by the clients' ledger."""

from __future__ import annotations

import asyncio
from pathlib import Path

from tests.faults.broken import program
from tests.faults.engines import SQLITE
from tests.faults.ledger import Ledger
from tests.faults.site import site
from tests.faults.test_killed import kill_and_start


async def test_what_is_entered_is_read_back(tmp_path: Path) -> None:
    """From the file, once whoever entered it has been told that it is there."""
    ledger = Ledger(tmp_path / "ledger")
    await asyncio.gather(*(ledger.write(number) for number in range(100)))
    await ledger.close()
    assert ledger.read() == set(range(100))


async def test_a_hasty_node_is_found_out(tmp_path: Path) -> None:
    """What it had answered 250 to and not committed when it was killed is lost, and the reckoning says so."""
    async with site(tmp_path, SQLITE, program=program("hasty")) as place:
        place.node.start()
        await place.node.ready()
        async with place.clients() as clients:
            for _ in range(3):
                await kill_and_start(place, clients)
        result = await place.reckoning(3, [clients])
    assert result.lost > 0
    assert any("are lost" in what for what in result.broken)
