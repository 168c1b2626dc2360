"""Which helpdesk the settings ask for."""

from __future__ import annotations

from relay.clock import Clock
from relay.db import Database
from relay.dns import Resolver
from relay.settings import Helpdesk as Settings
from relay.tickets.helpdesks.embedded import Embedded
from relay.tickets.helpdesks.helpdesk import Helpdesk
from relay.tickets.helpdesks.rt.tracker import RequestTracker
from relay.tickets.helpdesks.webhook import Webhook


def choose(settings: Settings, db: Database, clock: Clock, resolver: Resolver) -> Helpdesk:
    """Made, and not yet spoken to."""
    match settings.kind:
        case "rt":
            return RequestTracker(settings, db, clock)
        case "webhook":
            return Webhook(settings, clock, resolver)
        case _:
            return Embedded()
