"""One node: builds every part, runs them in one task group, starts and stops cleanly.

Start: what can be refused (a port, a certificate, a second node of the same name) is refused before any mail is
taken. Stop: no new sessions, sessions end with 421 once their message is committed, what is on its way to a primary
gets its outcome, what was submitted is committed, appliances are released; all within 30 seconds. A part
that fails ends the node, for a supervisor to start it again: mail that got 250 is on disk.
"""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Coroutine
from contextlib import AsyncExitStack
from importlib.metadata import version
from pathlib import Path
from typing import Any

from prometheus_client import start_http_server

from relay import events
from relay.appliances.directory import Directory
from relay.appliances.evidence import Evidence
from relay.appliances.mx import Endpoints
from relay.appliances.pulse import Pulse
from relay.backup.age import Age
from relay.clock import Clock
from relay.cluster.lease import OUTBOX, Timing
from relay.cluster.node import Node
from relay.cluster.secret import secret
from relay.cluster.vitals import Vitals
from relay.cluster.wake import Wake
from relay.continuity.controller import Controller
from relay.continuity.readiness import Prover
from relay.db import Database
from relay.delivery.asker import Asker
from relay.delivery.supervisor import Delivery
from relay.dns import Resolver
from relay.edge.etrn import Etrn
from relay.edge.server import Edge
from relay.edge.tally import Tally
from relay.errors import RelayError, StartFailed
from relay.queue.queue import Queue
from relay.recipients.known import Recipients
from relay.recipients.learning import Learning
from relay.recipients.sync.schedule import Syncs
from relay.recipients.sync.syncer import Syncer
from relay.settings import Settings, load
from relay.tickets.hearing import Hearing
from relay.tickets.helpdesks.choice import choose
from relay.tickets.helpdesks.listener import Listener
from relay.tickets.outbox import Outbox
from relay.tickets.people.book import Book, get_ready, slow_to_read
from relay.tickets.people.people import People
from relay.tickets.plan import Terms
from relay.tickets.warnings import Warnings
from relay.values import parse_address
from relay.watch.upkeep import Upkeep
from relay.watch.watcher import Watcher

GRACE = 20.0
"""Seconds that sessions and deliveries have to finish what they are at; HURRY: where a part has failed."""
HURRY = 2.0
VERSION = version("failover-relay")
RESTART_ONLY = ("node", "dns", "metrics")
"""Sections that a running node doesn't take over; nor does it move its listeners."""


