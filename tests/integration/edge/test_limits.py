"""[limits] over real sockets: rates, shares of the sessions, errors; for whom they hold, and when they change."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from relay import events
from tests.integration.edge.house import Client, House, house
from tests.support.waiting import eventually

MAIL = "MAIL FROM:<a@b.example>"


def refused(domain: str, reason: str) -> float:
    """How often that was the reason."""
    return events.registry.get_sample_value("relay_refused_total", {"domain": domain, "reason": reason}) or 0.0


async def rcpt(client: Client, address: str) -> str:
    return (await client.ask(f"RCPT TO:<{address}>"))[:9]


async def test_a_client_has_so_many_messages_a_minute(tmp_path: Path) -> None:
    """Begun or ended, in whatever session; then MAIL is put off, and the session goes on."""
    async with house(tmp_path, limits={"client_messages": 4}) as relay:
        before = refused("", "client-rate")
        async with relay.client() as client:
            assert (await client.mail(b"x")).startswith("250 ")
            assert (await client.ask(MAIL)).startswith("250 ")
            await client.ask("RSET")
        async with relay.client() as client:
            for _ in range(2):
                assert (await client.mail(b"x")).startswith("250 ")
            assert (await client.ask(MAIL)).startswith("450 4.7.1 Too many messages")
            assert (await client.ask("NOOP")).startswith("250 ")
        assert refused("", "client-rate") == before + 1


async def test_a_refused_recipient_counts_for_the_client_alone(tmp_path: Path) -> None:
    """Guessing names uses up the client's rate, and leaves the domain's to those who bring mail."""
    async with house(tmp_path, limits={"client_recipients": 5, "domain_recipients": 3}) as relay:
        before = refused("gold.example", "client-rate")
        async with relay.client() as client:
            await relay.add_domain("listed.example", ["info"], recipients="listed")
            await client.ask(MAIL)
            for number in range(5):
                assert await rcpt(client, f"guess{number}@listed.example") == "550 5.1.1"
            assert await rcpt(client, "info@listed.example") == "450 4.7.1"
            assert await rcpt(client, "someone@gold.example") == "450 4.7.1"
        assert refused("gold.example", "client-rate") == before + 1


async def test_a_domain_has_so_many_recipients_a_minute(tmp_path: Path) -> None:
    """Those of messages that were taken; the others of a message are put off, and other domains aren't."""
    async with house(tmp_path, limits={"domain_recipients": 3}) as relay, relay.client() as client:
        before = refused("gold.example", "domain-rate")
        await relay.add_domain("other.example")
        for _ in range(3):  # begun and never ended: nobody's rate is used up
            await client.ask(MAIL)
            for number in range(3):
                assert await rcpt(client, f"{number}@gold.example") == "250 2.1.5"
            assert await rcpt(client, "3@gold.example") == "450 4.7.1"
            await client.ask("RSET")
        await client.ask(MAIL)
        assert await rcpt(client, "0@gold.example") == "250 2.1.5"
        assert await rcpt(client, "1@gold.example") == "250 2.1.5"
        await client.ask("DATA")
        assert (await client.ask(b".\r\n")).startswith("250 ")
        await client.ask(MAIL)
        assert await rcpt(client, "2@gold.example") == "250 2.1.5"
        assert await rcpt(client, "3@gold.example") == "450 4.7.1"
        assert await rcpt(client, "3@other.example") == "250 2.1.5"
        assert refused("gold.example", "domain-rate") == before + 4


async def test_a_domain_has_so_many_messages_a_minute(tmp_path: Path) -> None:
    """From all clients together; the neighbour's mail is taken as before."""
    async with house(tmp_path, limits={"domain_messages": 2}) as relay:
        await relay.add_domain("other.example")
        for _ in range(2):
            async with relay.client() as client:
                assert (await client.mail(b"x")).startswith("250 ")
        async with relay.client() as client:
            await client.ask(MAIL)
            assert (await client.ask("RCPT TO:<a@gold.example>")).startswith("450 4.7.1 Too much mail comes")
            assert await rcpt(client, "a@other.example") == "250 2.1.5"


