"""Clients that go away: what they began leaves nothing behind, what they finished is kept."""

from __future__ import annotations

import socket
import struct
from pathlib import Path

import pytest

from tests.integration.edge.house import HOSTNAME, Client, House, house
from tests.integration.edge.test_tls import paths, trusting
from tests.support.certificates import certificate
from tests.support.waiting import eventually


def count(relay: House, table: str) -> int:
    with relay.db.read() as connection:
        return int(connection.exec_driver_sql(f"SELECT count(*) FROM {table}").scalar_one())  # noqa: S608


def hang_up(client: Client, *, reset: bool) -> None:
    if reset:
        linger = struct.pack("ii", 1, 0)  # no farewell: RST instead of FIN
        client.writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        client.writer.transport.abort()
    else:
        client.writer.close()


@pytest.mark.parametrize("reset", [False, True], ids=["FIN", "RST"])
@pytest.mark.parametrize(
    "sent", [b"", b"Subject: x\r\n\r\nhalf a lin", b"whole\r\n.", b"whole\r\n.\r", b"x" * 3_000_000]
)
async def test_half_a_message_leaves_nothing(sent: bytes, reset: bool, tmp_path: Path) -> None:
    """A client that is lost in the middle of its message, small or large, leaves neither mail nor content."""
    async with house(tmp_path) as relay:
        async with relay.client() as client:
            await client.begin()
            await client.send(sent)
            hang_up(client, reset=reset)
        await eventually(lambda: relay.edge.sessions == 0)
        assert [count(relay, table) for table in ("messages", "recipients", "content", "incoming")] == [0, 0, 0, 0]
        assert relay.edge.bytes_in_flight == 0


@pytest.mark.parametrize("reset", [False, True], ids=["FIN", "RST"])
@pytest.mark.parametrize("size", [100, 2_000_000])
async def test_a_whole_message_is_kept(size: int, reset: bool, tmp_path: Path) -> None:
    """A client that hangs up right after the dot, without waiting for the reply, has sent its message."""
    async with house(tmp_path) as relay:
        async with relay.client() as client:
            await client.begin()
            await client.send(b"x" * size + b"\r\n.\r\n")
            if reset:
                # The octets must have left before the connection is torn down.
                await eventually(lambda: relay.edge.bytes_in_flight > 0 or count(relay, "messages") > 0)
            hang_up(client, reset=reset)
        await eventually(lambda: relay.edge.sessions == 0)
        if not reset or count(relay, "messages"):
            (stored,) = await relay.stored()
            assert len(stored.content) == size + 2
        assert count(relay, "incoming") == 0


async def test_a_client_that_says_all_at_once_is_answered(tmp_path: Path) -> None:
    """Commands that came before the client closed its side are still carried out, and their replies sent."""
    async with house(tmp_path) as relay:
        async with relay.client(hello=False) as client:
            await client.send(
                b"EHLO a\r\nMAIL FROM:<a@b.example>\r\nRCPT TO:<c@gold.example>\r\nDATA\r\nhello\r\n.\r\nQUIT\r\n"
            )
            client.writer.write_eof()
            replies = (await client.reader.read()).decode().splitlines()
        assert [reply[:3] for reply in replies if reply[3] == " "] == ["220", "250", "250", "250", "354", "250", "221"]
        assert len(await relay.stored()) == 1


@pytest.mark.parametrize("encrypted", [False, True], ids=["plain", "TLS"])
@pytest.mark.parametrize(
    ("command", "reply"), [(b"BDAT 5000000", "503 5.5.1"), (b"NOOP", "421 4.7.0"), (b"NONSENSE", "421 4.7.0")]
)
async def test_last_words_reach_a_client_that_is_still_talking(
    command: bytes, reply: str, encrypted: bool, tmp_path: Path
) -> None:
    """A session that we end in the middle of what a client says: it reads why, and isn't just cut off."""
    made = certificate(tmp_path, HOSTNAME)
    async with house(tmp_path, **paths(made)) as relay, relay.client() as client:
        if encrypted:
            await client.start_tls(trusting(made))
        for _ in range(50):
            await client.send((command + b"\r\n") * 10_000)
        heard = (await client.reader.read()).decode().splitlines()
        assert heard[-1].startswith(reply)
        client.writer.close()
        await eventually(lambda: relay.edge.sessions == 0)


@pytest.mark.parametrize(("name", "goes_on"), [("QUIET", False), ("LINGER", True)])
async def test_nobody_is_heard_out_for_ever(
    name: str, goes_on: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After our last words a client that is silent is let go soon, and one that goes on is cut off a while later."""
    monkeypatch.setattr(f"relay.edge.connection.{name}", 0.5)
    async with house(tmp_path) as relay, relay.client() as client:
        assert (await client.ask("BDAT")).startswith("501 5.5.4")

        async def gone() -> bool:
            if goes_on:
                client.writer.write(b"more")
            return relay.edge.sessions == 0

        await eventually(gone)
