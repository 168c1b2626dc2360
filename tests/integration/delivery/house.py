"""A node's delivery on a real database, with primaries of the test's own: what watch would say is said by the test."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

from relay.appliances import facts, store
from relay.appliances.directory import Directory
from relay.appliances.evidence import Evidence
from relay.appliances.facts import Health, HealthFact
from relay.appliances.model import Appliance, Domain, Primary
from relay.appliances.mx import Endpoints
from relay.appliances.pulse import Pulse, Reach
from relay.clock import Clock
from relay.cluster.lease import POSTMASTER
from relay.cluster.wake import Wake
from relay.db import Database
from relay.delivery.supervisor import Delivery
from relay.dns import Resolver
from relay.mail import Client, Envelope, Recipient
from relay.queue import operators, reports
from relay.queue.filter import Filter
from relay.queue.ledger import Ledger, ledger
from relay.queue.model import Incoming
from relay.queue.operators import Listed
from relay.queue.queue import Queue
from relay.queue.reports import Report
from relay.queue.states import Reason, State
from relay.queue.trace import trace
from relay.queue.verify import verify
from relay.settings import Delivery as DeliverySettings
from relay.settings import Dns, Node, Settings, Watch
from tests.support.database import make_database
from tests.support.primary import ScriptedPrimary

DOMAIN = "acme.example"
CLIENT = Client("192.0.2.1", 4321, "sender.example")
RECEIVED = b"Received: from sender.example by relay.test; Mon, 23 Nov 2026 17:30:00 +0000\r\n"


class ShiftedClock(Clock):
    """The clock, and how far a test has moved it on."""

    def __init__(self) -> None:
        super().__init__()
        self.ahead = 0.0

    def now(self) -> float:
        return super().now() + self.ahead


class House:
    """Everything that delivery needs. ``appliance``: of the domain acme.example, with the test's primaries."""

    def __init__(self, db: Database, settings: Settings) -> None:
        self.db = db
        self.settings = settings
        self.clock = ShiftedClock()
        self.directory = Directory(db)
        self.pulse = Pulse()
        self.evidence = Evidence()
        self.owned = True
        self.heard: list[tuple[str, int]] = []
        """What recipients were told at RCPT, as those hear it who learn from deliveries."""
        self.wake = Wake(db, self.directory, self.owns)
        self.queue = Queue(db, self.clock, "test", on_accept=self.wake.notify)
        self.delivery = self._delivery()
        self.appliance: Appliance
        self._running: list[asyncio.Task[None]] = []

    def owns(self, appliance_id: int) -> bool:
        return self.owned

    def _delivery(self) -> Delivery:
        return Delivery(
            self.settings,
            self.directory,
            self.db,
            self.queue,
            self.pulse,
            self.evidence,
            Endpoints(Resolver(self.settings.dns), self.settings.node),
            self.clock,
            self.owns,
            self.wake,
            heard=lambda address, reply: self.heard.append((address.partition("@")[0], reply.code)),
        )

    async def start(self, primaries: Sequence[ScriptedPrimary | Primary], health: Health) -> None:
        def furnish() -> Appliance:
            with self.db.write() as connection:
                hosts = tuple(Primary(primary.host, primary.port) for primary in primaries)
                appliance = store.add_appliance(connection, self.clock.now(), name="acme", primaries=hosts)
                store.add_domain(connection, self.clock.now(), name=DOMAIN, appliance_id=appliance.id)
                return appliance

        self.appliance = await asyncio.to_thread(furnish)
        await self.set_health(health, since=self.clock.now() - 86400)
        await self.queue.start()
        self._running = [asyncio.create_task(part) for part in (self.wake.run(), self.delivery.run())]

    async def set_appliance(self, **changes: object) -> None:
        """What an operator says, and the node has heard of."""
        await self.db.change(partial(store.set_appliance, **changes), "acme")
        await self.directory.refresh()

    async def set_health(self, state: Health, since: float | None = None) -> None:
        fact = HealthFact(state, "as the test says", self.clock.now() if since is None else since)
        await self.db.change(facts.set_health, self.appliance.id, fact)
        await self.directory.refresh()

    async def stop(self) -> None:
        await self.delivery.close()
        for task in self._running:
            task.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)
        await self.queue.close()
        self.db.close()

    async def restart_delivery(self) -> None:
        """Close delivery cleanly, and begin anew, as a node's next start does."""
        await self.delivery.close()
        self._running.pop().cancel()
        self.delivery = self._delivery()
        self._running.append(asyncio.create_task(self.delivery.run()))

    # What watch says

    async def returns(self) -> None:
        """The first answer after silence, then proven up."""
        self.canary()
        await self.up()

    def canary(self) -> None:
        self.pulse.saw(self.appliance.id, Reach.CANARY)

    async def up(self) -> None:
        if self.directory.health(self.appliance.id).state is not Health.UP:
            await self.set_health(Health.UP)
        self.pulse.saw(self.appliance.id, Reach.YES)

    async def down(self) -> None:
        self.pulse.saw(self.appliance.id, Reach.NO)
        await self.set_health(Health.DOWN)

    # What the edge does

    async def accept(
        self,
        *recipients: str,
        content: bytes = b"Subject: hello\r\n\r\nHello.\r\n",
        sender: str = "sender@sender.example",
        message_id: str = "",
        client: Client = CLIENT,
        notify: str | None = None,
        **envelope: Any,
    ) -> int:
        """A message for mailboxes of acme.example is in the queue; its number."""
        addresses = tuple(Recipient(f"{name}@{DOMAIN}", notify) for name in recipients or ("someone",))
        domain = self.directory.domain(DOMAIN)
        assert domain is not None
        about = Envelope(sender, addresses, **envelope)
        return await self._accept(domain, about, content, message_id, client)

    async def accept_postmaster(self, content: bytes) -> int:
        """The same for the relay's own postmaster."""
        domain = self.directory.domain(DOMAIN)
        assert domain is not None
        ours = Domain(0, "relay.test", POSTMASTER, domain.recipients, domain.when_up, 86400, 0, None, 0.0)
        envelope = Envelope("sender@sender.example", (Recipient("postmaster@relay.test"),))
        return await self._accept(ours, envelope, content, "", CLIENT)

    async def _accept(self, domain: Domain, envelope: Envelope, content: bytes, message_id: str, client: Client) -> int:
        incoming = Incoming(
            envelope=envelope,
            client=client,
            received_at=self.clock.now(),
            received=RECEIVED,
            content=content,
            size=len(content),
            message_id=message_id,
            routes=((domain, envelope.recipients),),
        )
        (number,) = await self.queue.accept(incoming)
        return number

    # What an operator sees

    def reports(self) -> list[Report]:
        """What waits to be sent to senders."""
        with self.db.read() as connection:
            return reports.waiting(connection, 100_000)

    def traced(self, number: int) -> list[tuple[str, State, str]]:
        """Each recipient of a message, with state and last reply."""
        (found,) = trace(self.db, id=number)
        return [(one.address.removesuffix(f"@{DOMAIN}"), one.state, one.reply) for one in found.recipients]

    def ledger(self) -> Ledger:
        with self.db.read() as connection:
            (found,) = ledger(connection, DOMAIN)
        return found

    def faults(self) -> list[str]:
        with self.db.read() as connection:
            return verify(connection)

    def rows(self, state: State | None = None, reason: Reason | None = None) -> list[Listed]:
        return operators.select_rows(self.db, Filter(state=state, reason=reason), self.clock.now(), limit=100_000)

    def waiting(self) -> int:
        """Recipients queued or held."""
        depth = self.queue.depth(self.appliance.id)
        return depth.queued + depth.held

    def addresses(self, state: State, reason: Reason | None = None) -> list[str]:
        """Recipients of acme.example in a state, without the domain, in order."""
        rows = self.rows(state, reason)
        return sorted(address.removesuffix(f"@{DOMAIN}") for row in rows for address in row.recipients)


@asynccontextmanager
async def house(
    folder: Path,
    *primaries: ScriptedPrimary | Primary,
    health: Health = Health.DOWN,
    postmaster: str = "",
    hostname: str = "relay.test",
    resolver: str = "127.0.0.1:1",
    silence: float = 30.0,
    **delivery: object,
) -> AsyncIterator[House]:
    """A house whose delivery runs until the block is left. Without ``primaries`` they are found by MX, from the name
    server at ``resolver``, by default none that is there. ``silence``: seconds that a banner is waited for.
    ``delivery``: its settings."""
    settings = Settings(
        node=Node(name="test", hostname=hostname, postmaster=postmaster),
        delivery=DeliverySettings.model_validate(delivery),
        watch=Watch(reply_timeout=silence),
        dns=Dns(resolvers=[resolver], timeout=2.0),
    )
    made = House(make_database(folder), settings)
    await made.start(primaries, health)
    try:
        yield made
    finally:
        await made.stop()
