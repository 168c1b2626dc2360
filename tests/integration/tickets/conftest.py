"""A desk: a real database with two appliances, and a clock that the test moves."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from relay.appliances import store as appliances
from relay.appliances.model import Appliance
from relay.clock import Clock
from relay.db import Database
from relay.tickets import desk
from relay.tickets.states import Condition, Priority
from relay.tickets.ticket import Ticket, Wanted
from tests.support.database import make_database

START = 1_795_392_000.0  # Monday, 2026-11-23 00:00 UTC


class Desk:
    """What continuity does, with an outage of acme as the default."""

    def __init__(self, db: Database) -> None:
        self.db = db
        self.now = START
        self.clock = Clock(wall=lambda: self.now, monotonic=lambda: self.now)
        with db.write() as connection:
            self.acme = self._appliance(connection, "acme", "acme.example", "acme.org.example")
            self.gold = self._appliance(connection, "gold", "gold.example")
        self.outage = Wanted(
            self.acme.id,
            "acme",
            "Acme Ltd",
            Condition.MAILFLOW,
            ("acme.example", "acme.org.example"),
            Priority.P1,
            START - 60,
            "no primary answers",
            outage_id=1,
        )

    def _appliance(self, connection: Any, name: str, *domains: str) -> Appliance:
        appliance = appliances.add_appliance(connection, START, name=name, customer=f"{name.title()} Ltd")
        for domain in domains:
            appliances.add_domain(connection, START, name=domain, appliance_id=appliance.id)
        return appliance

    def facts(self, priority: Priority | None, **changes: Any) -> Ticket | None:
        """The facts ask for ``priority``, now."""
        with self.db.write() as connection:
            return desk.reconcile(connection, replace(self.outage, priority=priority, **changes), self.now)

    def do(self, verb: Any, *arguments: Any, **options: Any) -> Any:
        """One verb in a transaction that writes."""
        with self.db.write() as connection:
            return verb(connection, *arguments, **options)

    def see(self, question: Any, *arguments: Any, **options: Any) -> Any:
        """One question in a transaction that reads."""
        with self.db.read() as connection:
            return question(connection, *arguments, **options)

    def rows(self, statement: str) -> list[tuple[Any, ...]]:
        with self.db.read() as connection:
            return [tuple(row) for row in connection.execute(text(statement))]

    def everything(self) -> list[list[tuple[Any, ...]]]:
        """All that the desk has written, to see whether anything changed."""
        return [
            self.rows(f"SELECT * FROM {table} ORDER BY 1, 2")  # noqa: S608 - our own table names
            for table in ("tickets", "ticket_domains", "ticket_events", "outbox")
        ]

    def story(self, ticket_id: int) -> list[str]:
        """The history in words: 'relay opened 1', 'dana acknowledged acknowledged'."""
        rows = self.rows(f"SELECT actor, event, after FROM ticket_events WHERE ticket_id = {ticket_id} ORDER BY id")  # noqa: S608
        return [" ".join(part for part in row if part) for row in rows]


@pytest.fixture
def office(tmp_path: Path) -> Iterator[Desk]:
    db = make_database(tmp_path)
    yield Desk(db)
    db.close()
