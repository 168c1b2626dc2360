"""Every refusal is counted with its reason, for the domains that it was about, and the counts are kept."""

from __future__ import annotations

import asyncio
from pathlib import Path

from relay.appliances.model import RecipientPolicy
from relay.clock import Clock
from relay.db import Database
from relay.edge import tally
from relay.edge.counts import HOUR, refused
from relay.edge.tally import KEPT_HOURS, Tally
from tests.integration.edge.house import House, house
from tests.support.database import make_database, open_database
from tests.support.node import running
from tests.support.waiting import eventually


async def counted(relay: House) -> dict[str, dict[str, int]]:
    """What is in the database, once everything has been written."""
    await relay.tally.write()
    return await relay.db.run(refused, relay.clock.now())


async def test_a_recipient_counts_for_its_domain(tmp_path: Path) -> None:
    """One who doesn't exist for the Gold domain, a stranger's domain for none."""
    async with house(tmp_path) as relay, relay.client() as client:
        await relay.add_domain("listed.example", ["info"], recipients=RecipientPolicy.LISTED)
        await client.ask("MAIL FROM:<a@b.example>")
        for recipient in ("x@listed.example", "y@listed.example", "a@stranger.example"):
            assert (await client.ask(f"RCPT TO:<{recipient}>")).startswith("550 ")
        assert await counted(relay) == {"listed.example": {"unknown-recipient": 2}, "": {"not-ours": 1}}


async def test_a_message_counts_for_all_domains_of_its_transaction(tmp_path: Path) -> None:
    """Refused at its end, or left behind in the middle of it; what comes after it counts for nobody."""
    async with house(tmp_path, max_message_size=65_536, timeout=0.4) as relay:
        await relay.add_domain("other.example")
        async with relay.client() as client:
            for content in (b"x" * 70_000 + b"\r\n.\r\n", b"half"):
                await client.ask("MAIL FROM:<a@b.example>")
                for recipient in ("1@gold.example", "2@gold.example", "3@other.example"):
                    await client.ask(f"RCPT TO:<{recipient}>")
                assert (await client.ask("DATA")).startswith("354 ")
                reply = await client.ask(content)
                if content == b"half":
                    assert reply.startswith("421 4.4.2")
                else:
                    assert reply.startswith("552 5.3.4")
                    assert (await client.ask("BOO")).startswith("500 ")
        each = {"size": 1, "timeout": 1}
        assert await counted(relay) == {"gold.example": each, "other.example": each, "": {"syntax": 1}}


async def test_what_follows_from_a_refusal_is_no_other(tmp_path: Path) -> None:
    """A client that pipelines whole messages whose sender or recipients are refused isn't one that speaks badly."""
    async with house(tmp_path, limits={"client_errors": 4}) as relay, relay.client() as client:
        recipients = b"RCPT TO:<a@gold.example>\r\n" * 8
        await client.send(b"MAIL FROM:<a@b.example> SIZE=99999999\r\n" + recipients + b"BDAT 3 LAST\r\nabc")
        await client.send(b"MAIL FROM:<a@b.example>\r\nRCPT TO:<a@stranger.example>\r\nDATA\r\nNOOP\r\n")
        replies = [(await client.reply())[:9] for _ in range(14)]
        assert replies == ["552 5.3.4", *["503 5.5.1"] * 9, "250 2.1.0", "550 5.7.1", "554 5.5.1", "250 2.0.0"]
        assert await counted(relay) == {"": {"size": 1, "not-ours": 1}}


async def test_a_transaction_that_is_open_knows_its_domain(tmp_path: Path) -> None:
    """A time-out between commands counts for it; a client that never named one counts for none."""
    async with house(tmp_path, timeout=0.3, max_connections=2) as relay:
        async with relay.client() as begun, relay.client() as idle, relay.client(hello=False) as third:
            assert (await third.reply()).startswith("421 4.3.2")
            await begun.ask("MAIL FROM:<a@b.example>")
            await begun.ask("RCPT TO:<a@gold.example>")
            for client in (begun, idle):
                assert (await client.reply()).startswith("421 4.4.2")
        assert await counted(relay) == {"gold.example": {"timeout": 1}, "": {"connections": 1, "timeout": 1}}


async def test_nodes_are_summed_and_old_hours_forgotten(tmp_path: Path) -> None:
    """Each node adds to rows of its own; a day is shown, a month is kept."""
    ahead = 0.0
    clock = Clock(lambda: 1_800_000_000.0 + ahead, lambda: 1_800_000_000.0 + ahead)
    db = make_database(tmp_path)
    one, two = Tally(db, clock, "one"), Tally(db, clock, "two", keeps_house=lambda: False)
    for counting in (one, two, one):
        counting.add(["gold.example"], "quota")
        await counting.write()
    assert await db.run(refused, clock.now()) == {"gold.example": {"quota": 3}}
    ahead = 23 * 3600.0
    one.add([], "not-ours")
    await one.write()
    assert await db.run(refused, clock.now(), ["gold.example"]) == {"gold.example": {"quota": 3}}
    assert await db.run(refused, clock.now() + HOUR) == {"": {"not-ours": 1}}
    ahead = (KEPT_HOURS + 1) * 3600.0
    await two._forget()
    with db.read() as connection:
        assert connection.exec_driver_sql("SELECT count(*) FROM refusals").scalar() == 3
    await one._forget()
    with db.read() as connection:
        assert connection.exec_driver_sql("SELECT reason, count FROM refusals").all() == [("not-ours", 1)]
    db.close()


async def test_counts_wait_for_a_database_that_cannot_be_written(tmp_path: Path) -> None:
    """Mail goes on as ever meanwhile, and nothing is counted twice."""
    async with house(tmp_path) as relay, relay.client() as client:
        _rename(relay.db, "refusals", "elsewhere")
        for _ in range(tally.SLICE + 10):
            relay.tally.add([f"{_}.example"], "quota")
        await relay.tally.write()
        assert (await client.mail(b"x")).startswith("250 ")
        _rename(relay.db, "elsewhere", "refusals")
        relay.tally.add(["0.example"], "quota")
        found = await counted(relay)
        assert len(found) == tally.SLICE + 10
        assert found["0.example"] == {"quota": 2}
        assert found["1.example"] == {"quota": 1}


async def test_a_node_writes_its_counts_by_itself_and_at_its_end(tmp_path: Path) -> None:
    """A clean stop loses none."""
    async with running(tmp_path) as node:
        reader, writer = await asyncio.open_connection(*node.address)
        await reader.readuntil(b"\r\n")
        writer.write(b"EHLO a\r\nMAIL FROM:<a@b.example>\r\nRCPT TO:<a@stranger.example>\r\n")
        await reader.readuntil(b"550 5.7.1")
        await eventually(lambda: _written(node.app.db) == {"": {"not-ours": 1}})
        writer.write(b"RCPT TO:<b@stranger.example>\r\nQUIT\r\n")
        await reader.read()
        writer.close()
    db = open_database(tmp_path)
    assert _written(db) == {"": {"not-ours": 2}}
    db.close()


def _written(db: Database) -> dict[str, dict[str, int]]:
    with db.read() as connection:
        return refused(connection, Clock().now())


def _rename(db: Database, before: str, after: str) -> None:
    with db.write() as connection:
        connection.exec_driver_sql(f"ALTER TABLE {before} RENAME TO {after}")
