"""A queue on a real database, and mail to put into it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

from relay.appliances import store
from relay.appliances.model import Domain, Primary
from relay.clock import Clock
from relay.db import Database
from relay.mail import Client, Envelope, Recipient, Reply
from relay.queue.cases import Case
from relay.queue.ledger import Ledger, ledger
from relay.queue.model import Incoming, Outcome, Outgoing
from relay.queue.queue import Queue
from relay.queue.reports import NewReport
from relay.queue.settling import Fate, Settlement
from relay.queue.states import Reason, State
from relay.queue.upload import Upload
from relay.queue.verify import verify
from tests.support.database import make_database

RECEIVED = b"Received: from client.example (client.example [192.0.2.7])\r\n\tby relay.example with ESMTP;\r\n"
CONTENT = b"Subject: hello\r\nMessage-ID: <1@elsewhere.example>\r\n\r\nA letter.\r\n"
NOW = 1_800_000_000.0
OK = Reply(250, "2.0.0", "queued as 4711")
LATER = Reply(451, "4.7.1", "greylisted")
NO = Reply(550, "5.1.1", "no such user")


class House:
    """A database with two appliances (acme with two domains, bolt with one), and a queue on it."""

    def __init__(self, db: Database, clock: Clock, folder: Path) -> None:
        self.db = db
        self.folder = folder
        self.clock = clock
        self.woken: list[set[int]] = []
        self.queue = Queue(db, clock, "n1", on_accept=lambda ids: self.woken.append(set(ids)))
        with db.write() as connection:
            if store.find_appliance(connection, "acme") is None:
                for name, domains in (("acme", ("acme.example", "acme.test")), ("bolt", ("bolt.example",))):
                    appliance = store.add_appliance(connection, NOW, name=name, primaries=(Primary("192.0.2.25"),))
                    for domain in domains:
                        store.add_domain(connection, NOW, name=domain, appliance_id=appliance.id)
            self.domains = {domain.name: domain for domain in store.list_domains(connection)}
        self.acme = self.domains["acme.example"].appliance_id
        self.bolt = self.domains["bolt.example"].appliance_id

    def letter(
        self,
        *recipients: str,
        sender: str = "ann@elsewhere.example",
        content: bytes | Upload = CONTENT,
        size: int | None = None,
        message_id: str = "<1@elsewhere.example>",
        received_at: float = NOW,
    ) -> Incoming:
        """Mail to these addresses (``user@acme.example`` if none is given)."""
        given = tuple(Recipient(address) for address in recipients or ("user@acme.example",))
        routes: dict[Domain, list[Recipient]] = {}
        for recipient in given:
            routes.setdefault(self.domains[recipient.domain], []).append(recipient)
        return Incoming(
            Envelope(sender, given, "8BITMIME", ret="HDRS", envid="QQ314159"),
            Client("192.0.2.7", 4711, "client.example", "ESMTPS"),
            received_at,
            RECEIVED,
            content,
            size if size is not None else len(content) if isinstance(content, bytes) else 0,
            message_id,
            tuple((domain, tuple(group)) for domain, group in routes.items()),
        )

    async def accept(self, *recipients: str, **options: object) -> list[int]:
        return await self.queue.accept(self.letter(*recipients, **options))  # type: ignore[arg-type]

    async def due(self, appliance_id: int | None = None, now: float = NOW) -> list[Outgoing]:
        return await self.queue.due(appliance_id or self.acme, now, limit=10_000)

    async def failed(self, appliance_id: int | None = None, now: float = NOW) -> list[Case]:
        return await self.queue.failures.failed(appliance_id or self.acme, now, after=0, limit=10_000)

    async def overdue(self, appliance_id: int | None = None, now: float = NOW) -> list[Case]:
        cases, _ = await self.queue.failures.overdue(appliance_id or self.acme, now, after=0, limit=10_000)
        return cases

    def ledger(self, domain: str = "acme.example", outage: int | None = None) -> Ledger:
        with self.db.read() as connection:
            found = ledger(connection, domain, outage)
        return found[0] if found else Ledger(domain, 0, 0, 0, 0, 0, 0, 0)

    def problems(self) -> list[str]:
        with self.db.read() as connection:
            return verify(connection)

    @contextmanager
    def busy(self) -> Iterator[None]:
        """The writer's next transaction waits until the block ends."""
        if self.db.dialect == "sqlite":
            with self.db.write_lock:
                yield
            return
        other = self.db.raw()
        other.execute("BEGIN")
        other.execute("LOCK TABLE domains, content, recipients IN ACCESS EXCLUSIVE MODE")
        yield
        other.close()

    def rows(self, table: str) -> int:
        with self.db.read() as connection:
            return int(connection.exec_driver_sql(f"SELECT count(*) FROM {table}").scalar_one())  # noqa: S608


@asynccontextmanager
async def house(folder: Path, clock: Clock | None = None, *, db: Database | None = None) -> AsyncIterator[House]:
    """A house whose queue is started, and closed at the end; what stays in the folder can be opened again.

    ``db``: instead of the folder's.
    """
    db = db or make_database(folder)
    found = House(db, clock or Clock(), folder)
    try:
        await found.queue.start()
        yield found
    finally:
        await found.queue.close()
        db.close()


@asynccontextmanager
async def second_node(home: House) -> AsyncIterator[Queue]:
    """Another node's queue on the same database."""
    db = make_database(home.folder)
    queue = Queue(db, home.clock, "n2", on_accept=lambda ids: None)
    try:
        await queue.start()
        yield queue
    finally:
        await queue.close()
        db.close()


def outcomes(
    mail: Iterable[Outgoing],
    state: State = State.DELIVERED,
    reply: Reply = OK,
    *,
    at: float = NOW,
    reason: Reason | None = None,
    next_attempt_at: float | None = None,
) -> list[Outcome]:
    """The same outcome for every recipient."""
    return [
        Outcome(message.id, recipient.id, state, reply, at, reason, next_attempt_at)
        for message in mail
        for recipient in message.recipients
    ]


def settlement(case: Case, state: State, *, expired: bool = False, report: bytes | None = None) -> Settlement:
    """The same fate for all whom a case concerns: BOUNCED, EXPIRED, or HELD as quarantined; and a report of it."""
    reason = Reason.QUARANTINED if state is State.HELD else None
    about = tuple(one.address for one in case.recipients)
    return Settlement(
        case.id,
        expired,
        tuple(Fate(one.id, state, f"{one.reply} (judged)", reason) for one in case.recipients),
        "unvouched" if reason else "vouched",
        "as the test says",
        NewReport(case.appliance_id, case.id, case.sender, "elsewhere.example", "failed", about, report)
        if report is not None
        else None,
    )
