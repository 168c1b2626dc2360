"""An operator holds a drain back, and lets it go."""

from __future__ import annotations

import asyncio
from pathlib import Path

from tests.scenarios.stage import DOMAIN, NIGHT, stage
from tests.support.desk import PATIENCE
from tests.support.waiting import eventually


async def test_a_drain_keeps_to_the_ceiling_until_it_is_taken_away(tmp_path: Path) -> None:
    """Said while the primary is down it holds from the first message on; taken back, the rest comes home at once."""
    begun: list[float] = []

    async with stage(tmp_path, at=NIGHT, options=("--max-rate", "500")) as acme:
        await acme.goes_down()
        await acme.send(range(120))
        await acme.node.until(DOMAIN, ticket=3)
        await acme.node.relayctl("appliance", "set", "acme", "--max-rate", "8", "--max-connections", "3")
        await eventually(
            lambda: [one.max_rate for one in acme.node.app.directory.snapshot.appliances.values()] == [8.0]
        )

        acme.primary.on_mail = lambda _sender: begun.append(asyncio.get_running_loop().time())
        await acme.primary.start()
        await eventually(lambda: len(acme.primary.messages) >= 10, timeout=PATIENCE)
        assert len(begun) <= 8 * (begun[-1] - begun[0]) + 2
        assert acme.primary.open_connections <= 3

        await acme.node.relayctl("appliance", "set", "acme", "--max-rate", "none")
        await acme.all_home()
        await acme.node.until_resolved()
        assert (await acme.balance())[DOMAIN]["delivered"] == 120