class App:
    """A node with everything in it. ``config``: where SIGHUP rereads the settings; ``clock``, ``timing`` (the lease's):
    of its own, for tests.

    Raises DatabaseError where the database can't be used, SettingsError where [dns] or [notify] is wrong.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        config: Path | None = None,
        clock: Clock | None = None,
        timing: Timing | None = None,
    ) -> None:
        self.settings = settings
        self.clock = clock or Clock()
        self._config = config
        self._stop = asyncio.Event()
        self._reason = ""
        self._finished = False
        self.ready = asyncio.Event()
        """Set once the node takes mail."""
        self.resolver = Resolver(settings.dns)
        node = settings.node
        self.db = Database(node.database, direct=node.database_direct, folder=Path(node.folder))
        self.db.told = events.database
        self.directory = Directory(self.db)
        self.pulse = Pulse()
        self.evidence = Evidence()
        self.endpoints = Endpoints(self.resolver, settings.node)
        self.node = Node(
            self.db, self.clock, settings.node, (), VERSION, self.directory, timing=timing, pulse=self.pulse
        )
        self.asker = Asker(settings, self.directory, self.endpoints, self.pulse)
        self.learning = Learning(
            self.db, self.directory, self.pulse, self.clock, self.node.owns, self.node.holds, self.asker.ask
        )
        self.recipients = Recipients(self.db, self.directory, self.learning)
        syncer = Syncer(self.db, self.resolver, self.clock)
        self.syncs = Syncs(self.db, self.directory, syncer, self.clock, self.node.owns, self.node.holds)
        self.wake = Wake(self.db, self.directory, self.node.owns)
        self.queue = Queue(
            self.db,
            self.clock,
            settings.node.name,
            on_accept=self.wake.notify,
            min_disk_free=settings.limits.min_disk_free,
            database_capacity=settings.limits.database_capacity,
        )
        self.watcher = Watcher(
            settings.watch,
            self.directory,
            self.db,
            self.pulse,
            self.evidence,
            self.endpoints,
            self.clock,
            self.node,
            settings.node.hostname,
            self.wake,
        )
        self.upkeep = Upkeep(
            self.directory,
            self.db,
            self.clock,
            self.node.owns,
            self.node.holds,
            self.node.settling,
            self.queue.depth_of_domain,
        )
        self.tally = Tally(self.db, self.clock, settings.node.name)
        helpdesk = choose(settings.helpdesk, self.db, self.clock, self.resolver)
        terms = Terms.of(settings.support)
        self.outbox = Outbox(self.db, self.clock, helpdesk, terms, may=lambda: self.node.owns(OUTBOX))
        self.hearing = Hearing(
            self.db, self.clock, helpdesk, settings.helpdesk.poll, may=lambda: self.node.owns(OUTBOX)
        )
        owns_outbox = functools.partial(self.node.owns, OUTBOX)
        self.people = People(self.db, self.clock, Book.of(settings), terms, may=owns_outbox)
        self.listener = Listener(self.db, self.clock, lambda: Terms.of(self.settings.support))
        self.warnings = Warnings(
            self.db, self.clock, terms, settling=self.node.settling, may=lambda: self.node.owns(OUTBOX)
        )
        # These need the node's name or the cluster's key, which it has from its start on.
        self.delivery: Delivery
        self.edge: Edge
        self.controller: Controller

    @property
    def listeners(self) -> list[str]:
        """Where mail is taken, as host:port."""
        return self.edge.listeners

    def stop(self, reason: str = "asked to") -> None:
        """End :meth:`run` cleanly."""
        self._reason = reason
        self._stop.set()

    async def run(self) -> None:
        """Run until :meth:`stop`, or until a part fails: raises what failed once the rest has been brought to its end.

        Raises StartFailed, DatabaseError.
        """
        try:
            async with AsyncExitStack() as stack:
                await self._start(stack)
                async with asyncio.TaskGroup() as group:
                    parts = [group.create_task(part) for part in self._parts()]
                    self.ready.set()
                    events.started(self.settings.node.name, VERSION, self.listeners)
                    await self._stop.wait()
                    events.stopping(self.settings.node.name, self._reason)
                    await self._finish(GRACE)
                    for part in parts:
                        part.cancel()
        except ExceptionGroup as failed:
            first = failed.exceptions[0]
            if not isinstance(first, RelayError):
                events.fault("node", first)
            raise first from None
        finally:
            if self.ready.is_set():
                events.stopped(self.settings.node.name)

    def reload(self) -> None:
        """SIGHUP: reread the certificates, and those settings that a running node can take over."""
        try:
            settings = load(self._config)
            if slow_to_read(settings):
                asyncio.get_running_loop().run_in_executor(None, get_ready).add_done_callback(lambda _: self.reload())
                return
            book = Book.of(settings)
            self.edge.reconfigure(settings.smtp)
        except RelayError as error:
            events.reload_refused(str(error))
            return
        kept = [name for name in RESTART_ONLY if getattr(settings, name) != getattr(self.settings, name)]
        if settings.smtp.listen != self.settings.smtp.listen:
            kept.append("smtp listen")
        if settings.helpdesk.listen != self.settings.helpdesk.listen:
            kept.append("helpdesk listen")
        self.edge.reconfigure_limits(settings.limits)
        self.queue.reconfigure(settings.limits.min_disk_free, settings.limits.database_capacity)
        self.watcher.reconfigure(settings.watch)
        self.controller.reconfigure(settings)
        self.delivery.reconfigure(settings.delivery)
        self.asker.reconfigure(settings.delivery)
        terms = Terms.of(settings.support)
        self.warnings.reconfigure(terms)
        self.people.reconfigure(book, terms)
        helpdesk = choose(settings.helpdesk, self.db, self.clock, self.resolver)
        self.outbox.reconfigure(helpdesk, terms)
        self.hearing.reconfigure(helpdesk, settings.helpdesk.poll)
        self.listener.reconfigure(settings.helpdesk.secret)
        self.settings = settings.model_copy(update={name: getattr(self.settings, name) for name in RESTART_ONLY})
        events.reloaded(needs_restart=kept)

    async def _start(self, stack: AsyncExitStack) -> None:
        """Start in the order in which parts need each other; the stack ends them in the opposite one."""
        stack.callback(self.db.close)
        stack.push_async_callback(self.node.close)
        await self.node.start()
        await self.directory.refresh()
        await self.recipients.refresh()
        await self.learning.refresh()
        stack.push_async_callback(self.asker.close)
        stack.push_async_callback(self.learning.close)
        stack.push_async_callback(self.queue.close)
        await self.queue.start()
        self._serve_metrics(stack)
        self.delivery = Delivery(
            self.settings,
            self.directory,
            self.db,
            self.queue,
            self.pulse,
            self.evidence,
            self.endpoints,
            self.clock,
            self.node.owns,
            self.wake,
            settling=self.node.settling,
            heard=self.learning.heard,
        )
        key = await self.db.run(secret)
        etrn = Etrn(self.directory, self.endpoints, self.queue, self.pulse, self.wake.notify, self.clock)
        self.edge = Edge(
            self.settings,
            self.directory,
            self.queue,
            self.pulse,
            self.recipients,
            self.clock,
            etrn,
            self.tally,
            proof_key=key,
            resolver=self.resolver,
            closed=lambda: self.node.gives_way,
        )
        prover = Prover(self.settings, self.db, self.queue, self.resolver, self.clock, key, lambda: self.edge.listeners)
        self.controller = Controller(
            self.settings,
            self.db,
            self.directory,
            self.queue,
            prover,
            self.clock,
            self.node.owns,
            self.node.holds,
        )
        stack.push_async_callback(self.tally.write)
        stack.push_async_callback(self._finish, HURRY)
        stack.push_async_callback(self.listener.close)
        await self.listener.start(self.settings.helpdesk)
        await self.edge.start()
        self.node.announce(self.edge.listeners)

    def _serve_metrics(self, stack: AsyncExitStack) -> None:
        if not self.settings.metrics.listen:
            return
        host, port = parse_address(self.settings.metrics.listen)
        try:
            server, thread = start_http_server(port, host, events.registry)
        except OSError as error:
            raise StartFailed(
                f"can't serve metrics on {host}:{port}: {(error.strerror or str(error)).lower()}; "
                'is another node running? ([metrics] listen = "" for none)'
            ) from error
        stack.callback(thread.join)
        stack.callback(server.server_close)
        stack.callback(server.shutdown)

    def _parts(self) -> list[Coroutine[Any, Any, None]]:
        return [
            self.node.run(self._busy),
            self.wake.run(),
            Vitals(self.clock).run(),
            Age(self.db).run(),
            self.recipients.run(),
            self.learning.run(),
            self.syncs.run(),
            self.queue.run(),
            self.watcher.run(),
            self.upkeep.run(),
            self.delivery.run(),
            self.controller.run(),
            self.outbox.run(),
            self.hearing.run(),
            self.people.run(),
            self.warnings.run(),
            self.tally.run(),
        ]

    def _busy(self, appliance_id: int) -> bool:
        """Whether something is under way here that its next owner would do again."""
        return self.outbox.busy if appliance_id == OUTBOX else self.delivery.busy(appliance_id)

    async def _finish(self, grace: float) -> None:
        """No new mail in or out; what is on its way gets its end. The second time there is nothing left to do."""
        if self._finished:
            return
        self._finished = True
        ends = {asyncio.create_task(self.edge.close(grace)), asyncio.create_task(self.delivery.close())}
        done, late = await asyncio.wait(ends, timeout=grace + 1)
        for end in late:
            end.cancel()
        for end in done:
            if error := end.exception():
                events.fault("stop", error)
