"""Asking primaries for recipients: politely, over one connection while questions come, at the next host if need be."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from relay.appliances import store
from relay.appliances.directory import Directory
from relay.appliances.model import Domain, Primary
from relay.appliances.mx import Endpoints
from relay.appliances.pulse import Pulse
from relay.delivery import asker
from relay.delivery.asker import REFUSALS, Asker
from relay.dns import Resolver
from relay.mail import Reply
from relay.settings import Dns, Node, Settings
from tests.support.database import make_database
from tests.support.primary import ScriptedPrimary
from tests.support.waiting import eventually

NOBODY = Reply(550, "5.1.1", "No such user")


@asynccontextmanager
async def asking(folder: Path, *primaries: ScriptedPrimary) -> AsyncIterator[tuple[Asker, Domain, Pulse]]:
    """Of the domain acme.example, whose appliance has these primaries."""
    db = make_database(folder)
    with db.write() as connection:
        hosts = tuple(Primary(primary.host, primary.port) for primary in primaries)
        appliance = store.add_appliance(connection, 0.0, name="acme", primaries=hosts)
        domain = store.add_domain(connection, 0.0, name="acme.example", appliance_id=appliance.id)
    directory, pulse = Directory(db), Pulse()
    await directory.refresh()
    settings = Settings(node=Node(name="test", hostname="relay.test"))
    made = Asker(settings, directory, Endpoints(Resolver(Dns()), settings.node), pulse)
    try:
        yield made, domain, pulse
    finally:
        await made.close()
        db.close()


async def test_questions_that_follow_each_other_share_a_connection(tmp_path: Path) -> None:
    """It ends with QUIT when there are no more; nothing was sent on it."""
    async with ScriptedPrimary() as primary:
        primary.on_rcpt = lambda address: NOBODY if address.startswith("x") else None
        async with asking(tmp_path, primary) as (made, domain, _):
            assert await made.ask(domain, "ann@acme.example") == Reply(250, "2.1.5", "Ok")
            assert await made.ask(domain, "x@acme.example") == NOBODY
            assert await made.ask(domain, "bob@acme.example") == Reply(250, "2.1.5", "Ok")
            assert primary.connections == 1
        assert primary.commands[-1] == "QUIT"
        assert primary.commands.count("MAIL FROM:<>") == 3
        assert not any(command.startswith("DATA") for command in primary.commands)
        assert primary.messages == primary.violations == []


async def test_a_connection_is_not_kept_for_long(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor one on which a few were refused: servers count errors."""
    monkeypatch.setattr(asker, "KEPT", 0.1)
    async with ScriptedPrimary() as primary, asking(tmp_path, primary) as (made, domain, _):
        await made.ask(domain, "ann@acme.example")
        await eventually(lambda: primary.open_connections == 0)
        monkeypatch.setattr(asker, "KEPT", 60.0)
        primary.on_rcpt = NOBODY
        for number in range(2 * REFUSALS):
            await made.ask(domain, f"x{number}@acme.example")
        await eventually(lambda: primary.open_connections == 0)
        assert primary.connections == 3
        assert primary.commands.count("QUIT") == 3


async def test_a_connection_that_was_ended_meanwhile_is_replaced(tmp_path: Path) -> None:
    """The question that found it gone is put again, and nobody is suspected."""
    async with ScriptedPrimary() as primary, asking(tmp_path, primary) as (made, domain, pulse):
        await made.ask(domain, "ann@acme.example")
        await primary.drop_connections()
        assert await made.ask(domain, "bob@acme.example") == Reply(250, "2.1.5", "Ok")
        assert primary.connections == 2
        assert pulse._suspects == set()


async def test_the_next_host_is_asked_where_one_cannot_be_reached(tmp_path: Path) -> None:
    """The appliance is probed at once; where no host answers there is no answer."""
    async with ScriptedPrimary() as first, ScriptedPrimary() as second:
        await first.stop()
        async with asking(tmp_path, first, second) as (made, domain, pulse):
            assert await made.ask(domain, "ann@acme.example") == Reply(250, "2.1.5", "Ok")
            assert await pulse.suspects() == {domain.appliance_id}
            await second.stop()
            assert await made.ask(domain, "ann@acme.example") is None


async def test_what_is_said_to_the_sender_is_no_answer(tmp_path: Path) -> None:
    """A primary that refuses the null sender says nothing of anybody."""
    async with ScriptedPrimary() as primary, asking(tmp_path, primary) as (made, domain, _):
        primary.on_mail = Reply(550, "5.7.1", "No bounces here")
        assert await made.ask(domain, "ann@acme.example") is None


async def test_two_are_asked_about_at_a_time(tmp_path: Path) -> None:
    """However many want to know: a small primary has other things to do."""
    async with ScriptedPrimary() as primary, asking(tmp_path, primary) as (made, domain, _):
        primary.delay = 0.05
        most = 0

        async def look(address: str) -> None:
            nonlocal most
            most = max(most, primary.open_connections)

        primary.on_rcpt = look
        replies = await asyncio.gather(*(made.ask(domain, f"user{number}@acme.example") for number in range(8)))
        assert all(reply is not None and reply.positive for reply in replies)
        assert most <= 3, "one of them may be saying goodbye"
