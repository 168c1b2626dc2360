"""Reports on their way to senders: a table of their own, apart from mail, ledger and depths.

A report comes into being in the transaction that makes its recipients bounced or expired (relay.queue.failures), and
is removed when it was taken, refused for good, or has become too old. Nothing here decides when it is sent.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass
from functools import partial
from typing import Any

from sqlalchemy import Connection, func, select

from relay.db import Database
from relay.errors import NotFound
from relay.queue.content import pack, unpack
from relay.queue.ledger import Deltas
from relay.queue.statements import Statements
from relay.queue.tables import reports

Commit = Callable[..., Awaitable[Any]]
"""Work for the writer's transaction, and the bytes that it stores; its result is on disk."""

_NEW = """
INSERT INTO reports (appliance_id, message_id, sender, domain, kind, about, created_at, attempts, next_attempt_at,
    last_reply, packed, content)
VALUES (?,?,?,?,?,?,?,0,?,'',?,?)
"""


@dataclass(frozen=True, slots=True)
class NewReport:
    """A report that is to be sent to ``sender``, whose domain is ``domain``; ``kind``: failed or delayed; ``about``:
    the addresses."""

    appliance_id: int
    message_id: int
    sender: str
    domain: str
    kind: str
    about: tuple[str, ...]
    content: bytes


@dataclass(frozen=True, slots=True)
class Report:
    """One that waits, without its content."""

    id: int
    appliance_id: int
    message_id: int
    sender: str
    domain: str
    kind: str
    about: tuple[str, ...]
    created_at: float
    attempts: int
    next_attempt_at: float
    last_reply: str


_COLUMNS = [reports.c[name] for name in Report.__dataclass_fields__]


def add(statements: Statements, report: NewReport, now: float) -> None:
    """Inside the transaction that makes it true."""
    about = json.dumps(report.about, ensure_ascii=False)
    whom = (report.appliance_id, report.message_id, report.sender, report.domain, report.kind, about)
    statements.execute(_NEW, (*whom, now, now, *pack(report.content)))


class Reports:
    """The queue's, as the lane sees it."""

    def __init__(self, db: Database, commit: Commit) -> None:
        self._db = db
        self._commit = commit

    async def due_domains(self, now: float) -> dict[str, set[int]]:
        """The domains that reports are due to, longest due first, each with the appliances that they are about."""
        return await self._db.run(_due_domains, now)

    async def due(self, domain: str, appliances: Collection[int], now: float, limit: int) -> list[Report]:
        """What is due to a domain about these appliances, longest due first."""
        return await self._db.run(_due, domain, appliances, now, limit)

    async def count(self) -> int:
        """How many wait."""
        return await self._db.run(_count)

    async def content(self, number: int) -> bytes:
        """Raises NotFound where it is no longer there."""
        return await self._db.run(_content, number)

    async def remove(self, number: int) -> None:
        """It was taken, or given up. Raises Deferred."""
        await self._commit(partial(_remove, number))

    async def defer(self, number: int, reply: str, next_attempt_at: float) -> None:
        """It was tried in vain. Raises Deferred."""
        await self._commit(partial(_defer, number, reply, next_attempt_at))


def waiting(connection: Connection, limit: int) -> list[Report]:
    """What waits, oldest first."""
    return [_report(row) for row in connection.execute(select(*_COLUMNS).order_by(reports.c.id).limit(limit))]


def _count(connection: Connection) -> int:
    return int(connection.execute(select(func.count()).select_from(reports)).scalar_one())


def _due_domains(connection: Connection, now: float) -> dict[str, set[int]]:
    query = (
        select(reports.c.domain, reports.c.appliance_id)
        .where(reports.c.next_attempt_at <= now)
        .group_by(reports.c.domain, reports.c.appliance_id)
        .order_by(func.min(reports.c.next_attempt_at))
    )
    found: dict[str, set[int]] = {}
    for domain, appliance_id in connection.execute(query):
        found.setdefault(domain, set()).add(appliance_id)
    return found


def _due(connection: Connection, domain: str, appliances: Collection[int], now: float, limit: int) -> list[Report]:
    query = (
        select(*_COLUMNS)
        .where(
            reports.c.domain == domain, reports.c.next_attempt_at <= now, reports.c.appliance_id.in_(sorted(appliances))
        )
        .order_by(reports.c.next_attempt_at, reports.c.id)
        .limit(limit)
    )
    return [_report(row) for row in connection.execute(query)]


def _report(row: Any) -> Report:
    return Report(**{**row._mapping, "about": tuple(json.loads(row.about))})


def _content(connection: Connection, number: int) -> bytes:
    row = connection.execute(select(reports.c.packed, reports.c.content).where(reports.c.id == number)).first()
    if row is None:
        raise NotFound(f"report {number} is no longer here")
    return unpack(row.packed, row.content)


def _remove(number: int, statements: Statements, _: Deltas) -> None:
    statements.execute("DELETE FROM reports WHERE id = ?", (number,))


def _defer(number: int, reply: str, next_attempt_at: float, statements: Statements, _: Deltas) -> None:
    statements.execute(
        "UPDATE reports SET attempts = attempts + 1, last_reply = ?, next_attempt_at = ? WHERE id = ?",
        (reply, next_attempt_at, number),
    )
