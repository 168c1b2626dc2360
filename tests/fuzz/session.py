"""Whole sessions with a real edge and a real queue, over a connection that is only memory: the octets of a client.

with Sessions() as session:
    session(b"EHLO there\\r\\nQUIT\\r\\n")     # AssertionError where something is wrong

Each input is said twice, at once and in small segments, and must be answered the same. What got 250 is in the queue and
nothing else; each reply is one, with its enhanced status code; nothing is left behind, nothing breaks, nothing hangs.
"""

from __future__ import annotations

import asyncio
import re
import tempfile
from collections.abc import Iterable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

from relay import events
from relay.edge.session import Session
from tests.fuzz.targets import segments
from tests.integration.edge.house import House, house

PATIENCE = 20.0
"""Seconds after which a session that gets no further is stuck."""
ANEW = 5_000
"""Inputs after which the house is a new one: the queue of an old one has grown long."""

_REPLY = re.compile(rb"(?:\d{3}-[^\r\n]*\r\n)*\d{3} [^\r\n]*\r\n")
_WITHOUT = re.compile(r"220 relay\.example ESMTP|354 .*|250 relay\.example|250-relay\.example\r\n(?:250-.*\r\n)*250 .*")
_ENHANCED = re.compile(r"([245])\d\d [245]\.\d{1,3}\.\d{1,3} [ -~]+")
_QUEUED = re.compile(r"queued as ([\d, ]+)")


class Line(asyncio.Transport):
    """A connection to ``session``; ``said`` is what has come back."""

    def __init__(self, session: Session) -> None:
        super().__init__({"peername": ("127.0.0.1", 1025)})
        self.said = b""
        self.closed = asyncio.Event()
        self._session = session
        self._closing = False

    def write(self, data: Any) -> None:
        assert not self._closing, "written to after the end"
        self.said += bytes(data)

    def is_closing(self) -> bool:
        return self._closing

    def close(self) -> None:
        if not self._closing:
            self._closing = True
            asyncio.get_running_loop().call_soon(self._end)

    def abort(self) -> None:
        self.close()

    def can_write_eof(self) -> bool:
        return True

    def write_eof(self) -> None:
        pass

    def pause_reading(self) -> None:
        pass

    def resume_reading(self) -> None:
        pass

    def get_write_buffer_size(self) -> int:
        return 0

    def _end(self) -> None:
        self._session.connection_lost(None)
        self.closed.set()


class Sessions:
    """See above."""

    def __init__(self) -> None:
        self._runner = asyncio.Runner()
        self._relay: House
        self._stack = AsyncExitStack()
        self._inputs = 0

    def __enter__(self) -> Sessions:
        self._runner.run(self._move_in())
        return self

    def __exit__(self, *_: object) -> None:
        self._runner.run(self._stack.aclose())
        self._runner.close()

    def __call__(self, octets: bytes) -> None:
        self._inputs += 1
        self._runner.run(self._try(octets))

    async def _move_in(self) -> None:
        folder = self._stack.enter_context(tempfile.TemporaryDirectory(prefix="relay-fuzz-"))
        self._relay = await self._stack.enter_async_context(house(Path(folder)))

    async def _try(self, octets: bytes) -> None:
        if self._inputs % ANEW == 0:
            await self._stack.aclose()
            await self._move_in()
        at_once = await self._say([octets])
        in_segments = await self._say(segments(octets))
        assert [_masked(reply) for reply in at_once] == [_masked(reply) for reply in in_segments]

    async def _say(self, pieces: Iterable[bytes]) -> list[str]:
        relay = self._relay
        faults, accepted = _faults(), len(relay.accepted)
        session = Session(relay.edge._shared)
        line = Line(session)
        session.connection_made(line)
        for piece in pieces:
            if session._lost or line.is_closing():
                break
            session.data_received(piece)
            await asyncio.sleep(0)
        if not line.is_closing() and not session.eof_received():
            line.close()
        async with asyncio.timeout(PATIENCE):
            await line.closed.wait()
        assert _faults() == faults, "something broke"
        assert relay.edge.sessions == 0
        assert relay.edge.bytes_in_flight == 0
        replies = _replies(line.said)
        queued = [word for reply in replies if (found := _QUEUED.search(reply)) for word in found[1].split(", ")]
        assert len(queued) == len(relay.accepted) - accepted, "what got 250 is not what was queued"
        return replies


def _faults() -> float:
    return events.registry.get_sample_value("relay_faults_total", {"where": "edge"}) or 0.0


def _replies(said: bytes) -> list[str]:
    """Each reply, which must be one, with an enhanced status code of its class where one is due (RFC 2034)."""
    assert _REPLY.sub(b"", said) == b"", f"no replies: {said!r}"
    replies = [found[0].decode("ascii").removesuffix("\r\n") for found in _REPLY.finditer(said)]
    for reply in replies:
        enhanced = _ENHANCED.fullmatch(reply)
        assert enhanced or _WITHOUT.fullmatch(reply), f"no such reply: {reply!r}"
        assert not enhanced or reply[0] == reply[4], f"classes differ: {reply!r}"
        assert not reply.startswith("451 4.3.0"), f"an internal fault: {reply!r}"
    return replies


def _masked(reply: str) -> str:
    """What may differ between two runs: numbers; and of a line that is none, which reason was seen first."""
    return reply[:9] if reply.startswith("500 5.5.2") else _QUEUED.sub("queued", reply)
