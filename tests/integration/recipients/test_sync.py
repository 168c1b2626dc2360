"""Lists that follow a customer's directory: a node, a real slapd, and the ticket that tells when they don't."""

from __future__ import annotations

import asyncio
import smtplib
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from relay.errors import Refused
from relay.recipients.sync.tables import directories
from tests.support.clock import StagedClock
from tests.support.database import everything_in
from tests.support.desk import PATIENCE
from tests.support.node import Node, running
from tests.support.primary import ScriptedPrimary
from tests.support.slapd import BASE, PASSWORD, USER, DirectoryServer, directory_server
from tests.support.waiting import eventually

pytestmark = pytest.mark.real

PEOPLE = [f"user{place}" for place in range(20)]
DOMAIN = "acme.example"
HOUR = 3600.0
NOBODY = "127.0.0.1:9"
"""Nothing listens there."""


@pytest.fixture
def directory(tmp_path: Path) -> Iterator[DirectoryServer]:
    with directory_server(tmp_path, PEOPLE) as server:
        yield server


@asynccontextmanager
async def _node(folder: Path, clock: StagedClock | None = None) -> AsyncIterator[Node]:
    clock = clock or StagedClock.at("2026-11-28 20:00")
    async with running(folder, clock=clock, settings={"continuity": {"skip_proofs": ["dns", "recipients"]}}) as node:
        yield node


def _said(directory: DirectoryServer, *urls: str) -> list[str]:
    """The options that name it."""
    options = [part for url in urls or (directory.url("ldaps"),) for part in ("--directory", url)]
    login = ["--directory-user", USER, "--directory-password-file", str(directory.password_file)]
    return [*options, *login, "--directory-ca", str(directory.ca)]


async def _add(node: Node, directory: DirectoryServer, *urls: str, primary: str = NOBODY) -> None:
    """The customer, with a directory and one domain that goes by it."""
    await node.relayctl("appliance", "add", "acme", "--primary", primary, *_said(directory, *urls))
    await node.relayctl("domain", "add", DOMAIN, "--appliance", "acme", "--recipients", "listed")


async def _shown(node: Node) -> dict[str, Any]:
    found: dict[str, Any] = (await node.relayctl("appliance", "show", "acme"))["directory"]
    return found


async def _until_addresses(node: Node, number: int) -> None:
    await eventually(lambda: _has(node, number), timeout=PATIENCE)


async def _has(node: Node, number: int) -> bool:
    return bool((await _shown(node))["addresses"] == number)


async def _rcpt(node: Node, local: str) -> int:
    """What the edge answers to RCPT."""

    def ask() -> int:
        with smtplib.SMTP(*node.address, timeout=PATIENCE) as session:
            session.ehlo("elsewhere.example")
            session.mail("sender@elsewhere.example")
            return session.rcpt(f"{local}@{DOMAIN}")[0]

    return await asyncio.to_thread(ask)


async def _answers(node: Node, local: str, code: int) -> bool:
    return await _rcpt(node, local) == code


async def test_a_node_fills_the_list_by_itself_and_keeps_up(tmp_path: Path, directory: DirectoryServer) -> None:
    """Who is in the directory is taken, who isn't is refused; an hour later whoever has come or gone since."""
    clock = StagedClock.at("2026-11-28 20:00")
    async with _node(tmp_path, clock) as node:
        await _add(node, directory)
        await _until_addresses(node, 20)
        await eventually(lambda: _answers(node, "nobody", 550))
        assert await _rcpt(node, "User7") == 250
        directory.add("newcomer")
        directory.remove("user7")
        clock.leap(HOUR)
        await eventually(lambda: _answers(node, "newcomer", 250))
        assert await _rcpt(node, "user7") == 550
        assert await node.tickets("recipients") == []


async def test_what_operators_listed_stays_beside_it(tmp_path: Path, directory: DirectoryServer) -> None:
    """A sync changes its own list alone."""
    async with _node(tmp_path) as node:
        await _add(node, directory)
        await node.relayctl("recipient", "add", DOMAIN, "scanner")
        await _until_addresses(node, 20)
        assert (await node.relayctl("recipient", "sync", "acme"))[0]["domains"] == [
            {"domain": DOMAIN, "addresses": 20, "added": 0, "removed": 0}
        ]
        await eventually(lambda: _answers(node, "scanner", 250))


