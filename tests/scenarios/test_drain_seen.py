"""The drain is watched: by the operator while it goes on, and in the ticket when it is over."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.scenarios.stage import DOMAIN, NIGHT, stage
from tests.support.desk import PATIENCE
from tests.support.primary import HANG
from tests.support.waiting import eventually

pytestmark = pytest.mark.usefixtures("engine")


async def test_an_operator_sees_how_the_mail_comes_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Status shows what a running node's drain has done; history and ticket keep what was handed back."""
    monkeypatch.setattr("relay.delivery.journal.EVERY", 0.1)
    settings = {"continuity": {"ticket_after": 0.4, "settle": 2.0}, "delivery": {"max_connections": 1}}
    async with stage(tmp_path, at=NIGHT, settings=settings) as acme:
        await acme.goes_down()
        await acme.send(range(20))
        down = await acme.node.until(DOMAIN, ticket=3)
        assert down["drain"] is None and down["first_expiry_at"] is not None

        acme.primary.on_rcpt = lambda address: HANG if len(acme.primary.messages) >= 10 else None
        await acme.primary.start()

        async def half_way() -> bool:
            drain = (await acme.node.status(DOMAIN))["drain"]
            return drain is not None and drain["tried"] >= 9 and drain["tried"] + drain["left"] == 20

        await eventually(half_way, timeout=PATIENCE)
        acme.primary.on_rcpt = None
        await acme.primary.drop_connections()
        await acme.all_home()
        ticket = await acme.node.until_resolved()
        # The one that was cut off has been tried; it comes home by its retry time, when the outage is drained already.
        assert "\nHanded back until it was drained: 19 recipients (19 messages) in " in ticket.told("resolved")[0]
        (outage,) = (await acme.node.relayctl("failover", "history", "acme"))["outages"]
        assert (outage["messages"], outage["recipients"], outage["drain"]) == (19, 19, None)
        await acme.balance()
