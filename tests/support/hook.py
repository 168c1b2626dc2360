"""Where notifications arrive by HTTP: it keeps what was posted, and fails as it is told.

async with hook() as target:
    target.answers = 500            # or HANG, GARBAGE, CUT; 200 is the usual one
    target.url("json", "/oncall")   # json://127.0.0.1:…/oncall
    target.posts                    # what it has taken, oldest first
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final, Literal

from tests.support.listener import Listener

Fault = Literal["hang", "garbage", "cut", "lost"]
HANG: Final = "hang"
"""No answer; the connection stays open."""
GARBAGE: Final = "garbage"
CUT: Final = "cut"
LOST: Final = "lost"
"""It is taken, and there is no answer."""


@dataclass(frozen=True)
class Post:
    path: str
    body: dict[str, Any]

    @property
    def text(self) -> str:
        return str(self.body["message"])

    @property
    def first_line(self) -> str:
        return self.text.partition("\n")[0]


class Hook(Listener):
    """See above. ``tries``: every request that came, whatever became of it."""

    def __init__(self) -> None:
        super().__init__()
        self.posts: list[Post] = []
        self.tries: list[Post] = []
        self.answers: int | Fault = 200

    def url(self, scheme: str = "json", path: str = "/oncall") -> str:
        return f"{scheme}://127.0.0.1:{self.port}{path}"

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        lines = head.split("\r\n")
        length = next(int(line.split(":")[1]) for line in lines if line.lower().startswith("content-length"))
        post = Post(lines[0].split()[1], json.loads(await reader.readexactly(length)))
        self.tries.append(post)
        if self.answers == GARBAGE:
            writer.write(b"220 mail.example ESMTP\r\n\x00\xff\r\n")
        if self.answers == LOST or (isinstance(self.answers, int) and self.answers < 300):
            self.posts.append(post)
        if self.answers in (HANG, LOST):
            await asyncio.Event().wait()
        if isinstance(self.answers, int):
            writer.write(f"HTTP/1.1 {self.answers} So\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok".encode())
        await writer.drain()


@asynccontextmanager
async def hook() -> AsyncIterator[Hook]:
    """One that listens."""
    target = Hook()
    await target.start()
    try:
        yield target
    finally:
        await target.stop()
