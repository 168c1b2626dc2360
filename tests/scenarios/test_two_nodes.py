"""Two whole nodes on one database: what one can't do the other does, and the mail is home once."""

from __future__ import annotations

import asyncio
import smtplib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from relay.cluster.observer import Timing
from tests.integration.cli.console import Relayctl
from tests.scenarios.balance import Copy, at_home, balance, send
from tests.support.database import database_url
from tests.support.desk import PATIENCE
from tests.support.dns_stub import DnsStub
from tests.support.node import Node, running
from tests.support.primary import ScriptedPrimary
from tests.support.waiting import eventually

pytestmark = pytest.mark.usefixtures("engine")

DOMAIN = "acme.example"
QUICK = Timing(renew=0.2, dead_after=2.0, margin=0.6)


@asynccontextmanager
async def node(folder: Path, name: str, dns: DnsStub | None = None) -> AsyncIterator[Node]:
    """One of the cluster in ``folder``, with a name server of its own."""
    own = folder / name
    own.mkdir()
    settings: dict[str, dict[str, Any]] = {"node": {"name": name, "database": database_url(folder)}}
    if dns is not None:
        settings["dns"] = {"resolvers": [dns.address]}
    async with running(own, settings=settings, timing=QUICK) as found:
        yield found


async def owner(asked: Node) -> str:
    return str((await asked.status(DOMAIN))["owner"])


async def post(to: Node, numbers: range, sent: list[Copy]) -> None:
    """Letters to a recipient each, every one taken."""
    letters = [(number, (f"user{number}@{DOMAIN}",)) for number in numbers]
    unsure: list[Copy] = []
    await asyncio.to_thread(send, to.address, letters, sent, unsure)
    assert not unsure


async def test_a_drain_changes_hands_in_its_middle(tmp_path: Path) -> None:
    """A node that is drained finishes what is on its way, and the other goes on: nothing is lost, nothing sent twice.
    It takes no new sessions then, and says where to go."""
    sent: list[Copy] = []
    async with ScriptedPrimary() as primary, node(tmp_path, "one") as one, node(tmp_path, "two") as two:
        await one.relayctl("domain", "add", DOMAIN, "--primary", primary.address)
        await one.until(DOMAIN, health="up")
        await primary.stop()
        await one.until(DOMAIN, health="down")
        await post(one, range(100), sent)
        await post(two, range(100, 200), sent)
        primary.delay = 0.02
        await primary.start()
        await eventually(lambda: len(primary.messages) > 10, timeout=PATIENCE)
        before = await owner(one)
        stays, goes = (two, one) if before == "one" else (one, two)
        drained = await goes.relayctl("node", "drain", before)
        assert drained["state"] == "drained"
        assert len(primary.messages) < 200, "it wasn't the middle"
        primary.delay = 0.0
        assert await owner(stays) == stays.app.settings.node.name
        with pytest.raises(smtplib.SMTPConnectError, match=r"421.*4\.3\.2 Not in service now"):
            await asyncio.to_thread(smtplib.SMTP, *goes.address)
        await eventually(lambda: set(sent) <= at_home(primary).keys(), timeout=PATIENCE, every=0.05)
        await stays.until_idle()
        await balance(stays.relayctl, tmp_path, primary, sent)
        await goes.relayctl("node", "resume", before)
        await eventually(lambda: not goes.app.node.gives_way)
        await post(goes, range(200, 201), sent)
        await eventually(lambda: set(sent) <= at_home(primary).keys(), timeout=PATIENCE, every=0.05)


async def test_an_outage_that_only_one_node_sees_is_none(tmp_path: Path) -> None:
    """The node that reaches the primary hands the mail over; nothing is called down, no ticket opens, and status says
    who can't reach it."""
    sent: list[Copy] = []
    records = {"mail.acme.example A": ["127.0.0.1"]}
    astray = {"mail.acme.example A": ["127.0.0.2"]}
    async with (
        DnsStub(records) as first,
        DnsStub(astray) as second,
        ScriptedPrimary() as primary,
        node(tmp_path, "one", first) as one,
    ):
        place = f"mail.acme.example:{primary.port}"
        await one.relayctl("domain", "add", DOMAIN, "--primary", place, "--business-hours", "always")
        await one.until(DOMAIN, health="up")
        async with node(tmp_path, "two", second) as two:  # nobody listens there, and its share is this appliance
            await eventually(lambda: two.app.node.owns(1), timeout=PATIENCE)
            await post(two, range(20), sent)
            await eventually(lambda: set(sent) <= at_home(primary).keys(), timeout=PATIENCE, every=0.05)
            status = await one.status(DOMAIN)
            assert (status["health"], status["owner"]) == ("up", "one")
            assert status["blind_nodes"].keys() == {"two"}
            shown = (await asyncio.to_thread(Relayctl(tmp_path / "one").process, "status")).stdout
            assert f"node two cannot reach it ({place}: connection refused)" in shown
            assert "node one can, and works for it" in shown
            assert await one.tickets() == []
            await one.until_idle()
            await balance(one.relayctl, tmp_path, primary, sent)
