"""What the tests of sessions share: a short way to open one, and servers that are odder than a scripted primary."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Collection
from contextlib import asynccontextmanager
from typing import Any

from relay.mail import Envelope, Recipient
from relay.smtp.connection import Connection
from relay.smtp.dialogue import Extension
from relay.tls import Policy
from tests.support.primary import ScriptedPrimary

PATIENCE = 20.0
"""Seconds that a slow machine may take for what isn't meant to time out."""


def envelope(*recipients: str, sender: str = "a@b.example", **more: Any) -> Envelope:
    """An envelope to ``recipients``; to one person where none is named."""
    return Envelope(sender, tuple(Recipient(address) for address in recipients or ("c@d.example",)), **more)


def letter(text: str = "Hello") -> bytes:
    return f"Subject: a letter\r\n\r\n{text}\r\n".encode()


async def connect(
    primary: ScriptedPrimary | int,
    *,
    tls: Policy = "none",
    without: Collection[Extension] = (),
    connect_timeout: float = PATIENCE,
    greeting_timeout: float | None = None,
    reply_timeout: float = PATIENCE,
    block_timeout: float = PATIENCE,
    end_of_data_timeout: float = PATIENCE,
) -> Connection:
    """A session with ``primary``, or with what listens on that port."""
    return await Connection.open(
        "127.0.0.1",
        primary if isinstance(primary, int) else primary.port,
        local_hostname="relay.test",
        tls=tls,
        without=without,
        connect_timeout=connect_timeout,
        greeting_timeout=greeting_timeout,
        reply_timeout=reply_timeout,
        block_timeout=block_timeout,
        end_of_data_timeout=end_of_data_timeout,
    )


@asynccontextmanager
async def session(primary: ScriptedPrimary | int, **options: Any) -> AsyncIterator[Connection]:
    """The same, closed at the end."""
    connection = await connect(primary, **options)
    try:
        yield connection
    finally:
        connection.close()


Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def raw_server(serve: Serve, *, offers: tuple[str, ...] = ("PIPELINING",)) -> AsyncIterator[int]:
    """A server that greets and answers EHLO, and then does as ``serve`` says; its port."""
    problems: list[BaseException] = []

    async def begin(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            writer.write(b"220 raw.test\r\n")
            await reader.readuntil(b"\r\n")
            writer.write(b"".join(f"250-{line}\r\n".encode() for line in ("raw.test", *offers)) + b"250 HELP\r\n")
            await serve(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass  # the client has had enough, which is often the point
        except Exception as error:
            problems.append(error)
        finally:
            writer.close()

    server = await asyncio.start_server(begin, "127.0.0.1", 0, limit=2**20)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
    assert not problems, problems
