"""When something breaks in here: a temporary error for the client, nothing half done, the next one served."""

from __future__ import annotations

from pathlib import Path

import pytest

from relay import events
from relay.appliances import proofs
from tests.integration.edge.house import house


def faults(where: str) -> float:
    return events.registry.get_sample_value("relay_faults_total", {"where": where}) or 0.0


async def test_an_unexpected_error_is_a_451(tmp_path: Path) -> None:
    """It is logged and counted, the transaction is reset, and the client is told neither class nor text."""
    before = faults("edge")
    # A cluster secret that was lost: no proof can be looked at.
    async with house(tmp_path, key=None) as relay, relay.client() as client:
        await client.ask("MAIL FROM:<a@b.example>")
        reply = await client.ask(f"RCPT TO:<{proofs.make(b'key', 'gold.example', relay.clock.now())}>")
        assert reply == "451 4.3.0 Something went wrong here, try again later"
        assert (await client.ask("RCPT TO:<a@gold.example>")).startswith("503 ")
        assert (await client.mail(b"x")).startswith("250 ")
    assert faults("edge") == before + 1


async def test_an_unexpected_error_before_the_greeting_is_a_421(tmp_path: Path) -> None:
    """It is logged and counted, nobody is hung up on without a word, and the next one is served."""

    def lost() -> bool:
        raise LookupError("the cluster")

    before = faults("edge")
    async with house(tmp_path, proxy_protocol_from=["127.0.0.1"]) as relay:
        usual, relay.edge._shared.connections.closed = relay.edge._shared.connections.closed, lost
        async with relay.client(hello=False) as client:
            reply = await client.ask("PROXY TCP4 192.0.2.7 192.0.2.25 40000 25")
            assert reply == "421 4.3.0 Something went wrong here, closing the connection"
            assert await client.ended()
        assert relay.edge.sessions == 0
        relay.edge._shared.connections.closed = usual
        async with relay.client(hello=False) as client:
            assert (await client.ask("PROXY TCP4 192.0.2.7 192.0.2.25 40000 25")).startswith("220 ")
    assert faults("edge") == before + 1


async def test_a_queue_that_is_broken_defers(tmp_path: Path) -> None:
    """A table that is gone, small message or large: 451 at the end of data, none of it taken for commands."""
    async with house(tmp_path) as relay, relay.client() as client:
        for table in ("messages", "content"):
            with relay.db.write() as connection:
                connection.exec_driver_sql(f"ALTER TABLE {table} RENAME TO gone_{table}")
        for size in (10, 3_000_000):
            reply = await client.mail(b"NOOP\r\n" * (size // 6))
            assert reply.startswith("451 4.3.0"), reply
        assert (await client.ask("NOOP")).startswith("250 ")
        assert relay.edge.bytes_in_flight == 0
        for table in ("messages", "content"):
            with relay.db.write() as connection:
                connection.exec_driver_sql(f"ALTER TABLE gone_{table} RENAME TO {table}")
        assert (await client.mail(b"x")).startswith("250 ")


@pytest.mark.parametrize("size", [10, 3_000_000])
async def test_a_queue_that_has_ended_defers(size: int, tmp_path: Path) -> None:
    """A message on its way is answered behind its end, no part of it is a command, and no other is asked for."""
    async with house(tmp_path) as relay, relay.client() as client:
        await client.begin()
        await relay.queue.close()
        assert (await client.ask(b"NOOP\r\n" * (size // 6) + b"\r\n.\r\n")).startswith("451 4.3.0")
        assert (await client.ask("MAIL FROM:<a@b.example>")).startswith("451 4.3.0")
        assert relay.edge.bytes_in_flight == 0
