"""One appliance and all that continuity rests on, real: database, queue, listener, name server; a clock to be shifted.

async with world(tmp_path) as it:
    await it.set_health(Health.DOWN)
    it.shift(60)
    await it.until(lambda: it.ticket().priority == 3)
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Connection

from relay import settings as sections
from relay.appliances import facts, store
from relay.appliances.directory import Directory
from relay.appliances.facts import ContinuityFact, Health, HealthFact
from relay.appliances.model import Appliance, Domain
from relay.appliances.mx import Endpoints
from relay.appliances.pulse import Pulse
from relay.clock import Clock
from relay.cluster.secret import secret
from relay.continuity.controller import Controller
from relay.continuity.readiness import Prover
from relay.continuity.store import Entry, list_history, proofs_of
from relay.db import Database
from relay.dns import Resolver
from relay.edge.etrn import Etrn
from relay.edge.server import Edge
from relay.edge.tally import Tally
from relay.mail import Client, Envelope, Recipient, Reply
from relay.queue.ledger import Ledger, ledger
from relay.queue.model import Incoming, Outcome
from relay.queue.queue import Queue
from relay.queue.states import State
from relay.recipients.known import Recipients
from relay.settings import Dns, Metrics, Node, Settings, Smtp
from relay.tickets.states import Condition, Event
from relay.tickets.store import histories, latest
from relay.tickets.tables import tickets
from relay.tickets.ticket import Ticket
from tests.support.database import make_database
from tests.support.dns_stub import DnsStub
from tests.support.waiting import eventually
from tests.unit.continuity.outages import NIGHT

RECORDS = {
    "acme.example MX": ["10 mail.acme.example.", "20 relay.example."],
    "acme.example.org MX": ["10 mail.acme.example.", "20 relay.example."],
    "mail.acme.example A": ["127.0.0.2"],
    "relay.example A": ["127.0.0.3"],
}

PLENTY = 100 * 10**9
"""Bytes of the volume, which of a file is known."""


class World:
    """Made by :func:`world`. The node's listener is on 127.0.0.1; nobody listens where the DNS says that it does."""

    def __init__(self, folder: Path, stub: DnsStub, settings: Settings) -> None:
        self.dns = stub
        self.settings = settings
        self.db: Database = make_database(folder)
        self._shifted = 0.0
        self.clock = Clock(lambda: self.start, lambda: time.monotonic() + self._shifted)
        self.directory = Directory(self.db)
        self.owned = True
        """Whether the node takes the appliance for its own ..."""
        self.held = True
        """... and whether the database says so, too."""
        self.queue: Queue
        self.edge: Edge
        self.controller: Controller
        self.appliance: Appliance
        self.domain: Domain

    start = NIGHT

    @property
    def now(self) -> float:
        return self.clock.now()

    def shift(self, seconds: float) -> None:
        """Let time pass."""
        self._shifted += seconds

    def shift_to(self, at: float) -> None:
        self.shift(at - self.now)

    def change(self, work: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        with self.db.write() as connection:
            return work(connection, *args, **kwargs)

    def see(self, work: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        with self.db.read() as connection:
            return work(connection, *args, **kwargs)

    async def set_health(self, state: Health, reason: str = "no connection") -> None:
        self.change(facts.set_health, self.appliance.id, HealthFact(state, reason, self.now))
        await self.directory.refresh()

    def make_controller(self, key: bytes) -> Controller:
        """As a node has it at its start."""
        resolver = Resolver(self.settings.dns, self.clock)
        prover = Prover(self.settings, self.db, self.queue, resolver, self.clock, key, lambda: self.edge.listeners)
        return Controller(
            self.settings,
            self.db,
            self.directory,
            self.queue,
            prover,
            self.clock,
            lambda _: self.owned,
            lambda _connection, _id: self.held,
        )

    async def until(self, condition: Callable[[], Any], *, timeout: float = 30.0) -> Any:
        """Tick until it holds."""

        async def ticked() -> Any:
            await self.controller.tick()
            return condition()

        return await eventually(ticked, timeout=timeout)

    @property
    def continuity(self) -> ContinuityFact:
        found: ContinuityFact = self.see(facts.get_continuity, self.appliance.id)
        return found

    def ticket(self, condition: Condition = Condition.MAILFLOW, appliance: Appliance | None = None) -> Ticket | None:
        found: Ticket | None = self.see(latest, (appliance or self.appliance).id, condition)
        return found

    def story(self, condition: Condition = Condition.MAILFLOW) -> list[tuple[Event, str]]:
        """The ticket's history: each event, and what was said."""
        ticket = self.ticket(condition)
        assert ticket is not None
        lines = self.see(histories, tickets.c.id == ticket.id)[ticket.id]
        return [(line.event, line.reason) for line in lines]

    def said(self, condition: Condition = Condition.MAILFLOW) -> str:
        return "\n".join(reason for _, reason in self.story(condition))

    def priorities(self) -> list[int]:
        """The priorities that the ticket has had, in turn."""
        ticket = self.ticket()
        assert ticket is not None
        lines = self.see(histories, tickets.c.id == ticket.id)[ticket.id]
        changes = (Event.OPENED, Event.REOPENED, Event.PRIORITY)
        return [int(line.after) for line in lines if line.event in changes]

    def proven_at(self) -> float:
        """When the proofs were begun last."""
        return min((proof.at for proof in self.see(proofs_of, self.appliance.id)), default=0.0)

    def history(self) -> list[Entry]:
        """Of the failovers, oldest first."""
        found: list[Entry] = self.see(list_history)
        return found[::-1]

    def ledger(self, outage: int | None = None) -> Ledger:
        (found,) = self.see(ledger, self.domain.name, outage)
        return found  # type: ignore[no-any-return]

    async def receive(self, count: int) -> list[int]:
        """Mail comes; the numbers of the messages."""
        numbers: list[int] = []
        for place in range(count):
            recipient = Recipient(f"user{place}@{self.domain.name}")
            numbers += await self.queue.accept(
                Incoming(
                    Envelope("sender@elsewhere.example", (recipient,)),
                    Client("192.0.2.9", 1234, "elsewhere.example"),
                    self.now,
                    b"Received: by relay.example\r\n",
                    b"Subject: hello\r\n\r\nhello\r\n",
                    25,
                    "",
                    ((self.domain, (recipient,)),),
                )
            )
        return numbers

    async def hand_back(self, count: int, *, deferred: bool = False) -> None:
        """The primary takes, or defers, so many messages of those that are due."""
        reply = Reply(450, "4.2.1", "Later") if deferred else Reply(250, "2.0.0", "Ok")
        await self.queue.record(
            [
                Outcome(
                    message.id,
                    due.id,
                    State.QUEUED if deferred else State.DELIVERED,
                    reply,
                    self.now,
                    next_attempt_at=self.now + 900 if deferred else None,
                )
                for message in await self.queue.due(self.appliance.id, self.now, limit=count)
                for due in message.recipients
            ]
        )


@asynccontextmanager
async def world(folder: Path, *, start: float = NIGHT, edge: bool = True, **changes: Any) -> AsyncIterator[World]:
    """``changes``: ``rules`` for [continuity], ``smtp`` for [smtp], the rest for the appliance acme, which is up."""
    rules = sections.Continuity(**changes.pop("rules", {}))
    smtp = Smtp(listen=["127.0.0.1:0"], **changes.pop("smtp", {}))
    async with DnsStub(RECORDS, ttl=0) as stub:
        settings = Settings(
            node=Node(name="test", hostname="relay.example", mx_names=["relay.example"]),
            smtp=smtp,
            continuity=rules,
            dns=Dns(resolvers=[stub.address], timeout=2),
            metrics=Metrics(listen=""),
        )
        made = type("_World", (World,), {"start": start})(folder, stub, settings)
        made.appliance, made.domain = made.change(_add, made.now, changes)
        await made.directory.refresh()
        key = made.see(secret)
        made.queue = Queue(made.db, made.clock, "test", on_accept=lambda _: None, database_capacity=PLENTY)
        await made.queue.start()
        made.edge = Edge(
            settings,
            made.directory,
            made.queue,
            Pulse(),
            Recipients(made.db, made.directory),
            made.clock,
            Etrn(
                made.directory,
                Endpoints(Resolver(settings.dns, made.clock), settings.node),
                made.queue,
                Pulse(),
                lambda numbers: None,
                made.clock,
            ),
            Tally(made.db, made.clock, "test"),
            proof_key=key,
            resolver=Resolver(settings.dns, made.clock),
        )
        if edge:
            await made.edge.start()
        made.controller = made.make_controller(key)
        try:
            await made.set_health(Health.UP, "answers")
            yield made
        finally:
            await made.controller.close()
            await made.edge.close(5.0)
            await made.queue.close()
            made.db.close()


def _add(connection: Connection, now: float, changes: dict[str, Any]) -> tuple[Appliance, Domain]:
    domain = changes.pop("domain", {})
    appliance = store.add_appliance(connection, now, name="acme", customer="Acme Ltd", **changes)
    return appliance, store.add_domain(connection, now, name="acme.example", appliance_id=appliance.id, **domain)