async def test_a_sudden_loss_keeps_the_list_and_opens_a_p3_until_it_is_mended(
    tmp_path: Path, directory: DirectoryServer
) -> None:
    """A third of the people gone is more likely a mistake; when they are back, the ticket closes by itself."""
    clock = StagedClock.at("2026-11-28 20:00")
    async with _node(tmp_path, clock) as node:
        await _add(node, directory)
        await _until_addresses(node, 20)
        gone = PEOPLE[:6]
        directory.remove(*gone)
        clock.leap(HOUR)
        ticket = await node.until_told("only 14 of the 20 addresses at acme.example", "recipients")
        assert ticket.priorities == [3]
        assert ticket.facts["domains"] == [DOMAIN]
        assert "whose list of 2026-11-28T20:0" in ticket.story
        assert await _rcpt(node, gone[0]) == 250
        for name in gone:
            directory.add(name)
        clock.leap(HOUR)
        ticket = await node.until_resolved("recipients")
        assert ticket.events == ["opened", "resolved"]
        assert (await _shown(node))["problem"] is None


async def test_an_operator_takes_a_loss_that_is_right(tmp_path: Path, directory: DirectoryServer) -> None:
    """Nothing before that takes it, and the ticket closes with it."""
    async with _node(tmp_path) as node:
        await _add(node, directory)
        await _until_addresses(node, 20)
        directory.remove(*PEOPLE[:10])
        with pytest.raises(Refused, match="1 of 1 sync failed"):
            await node.relayctl("recipient", "sync", DOMAIN)
        await node.until_told("only 10 of the 20 addresses", "recipients")
        (tried,) = await node.relayctl("recipient", "sync", "acme", "--accept-loss", "--dry-run")
        assert (tried["ok"], tried["domains"]) == (
            True,
            [{"domain": DOMAIN, "addresses": 10, "added": 0, "removed": 10}],
        )
        assert await _rcpt(node, PEOPLE[0]) == 250
        await node.relayctl("recipient", "sync", "acme", "--accept-loss")
        await eventually(lambda: _answers(node, PEOPLE[0], 550))
        await node.until_resolved("recipients")
        directory.remove(*PEOPLE[10:])
        with pytest.raises(Refused):  # an empty list is never right
            await node.relayctl("recipient", "sync", "acme", "--accept-loss")
        assert await _rcpt(node, PEOPLE[10]) == 250


async def test_a_sync_that_fails_keeps_the_list_and_says_so_once(tmp_path: Path, directory: DirectoryServer) -> None:
    """At each further failure the ticket has nothing to add, and it closes when the directory is back. While the whole
    site is down, which has its own ticket, there is none for the directory."""
    clock = StagedClock.at("2026-11-28 20:00")
    async with ScriptedPrimary() as primary, _node(tmp_path, clock) as node:
        await _add(node, directory, primary=f"127.0.0.1:{primary.port}")
        await _until_addresses(node, 20)
        await node.until(DOMAIN, health="up")
        directory.stop()
        await primary.stop()
        await node.until(DOMAIN, health="down")
        clock.leap(HOUR)
        await eventually(lambda: _failed(node, times=1), timeout=PATIENCE)
        assert await node.tickets("recipients") == []
        await primary.start()
        await node.until(DOMAIN, health="up")
        clock.leap(120)
        ticket = await node.until_told("the list of 20 addresses of 2026-11-28T20:0", "recipients")
        assert ticket.priorities == [3]
        assert f"localhost:{directory.ports['ldaps']}: connection refused" in ticket.story
        assert "fails since 2026-11-28T21:0" in ticket.story
        assert await _rcpt(node, "user3") == 250
        problem = (await _shown(node))["problem"]
        clock.leap(HOUR)
        await eventually(lambda: _failed(node, times=3), timeout=PATIENCE)
        assert (await _shown(node))["problem"] == problem
        ticket = await node.ticket("recipients")
        assert (ticket.events, ticket.told("comment")) == (["opened"], [])
        directory.start()
        clock.leap(HOUR)
        assert (await node.until_resolved("recipients")).events == ["opened", "resolved"]


