"""The evidence of proofs and the history of failovers in the database, inside the caller's transaction."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row, delete, insert, select

from relay.appliances.tables import appliances
from relay.clock import iso
from relay.continuity.proof import Proof
from relay.continuity.tables import failover_history, proofs


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of the history: ``actor`` is ``relay`` or a person, ``before`` and ``after`` are what JSON calls from
    and to: states, or orders."""

    id: int
    at: float
    appliance: str
    outage_id: int | None
    actor: str
    before: str
    after: str
    reason: str

    def facts(self) -> dict[str, Any]:
        """Ready for JSON; times are ISO 8601."""
        return {
            "id": self.id,
            "at": iso(self.at),
            "appliance": self.appliance,
            "outage": self.outage_id,
            "actor": self.actor,
            "from": self.before,
            "to": self.after,
            "reason": self.reason,
        }


def record_proofs(connection: Connection, found: Iterable[tuple[int, Proof]]) -> None:
    """Replace all evidence of the appliances in these (appliance id, proof) pairs, which are what their last round
    found; that of an appliance which has gone meanwhile is dropped."""
    found = list(found)
    wanted = {appliance_id for appliance_id, _ in found}
    there = set(connection.scalars(select(appliances.c.id).where(appliances.c.id.in_(wanted))))
    rows = [
        {"appliance_id": appliance_id, **dataclasses.asdict(proof)}
        for appliance_id, proof in found
        if appliance_id in there
    ]
    connection.execute(delete(proofs).where(proofs.c.appliance_id.in_(there)))
    if rows:
        connection.execute(insert(proofs), rows)


def proofs_of(connection: Connection, appliance_id: int) -> tuple[Proof, ...]:
    """The last evidence of one appliance."""
    rows = connection.execute(select(proofs).where(proofs.c.appliance_id == appliance_id).order_by(proofs.c.name))
    return tuple(_proof(row) for row in rows)


def add_history(
    connection: Connection,
    appliance_id: int,
    outage_id: int | None,
    actor: str,
    before: str,
    after: str,
    reason: str,
    now: float,
) -> None:
    connection.execute(
        insert(failover_history).values(
            at=now,
            appliance_id=appliance_id,
            outage_id=outage_id,
            actor=actor,
            before=before,
            after=after,
            reason=reason,
        )
    )


def list_history(connection: Connection, appliance_id: int | None = None, *, limit: int = 1000) -> list[Entry]:
    """The newest first, of one appliance or of all."""
    query = (
        select(failover_history, appliances.c.name.label("appliance"))
        .join(appliances)
        .order_by(failover_history.c.id.desc())
        .limit(limit)
    )
    if appliance_id is not None:
        query = query.where(failover_history.c.appliance_id == appliance_id)
    return [
        Entry(row.id, row.at, row.appliance, row.outage_id, row.actor, row.before, row.after, row.reason)
        for row in connection.execute(query)
    ]


def _proof(row: Row[Any]) -> Proof:
    return Proof(row.name, row.ok, row.evidence, row.at, row.last_good_at)
