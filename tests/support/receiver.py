"""A receiver of webhooks on loopback: a real HTTP server that checks signatures with the standardwebhooks library.

    async with receiver(SECRET) as desk:
        desk.script = [Answer(500), HANG, Answer(429, {"Retry-After": "3"})]     # then 204 for ever
        desk.told                       # what it took, each message once, in the order of arrival

Whatever isn't signed gets 401.
"""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

import h11
from standardwebhooks import Webhook, WebhookVerificationError

from tests.support.listener import Listener


@dataclass(frozen=True)
class Answer:
    """One that is HTTP."""

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""


class Fault(Enum):
    """Answers that aren't."""

    HANG = "takes the request, and never says a word"
    DRIP = "sends one octet a second, for ever"
    GARBAGE = "speaks something else than HTTP"
    LOST = "takes the message, and never says a word"
    CUT = "takes the message, and the connection breaks before the reply"


HANG, DRIP, GARBAGE, LOST, CUT = Fault


class Receiver(Listener):
    """Made by :func:`receiver`. ``tries``: the webhook-id of every request, repetitions too."""

    def __init__(self, *secrets: str) -> None:
        super().__init__()
        self.secrets = list(secrets)
        self.script: list[Answer | Fault] = []
        self.otherwise: Answer | Fault = Answer(204)
        self.on_ticket: dict[int, Answer | Fault] = {}
        self.told: list[dict[str, Any]] = []
        self.tries: list[str] = []
        self.bodies: dict[str, set[bytes]] = {}
        self._known: set[str] = set()

    @property
    def url(self) -> str:
        return f"{'https' if self._tls else 'http'}://127.0.0.1:{self.port}/hooks/relay?team=gold"

    @property
    def kinds(self) -> list[str]:
        return [one["type"].removeprefix("ticket.") for one in self.told]

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await self._request(reader, writer):
            pass

    async def _request(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        wire = h11.Connection(h11.SERVER)
        asked: dict[str, str] = {}
        body = b""
        while not isinstance(event := wire.next_event(), h11.EndOfMessage):
            if event is h11.NEED_DATA:
                wire.receive_data(await reader.read(65536))
            elif isinstance(event, h11.Request):
                assert (event.method, event.target) == (b"POST", b"/hooks/relay?team=gold")
                asked = {name.decode(): value.decode() for name, value in event.headers}
            elif isinstance(event, h11.Data):
                body += event.data
            else:
                return False  # it has gone
        answer = self._answer(asked, body)
        if answer in (HANG, LOST):
            await asyncio.Event().wait()
        if answer is GARBAGE:
            writer.write(b"220 mail.example ESMTP\r\n\x00\xff\r\n")
        if answer is DRIP:
            for octet in b"HTTP/1.1 200 OK\r\n" + b"X" * 600:
                writer.write(bytes([octet]))
                await asyncio.sleep(1)
        if isinstance(answer, Answer):
            headers = [*answer.headers.items(), ("Content-Length", str(len(answer.body)))]
            parts = [
                h11.Response(status_code=answer.status, headers=headers),
                h11.Data(data=answer.body),
                h11.EndOfMessage(),
            ]
            for part in parts[:1] if answer.status == 204 else parts:
                writer.write(wire.send(part) or b"")
        await writer.drain()
        return isinstance(answer, Answer)

    def _answer(self, headers: dict[str, str], body: bytes) -> Answer | Fault:
        signed = [secret for secret in self.secrets if self._signed(secret, headers, body)]
        if not signed:
            return Answer(401, body=b"who are you?")
        message = json.loads(body)
        key = headers["webhook-id"]
        assert message["id"] == key
        self.tries.append(key)
        self.bodies.setdefault(key, set()).add(body)
        special = self.on_ticket.get(message["data"]["ticket"]["id"])
        answer = special or (self.script.pop(0) if self.script else self.otherwise)
        taken = answer in (CUT, LOST) or (isinstance(answer, Answer) and 200 <= answer.status < 300)
        if taken and key not in self._known:
            self._known.add(key)
            self.told.append(message)
        return answer

    def _signed(self, secret: str, headers: dict[str, str], body: bytes) -> bool:
        try:
            Webhook(secret).verify(body, headers)
        except WebhookVerificationError:
            return False
        return True


@asynccontextmanager
async def receiver(*secrets: str, tls: ssl.SSLContext | None = None) -> AsyncIterator[Receiver]:
    """One that listens; each of ``secrets`` is believed."""
    desk = Receiver(*secrets)
    await desk.start(tls)
    try:
        yield desk
    finally:
        await desk.stop()
