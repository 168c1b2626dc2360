"""One sync, and what happens in the meantime."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from sansldap import LDAPServer, PartialAttribute
from sqlalchemy import Connection

from relay.appliances import facts, store
from relay.appliances.model import Appliance, Domain, RecipientPolicy
from relay.clock import Clock
from relay.db import Database
from relay.dns import Resolver
from relay.recipients import lists
from relay.recipients.entry import Source
from relay.recipients.sync.decide import failed
from relay.recipients.sync.model import Tls
from relay.recipients.sync.store import FINDING, find, remove_directory, set_directory, set_state
from relay.recipients.sync.syncer import Report, Syncer
from relay.recipients.sync.url import LdapUrl
from relay.settings import Dns
from tests.support.database import make_database


@dataclass
class World:
    """A customer whose directory has these people, and answers when it is ``let``."""

    db: Database
    appliance: Appliance
    domain: Domain
    syncer: Syncer
    people: list[str]
    asked: asyncio.Event
    let: asyncio.Event

    def change(self, work: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        with self.db.write() as connection:
            return work(connection, *args, **kwargs)

    @property
    def listed(self) -> list[str]:
        with self.db.read() as connection:
            return [one.entry.local for one in lists.list_all(connection, self.domain, Source.SYNC)]

    async def sync(self, meanwhile: Callable[[], Any] = lambda: None, **options: Any) -> Report:
        """Sync; while the directory is thinking, something else happens."""
        self.asked.clear()
        self.let.clear()
        sync = asyncio.create_task(self.syncer.sync(self.appliance, **options))
        await self.asked.wait()
        await asyncio.to_thread(meanwhile)
        self.let.set()
        report = await sync
        assert report is not None
        return report


@asynccontextmanager
async def _world(folder: Path) -> AsyncIterator[World]:
    people: list[str] = ["ann", "bob"]
    asked, let = asyncio.Event(), asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        server = LDAPServer()
        (request,) = server.receive(await reader.read(4096))
        asked.set()
        await let.wait()
        for name in people:
            server.search_result_entry(
                request.message_id, f"cn={name}", [PartialAttribute("mail", [f"{name}@acme.example".encode()])]
            )
        server.search_result_done(request.message_id)
        writer.write(server.data_to_send())
        await reader.read()
        writer.close()

    listener = await asyncio.start_server(serve, "127.0.0.1", 0)
    url = LdapUrl.parse(f"ldap://127.0.0.1:{listener.sockets[0].getsockname()[1]}/dc=acme")
    clock = Clock()
    db = make_database(folder)
    with db.write() as connection:
        appliance = store.add_appliance(connection, clock.now(), name="acme")
        domain = store.add_domain(
            connection,
            clock.now(),
            name="acme.example",
            appliance_id=appliance.id,
            recipients=RecipientPolicy.LISTED,
        )
        set_directory(connection, appliance.id, urls=(url,), tls=Tls.NONE)
    syncer = Syncer(db, Resolver(Dns(resolvers=["127.0.0.1:9"], timeout=0.2)), clock)
    try:
        yield World(db, appliance, domain, syncer, people, asked, let)
    finally:
        syncer.close()
        listener.close()
        db.close()


async def test_list_and_state_change_together_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What fails in the middle leaves the list as it was, and no trace of a sync."""
    async with _world(tmp_path) as it:

        def full(*_: object) -> None:
            raise OSError("no space left on device")

        with monkeypatch.context() as broken:
            broken.setattr("relay.recipients.sync.syncer.set_state", full)
            with pytest.raises(Exception, match="no space left"):
                await it.sync()
        assert it.listed == []
        assert (await it.sync()).kept
        assert it.listed == ["ann", "bob"]


@pytest.mark.parametrize("what", ["set anew", "forgotten", "synced", "lost", "any"])
async def test_a_sync_that_was_overtaken_changes_nothing(tmp_path: Path, what: str) -> None:
    """The directory was set anew or forgotten, another sync was quicker, the node has lost the appliance, the domain
    takes everybody by now: what was found belongs to another time."""
    async with _world(tmp_path) as it:
        await it.sync()
        it.people.append("cat")
        held = True

        def other() -> None:
            nonlocal held
            match what:
                case "set anew":
                    it.change(set_directory, it.appliance.id, every=120)
                case "forgotten":
                    it.change(remove_directory, it.appliance.id, 0.0)
                case "synced":
                    it.change(_fail, it.appliance.id)
                case "lost":
                    held = False
                case "any":
                    it.change(store.set_domain, it.domain.name, recipients=RecipientPolicy.ANY)

        report = await it.sync(other, holds=lambda _connection, _id: held)
        assert not report.kept
        assert it.listed == ["ann", "bob"]


def _fail(connection: Connection, appliance_id: int) -> None:
    """What a sync of another process keeps that couldn't reach the directory."""
    before = find(connection, appliance_id)
    assert before is not None
    set_state(connection, appliance_id, failed(before.state, "connection refused", 1.0))


async def test_a_loss_in_one_domain_takes_the_other_ones_list(tmp_path: Path) -> None:
    """Each list is weighed by itself."""
    async with _world(tmp_path) as it:
        it.change(
            store.add_domain,
            0.0,
            name="acme.test",
            appliance_id=it.appliance.id,
            recipients=RecipientPolicy.LISTED,
        )
        report = await it.sync()
        assert list(report.state.losses) == ["acme.test"]
        assert it.listed == ["ann", "bob"]
        with it.db.read() as connection:
            (finding,) = facts.list_findings(connection, it.appliance.id)
        assert (finding.condition, finding.domain) == (FINDING, "")
        assert finding.evidence == "the directory at 127.0.0.1 has no address at acme.test, whose list is empty"
