"""Every part of a node, made and wired to those that it needs; what they do from then on is their own affair.

Nothing here runs, and nothing here is refused but what the settings or the database make impossible: relay.app starts
and ends it all.
"""

from __future__ import annotations

import functools
from importlib.metadata import version
from pathlib import Path

from relay import events
from relay.appliances.directory import Directory
from relay.appliances.evidence import Evidence
from relay.appliances.mx import Endpoints
from relay.appliances.pulse import Pulse
from relay.clock import Clock
from relay.cluster.lease import OUTBOX, POSTMASTER
from relay.cluster.node import Node
from relay.cluster.observer import Timing
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
from relay.queue.queue import Queue
from relay.recipients.known import Recipients
from relay.recipients.learning import Learning
from relay.recipients.sync.schedule import Syncs
from relay.recipients.sync.syncer import Syncer
from relay.settings import Settings
from relay.tickets.hearing import Hearing
from relay.tickets.helpdesks.choice import choose
from relay.tickets.helpdesks.listener import Listener
from relay.tickets.outbox import Outbox
from relay.tickets.people.book import Book
from relay.tickets.people.people import People
from relay.tickets.plan import Terms
from relay.tickets.warnings import Warnings
from relay.watch.upkeep import Upkeep
from relay.watch.watcher import Watcher

VERSION = version("failover-relay")


class Parts:
    """What a node consists of. ``clock``, ``timing`` (the lease's): of its own, for tests.

    Raises DatabaseError where the database can't be used, SettingsError where [dns] or [notify] is wrong.
    """

    def __init__(self, settings: Settings, *, clock: Clock | None = None, timing: Timing | None = None) -> None:
        self.settings = settings
        self.clock = clock or Clock()
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
        keeps_house = functools.partial(self.node.owns, POSTMASTER)
        self.queue = Queue(
            self.db,
            self.clock,
            settings.node.name,
            on_accept=self.wake.notify,
            min_disk_free=settings.limits.min_disk_free,
            database_capacity=settings.limits.database_capacity,
            keeps_house=keeps_house,
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
        self.tally = Tally(self.db, self.clock, settings.node.name, keeps_house=keeps_house)
        helpdesk = choose(settings.helpdesk, self.db, self.clock, self.resolver)
        terms = Terms.of(settings.support)
        owns_outbox = functools.partial(self.node.owns, OUTBOX)
        self.outbox = Outbox(self.db, self.clock, helpdesk, terms, may=owns_outbox)
        self.hearing = Hearing(self.db, self.clock, helpdesk, settings.helpdesk.poll, may=owns_outbox)
        self.people = People(self.db, self.clock, Book.of(settings), terms, may=owns_outbox)
        self.listener = Listener(self.db, self.clock, lambda: Terms.of(self.settings.support))
        self.warnings = Warnings(self.db, self.clock, terms, settling=self.node.settling, may=owns_outbox)
        # Those of :meth:`complete`.
        self.delivery: Delivery
        self.edge: Edge
        self.controller: Controller

    def complete(self, key: bytes) -> None:
        """Make what needs the node's name or the cluster's key, which there are once it has its lease."""
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