async def _failed(node: Node, times: int) -> bool:
    with node.app.db.read() as connection:
        return connection.execute(select(directories.c.failures)).scalar_one() >= times


async def test_a_first_sync_that_never_worked_puts_mail_off_and_says_what_to_do(
    tmp_path: Path, directory: DirectoryServer
) -> None:
    """Nobody is refused for good for what isn't known; a password that is mended makes it work."""
    clock = StagedClock.at("2026-11-28 20:00")
    async with ScriptedPrimary() as primary, _node(tmp_path, clock) as node:
        directory.password_file.write_text("wrong\n")
        await _add(node, directory, primary=f"127.0.0.1:{primary.port}")
        ticket = await node.until_told(f"it refuses the login as {USER}: invalid credentials", "recipients")
        assert "it has never worked, and nobody is listed by it yet" in ticket.story
        assert await _rcpt(node, "user3") == 451
        directory.password_file.write_text(PASSWORD)
        clock.leap(120)
        await _until_addresses(node, 20)
        await eventually(lambda: _answers(node, "user3", 250))
        await node.until_resolved("recipients")
        assert PASSWORD not in everything_in(node.app.db)


async def test_a_directory_that_hangs_holds_up_nobody_elses(tmp_path: Path, directory: DirectoryServer) -> None:
    """Another customer's list is filled meanwhile, and the node stops at once."""

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    server = await asyncio.start_server(silent, "127.0.0.1", 0)
    hanging = f"ldap://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    async with _node(tmp_path) as node:
        for place in range(5):
            name = f"hanging{place}"
            await node.relayctl("appliance", "add", name, "--primary", NOBODY, "--directory", hanging)
            await node.relayctl("domain", "add", f"{name}.example", "--appliance", name, "--recipients", "listed")
        await _add(node, directory)
        await _until_addresses(node, 20)
    server.close()


async def test_the_next_server_is_asked_where_one_fails(tmp_path: Path, directory: DirectoryServer) -> None:
    """In the order given; what all of them did is said where none answers."""
    async with _node(tmp_path) as node:
        await _add(node, directory, "ldaps://127.0.0.1:9/" + BASE, directory.url("ldap"))
        await _until_addresses(node, 20)
        directory.stop()
        with pytest.raises(Refused):
            await node.relayctl("recipient", "sync", "acme")
        problem = (await _shown(node))["problem"]
        assert f"127.0.0.1:9: connection refused; localhost:{directory.ports['ldap']}: connection refused" in problem


async def test_a_directory_is_forgotten_with_its_ticket(tmp_path: Path, directory: DirectoryServer) -> None:
    """The list that it brought stays."""
    async with _node(tmp_path) as node:
        await _add(node, directory)
        await _until_addresses(node, 20)
        directory.remove(*PEOPLE[:10])
        with pytest.raises(Refused):
            await node.relayctl("recipient", "sync", "acme")
        await node.until_told("only 10 of the 20", "recipients")
        await node.relayctl("appliance", "set", "acme", "--directory", "none")
        await node.until_resolved("recipients")
        assert (await node.relayctl("appliance", "show", "acme"))["directory"] is None
        assert await _rcpt(node, PEOPLE[0]) == 250
        with pytest.raises(Refused, match="acme has no directory"):
            await node.relayctl("recipient", "sync", "acme")


async def test_a_domain_that_is_listed_no_more_has_nothing_to_lose(tmp_path: Path, directory: DirectoryServer) -> None:
    """Its ticket closes at once, and a domain that becomes one is filled at once."""
    async with _node(tmp_path) as node:
        await _add(node, directory)
        await node.relayctl("domain", "add", "acme.test", "--appliance", "acme")
        await _until_addresses(node, 20)
        await node.relayctl("domain", "set", "acme.test", "--recipients", "listed")
        await node.until_told("no address at acme.test, whose list is empty", "recipients")
        await node.relayctl("domain", "set", "acme.test", "--recipients", "any")
        await node.until_resolved("recipients")
