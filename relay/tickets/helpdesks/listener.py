"""Where a helpdesk reports what people did there: a small HTTP server of our own, off without ``[helpdesk] listen``.

It takes one signed POST a connection (relay.tickets.helpdesks.report), carries it out like a person's own word, and
answers with the ticket, or with one line of what is wrong. Bounded in connections, octets and time. It serves nothing
else, and no TLS: that is for the web server before it.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import h11
from sqlalchemy import Connection
from standardwebhooks import Webhook as Signer

from relay import events
from relay.clock import Clock
from relay.db import Database
from relay.errors import DatabaseError, NotFound, Refused, StartFailed
from relay.settings import Helpdesk as Settings
from relay.tickets import heard, reading
from relay.tickets.helpdesks.helpdesk import Word
from relay.tickets.helpdesks.report import Malformed, Unsigned, read_report
from relay.tickets.plan import Terms
from relay.values import parse_address

LARGEST = 128 * 1024
"""Octets of a report."""
PATIENCE = 15.0
"""Seconds for a whole report."""
AT_ONCE = 64
"""Connections."""


@dataclass(frozen=True, slots=True)
class _Reply:
    status: int
    facts: dict[str, Any]


class Listener:
    """``terms``: those in which the clocks of the answer run."""

    def __init__(self, db: Database, clock: Clock, terms: Callable[[], Terms]) -> None:
        self._db = db
        self._clock = clock
        self._terms = terms
        self._signers: Sequence[Signer] = ()
        self._server: asyncio.Server | None = None
        self._open: set[asyncio.Task[None]] = set()

    def reconfigure(self, secrets: Sequence[str]) -> None:
        """Whose signatures are believed from now on."""
        self._signers = [Signer(secret) for secret in secrets]

    @property
    def port(self) -> int | None:
        """Where it really listens; None where it doesn't."""
        return int(self._server.sockets[0].getsockname()[1]) if self._server else None

    async def start(self, settings: Settings) -> None:
        """Listen, where the settings say so. Raises StartFailed."""
        if not settings.listen:
            return
        self.reconfigure(settings.secret)
        host, port = parse_address(settings.listen)
        try:
            self._server = await asyncio.start_server(self._serve, host, port, limit=LARGEST)
        except OSError as error:
            raise StartFailed(
                f"can't listen for the helpdesk on {host}:{port}: {(error.strerror or str(error)).lower()}; "
                'is another node running? ([helpdesk] listen = "" for none)'
            ) from error

    async def close(self) -> None:
        """Whoever is being answered still gets the answer."""
        if self._server is not None:
            self._server.close()
        if self._open:
            _, late = await asyncio.wait(self._open, timeout=2)
            for task in late:
                task.cancel()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - start_server runs us in one
        self._open.add(task)
        try:
            if len(self._open) <= AT_ONCE:
                with suppress(TimeoutError, OSError, h11.ProtocolError):
                    async with asyncio.timeout(PATIENCE):
                        await self._converse(reader, writer)
        except Exception as error:
            events.fault("helpdesk", error)
        finally:
            self._open.discard(task)
            with suppress(OSError):
                writer.close()

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        client = str((writer.get_extra_info("peername") or ("unknown",))[0])
        wire = h11.Connection(h11.SERVER)
        try:
            reply = await self._reply(wire, reader, writer, client)
        except h11.RemoteProtocolError as error:
            reply = _Reply(error.error_status_hint, {"error": f"this is no HTTP: {error}"})
        if reply.status >= 400:
            events.helpdesk_refused(str(reply.facts["error"]), client)
        body = json.dumps(reply.facts, ensure_ascii=False).encode() + b"\n"
        headers = [
            ("Content-Type", "application/json"),
            ("Content-Length", str(len(body))),
            ("Connection", "close"),
            *([("Allow", "POST")] if reply.status == 405 else []),
            *([("Retry-After", "5")] if reply.status == 503 else []),
        ]
        parts = (h11.Response(status_code=reply.status, headers=headers), h11.Data(data=body), h11.EndOfMessage())
        for part in parts:
            writer.write(wire.send(part) or b"")
        await writer.drain()
        # Closing on what hasn't been read would take the answer away from whoever still writes.
        writer.write_eof()
        for _ in range(LARGEST // 1024):
            if not await reader.read(65536):
                break

    async def _reply(
        self, wire: h11.Connection, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, client: str
    ) -> _Reply:
        request: h11.Request | None = None
        body = bytearray()
        while True:
            event = wire.next_event()
            if event is h11.NEED_DATA:
                if wire.they_are_waiting_for_100_continue:
                    writer.write(wire.send(h11.InformationalResponse(status_code=100, headers=[])) or b"")
                wire.receive_data(await reader.read(65536))
            elif isinstance(event, h11.Request):
                request = event
                if request.method != b"POST":
                    return _Reply(405, {"error": "reports are made by POST"})
            elif isinstance(event, h11.Data):
                body += event.data
                if len(body) > LARGEST:
                    return _Reply(413, {"error": f"a report has at most {LARGEST} octets"})
            elif isinstance(event, h11.EndOfMessage) and request is not None:
                headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in request.headers}
                return await self._take(bytes(body), headers)
            else:
                raise h11.RemoteProtocolError("the connection was closed", error_status_hint=400)

    async def _take(self, body: bytes, headers: dict[str, str]) -> _Reply:
        try:
            word = read_report(body, headers, self._signers)
        except Unsigned as error:
            return _Reply(401, {"error": str(error)})
        except Malformed as error:
            return _Reply(400, {"error": str(error)})
        try:
            new, facts = await self._db.change(_carry_out, word, self._terms(), self._clock.now())
        except NotFound as error:
            return _Reply(404, {"error": str(error)})
        except Refused as error:
            return _Reply(409, {"error": str(error)})
        except DatabaseError as error:
            return _Reply(503, {"error": str(error)})
        if new:
            events.helpdesk_heard("webhook", str(word.act), word.ticket_id, word.actor)
        return _Reply(200, {"new": new, "ticket": facts})


def _carry_out(connection: Connection, word: Word, terms: Terms, now: float) -> tuple[bool, dict[str, Any]]:
    new = heard.take(connection, word, now) is not None
    return new, reading.get(connection, word.ticket_id, terms, now).facts()
