"""One node: starts every part of it, runs them in one task group, and ends them cleanly.

Start: what can be refused (a port, a certificate, a second node of the same name) is refused before any mail is
taken. Stop: no new sessions, sessions end with 421 once their message is committed, what is on its way to a primary
gets its outcome, what was submitted is committed, appliances are released; all within 30 seconds. A part
that fails ends the node, for a supervisor to start it again: mail that got 250 is on disk.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

from prometheus_client import start_http_server

from relay import events
from relay.backup.age import Age
from relay.clock import Clock
from relay.cluster.lease import OUTBOX
from relay.cluster.observer import Timing
from relay.cluster.secret import secret
from relay.cluster.vitals import Vitals
from relay.errors import RelayError, StartFailed
from relay.parts import VERSION, Parts
from relay.settings import Settings, load
from relay.tickets.helpdesks.choice import choose
from relay.tickets.people.book import Book, get_ready, slow_to_read
from relay.tickets.plan import Terms
from relay.values import parse_address

GRACE = 20.0
"""Seconds that sessions and deliveries have to finish what they are at; HURRY: where a part has failed."""
HURRY = 2.0
RESTART_ONLY = ("node", "dns", "metrics")
"""Sections that a running node doesn't take over; nor does it move its listeners."""


class App(Parts):
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
        super().__init__(settings, clock=clock, timing=timing)
        self._config = config
        self._stop = asyncio.Event()
        self._reason = ""
        self._finished = False
        self.ready = asyncio.Event()
        """Set once the node takes mail."""

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
                    loops = [group.create_task(loop) for loop in self._loops()]
                    self.ready.set()
                    events.started(self.settings.node.name, VERSION, self.listeners)
                    await self._stop.wait()
                    events.stopping(self.settings.node.name, self._reason)
                    await self._finish(GRACE)
                    for loop in loops:
                        loop.cancel()
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
        self.complete(await self.db.run(secret))
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

    def _loops(self) -> list[Coroutine[Any, Any, None]]:
        """What runs for as long as the node does."""
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
