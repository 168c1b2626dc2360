"""What operators order: to take over, or not to. Each verb works inside the caller's transaction that writes.

An order holds until the outage ends; given while the appliance is up, also while an outage is still drained, it waits
for the next one. It is carried out by
the appliance's owner, which hears of it within a quarter of a second; 'activate' still needs the proofs.
"""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection

from relay.appliances import facts, store
from relay.appliances.facts import Health
from relay.appliances.model import Appliance
from relay.continuity.permission import ACTIVATE, DEACTIVATE
from relay.continuity.store import add_history
from relay.errors import Refused


@dataclass(frozen=True, slots=True)
class Ordered:
    """An order as it was taken. ``armed``: the appliance is not down now; it is kept for the next outage."""

    appliance: Appliance
    order: str
    health: Health
    armed: bool


def activate(connection: Connection, appliance: str, who: str, reason: str, now: float) -> Ordered:
    """Take over for the appliance of this name, whatever its hours and policy say. Raises NotFound, Refused."""
    return _order(connection, appliance, ACTIVATE, who, reason, now)


def deactivate(connection: Connection, appliance: str, who: str, reason: str, now: float) -> Ordered:
    """Don't take over for it, or no longer; mail is queued all the same. Raises NotFound, Refused."""
    return _order(connection, appliance, DEACTIVATE, who, reason, now)


def _order(connection: Connection, name: str, order: str, who: str, reason: str, now: float) -> Ordered:
    if not who.strip():
        raise Refused("say who you are: an order is recorded with a name")
    appliance = store.get_appliance(connection, name)
    present = facts.get_continuity(connection, appliance.id)
    health = facts.get_health(connection, appliance.id)
    if present is None or health is None:
        raise Refused(f"the facts of {name} are missing in the database; run 'relayctl db check'")
    ongoing = None if present.outage_id is None else facts.get_outage(connection, present.outage_id)
    returned_at = None if ongoing is None else ongoing.returned_at
    renewed = returned_at is not None and (present.order_at or 0.0) < returned_at  # said of the outage, now of the next
    if present.order != order or present.order_by != who or renewed:
        facts.set_order(connection, appliance.id, order, who, now)
        add_history(connection, appliance.id, present.outage_id, who, present.order or "", order, reason, now)
    return Ordered(appliance, order, health.state, ongoing is None or returned_at is not None)