async def test_who_is_exempt_has_no_rate(tmp_path: Path) -> None:
    """And uses up nobody's: what it brings counts for no domain."""
    limits = {
        "client_messages": 1,
        "domain_messages": 1,
        "client_recipients": 1,
        "exempt": ["10.0.0.0/8", "127.0.0.0/8"],
    }
    async with house(tmp_path, limits=limits) as relay, relay.client() as client:
        for _ in range(5):
            assert (await client.mail(b"x")).startswith("250 ")
        relay.edge.reconfigure_limits(relay.settings.limits.model_copy(update={"exempt": []}))
        async with relay.client() as other:
            assert (await other.mail(b"x")).startswith("250 ")
            assert (await other.ask(MAIL)).startswith("450 4.7.1")


async def test_the_sessions_of_one_domain_leave_some_to_the_others(tmp_path: Path) -> None:
    """A flood gets half of the connections, and 421 past that; the neighbour's mail is taken at once."""
    async with house(tmp_path, max_connections=8) as relay:
        await relay.add_domain("other.example")
        before = refused("gold.example", "domain-connections")
        flood = [await _session(relay) for _ in range(5)]
        replies = [await _begin(client, "a@gold.example") for client in flood]
        assert replies == ["250 2.1.5"] * 4 + ["421 4.7.0"]
        assert await flood[4].ended()
        assert refused("gold.example", "domain-connections") == before + 1
        async with relay.client() as client:
            assert await _begin(client, "a@other.example") == "250 2.1.5"
            assert await rcpt(client, "a@gold.example") == "450 4.7.1"
            await client.ask("DATA")
            assert (await client.ask(b".\r\n")).startswith("250 ")
            assert await flood[0].ask("RSET") == "250 2.0.0 OK"
            assert await _begin(client, "a@gold.example") == "250 2.1.5"
        flood[1].writer.transport.abort()
        await eventually(lambda: not relay.edge._shared.visitors.sessions.domains["gold.example"] > 2)
        async with relay.client() as client:
            assert (await client.mail(b"x")).startswith("250 ")
        for client in flood:
            client.writer.transport.abort()
        await eventually(lambda: not relay.edge._shared.visitors.sessions.domains)


async def test_a_domain_that_is_alone_may_have_all_sessions(tmp_path: Path) -> None:
    """Unless a number is set."""
    async with house(tmp_path, max_connections=4) as relay:
        clients = [await _session(relay) for _ in range(4)]
        assert [await _begin(client, "a@gold.example") for client in clients] == ["250 2.1.5"] * 4
        for client in clients:
            client.writer.transport.abort()
        await eventually(lambda: relay.edge.sessions == 0)
        relay.edge.reconfigure_limits(relay.settings.limits.model_copy(update={"domain_connections": 1}))
        first, second = await _session(relay), await _session(relay)
        assert await _begin(first, "a@gold.example") == "250 2.1.5"
        assert await _begin(second, "a@gold.example") == "421 4.7.0"
        for client in (first, second):
            client.writer.transport.abort()


async def test_so_many_errors_end_a_session(tmp_path: Path) -> None:
    """As many as are set, with a reason of their own."""
    async with house(tmp_path, limits={"client_errors": 3}) as relay, relay.client() as client:
        before = refused("", "errors")
        for _ in range(3):
            assert (await client.ask("BOO")).startswith("500 ")
        assert (await client.ask("BOO")).startswith("421 4.7.0")
        assert await client.ended()
        await eventually(lambda: refused("", "errors") == before + 1)


@pytest.mark.parametrize("limits", [{"client_messages": 1}, {"domain_messages": 1}, {"client_recipients": 1}])
async def test_other_limits_are_taken_over_at_once(limits: dict[str, Any], tmp_path: Path) -> None:
    """Also by sessions that run."""
    async with house(tmp_path) as relay, relay.client() as client:
        for _ in range(3):
            assert (await client.mail(b"x")).startswith("250 ")
        relay.edge.reconfigure_limits(relay.settings.limits.model_copy(update=limits))
        assert (await client.mail(b"x")).startswith("250 ")
        await client.ask(MAIL)
        assert await rcpt(client, "someone@gold.example") in ("450 4.7.1", "503 5.5.1")
        relay.edge.reconfigure_limits(relay.settings.limits)
        await client.ask("RSET")
        assert (await client.mail(b"x")).startswith("250 ")


async def _session(relay: House) -> Client:
    """One that stays open until it is aborted."""
    client = await relay.connect()
    await client.reply()
    await client.ask("EHLO client.example")
    return client


async def _begin(client: Client, recipient: str) -> str:
    await client.ask(MAIL)
    return await rcpt(client, recipient)
