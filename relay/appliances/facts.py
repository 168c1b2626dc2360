"""What is known of an appliance, in the database: health, continuity, outages, maintenance, findings.

Each fact is written by one room (health by watch, the rest by continuity, orders and windows by operators) and read
by all. Functions work inside the caller's transaction.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from sqlalchemy import Connection, Row, delete, insert, select, update

from relay.appliances.tables import continuity, facts_version, findings, health, maintenance, outages


class Health(StrEnum):
    """What we know of an appliance."""

    UNKNOWN = "unknown"
    UP = "up"
    DELAYED = "delayed"
    DOWN = "down"


class Continuity(StrEnum):
    """What we do about it."""

    STANDBY = "standby"
    ACTIVE = "active"
    DRAINING = "draining"


REFUSED = "refused"
"""How the reason of ``delayed`` begins when the primary answers 5xx at banner, EHLO or MAIL: nothing is drained."""


@dataclass(frozen=True, slots=True)
class HealthFact:
    """``since``: when the state began (down: the first failure). The rest: what the primary last offered in EHLO."""

    state: Health
    reason: str
    since: float
    offered_size: int | None = None
    offered_smtputf8: bool | None = None
    offered_8bitmime: bool | None = None

    @property
    def refuses(self) -> bool:
        return self.state is Health.DELAYED and self.reason.startswith(REFUSED)


@dataclass(frozen=True, slots=True)
class ContinuityFact:
    """``ready``: None before the first proofs. ``order``: ``activate``, ``deactivate`` or None, as an operator said.

    ``doubt_since``: since when the proofs have disagreed with ``ready``. ``priority``: what continuity last wanted for
    the ticket about mail flow (a person may have changed the ticket since). ``downs``: when the appliance last went
    down, at most three times.
    """

    state: Continuity
    since: float
    ready: bool | None = None
    failing_proofs: tuple[str, ...] = ()
    outage_id: int | None = None
    order: str | None = None
    order_by: str | None = None
    order_at: float | None = None
    doubt_since: float | None = None
    priority: int | None = None
    downs: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class Outage:
    """One outage of an appliance; times that have not come yet are None."""

    id: int
    appliance_id: int
    began_at: float
    taken_over_at: float | None
    returned_at: float | None
    drained_at: float | None
    ended_at: float | None
    reason: str


@dataclass(frozen=True, slots=True)
class Window:
    """A maintenance window, [starts_at, ends_at)."""

    id: int
    appliance_id: int
    starts_at: float
    ends_at: float
    reason: str
    created_by: str


@dataclass(frozen=True, slots=True)
class Finding:
    """Something wrong in a customer's set-up; ``domain`` is empty where it is about the whole appliance."""

    appliance_id: int
    domain: str
    condition: str
    evidence: str
    since: float


def raise_version(connection: Connection, *, directory: bool = False) -> int:
    """Tell every node to reload what it knows, with the commit of this transaction; the version that it makes.

    ``directory``: appliances or domains too. Nobody else raises it before this transaction has ended, so that
    whoever sees a version sees everything up to it.
    """
    raised = facts_version.c.version + 1
    values = {"version": raised, **({"directory": raised} if directory else {})}
    statement = update(facts_version).values(**values).returning(facts_version.c.version)
    return int(connection.execute(statement).scalar_one())


def version(connection: Connection) -> int:
    return int(connection.execute(select(facts_version.c.version)).scalar_one())


def versions(connection: Connection) -> tuple[int, int]:
    """Of the facts, and at which of these versions appliances or domains last changed."""
    row = connection.execute(select(facts_version.c.version, facts_version.c.directory)).one()
    return row.version, row.directory


def set_health(connection: Connection, appliance_id: int, fact: HealthFact) -> None:
    """watch alone writes this."""
    version = raise_version(connection)
    connection.execute(
        update(health)
        .where(health.c.appliance_id == appliance_id)
        .values(
            state=str(fact.state),
            reason=fact.reason,
            since=fact.since,
            offered_size=fact.offered_size,
            offered_smtputf8=fact.offered_smtputf8,
            offered_8bitmime=fact.offered_8bitmime,
            version=version,
        )
    )


def all_health(connection: Connection, *, after: int = -1) -> dict[int, HealthFact]:
    """Of each appliance; ``after``: what was written after that version of the facts."""
    found = connection.execute(select(health).where(health.c.version > after))
    return {row.appliance_id: _health(row) for row in found}


def get_health(connection: Connection, appliance_id: int) -> HealthFact | None:
    row = connection.execute(select(health).where(health.c.appliance_id == appliance_id)).first()
    return _health(row) if row else None


def _health(row: Row[Any]) -> HealthFact:
    return HealthFact(
        Health(row.state), row.reason, row.since, row.offered_size, row.offered_smtputf8, row.offered_8bitmime
    )


def set_continuity(connection: Connection, appliance_id: int, fact: ContinuityFact) -> None:
    """continuity alone writes this; the operator's order is kept apart by :func:`set_order`."""
    version = raise_version(connection)
    connection.execute(
        update(continuity)
        .where(continuity.c.appliance_id == appliance_id)
        .values(
            state=str(fact.state),
            since=fact.since,
            ready=fact.ready,
            failing_proofs=list(fact.failing_proofs),
            outage_id=fact.outage_id,
            doubt_since=fact.doubt_since,
            priority=fact.priority,
            downs=list(fact.downs),
            version=version,
        )
    )


def set_order(connection: Connection, appliance_id: int, order: str | None, by: str | None, now: float) -> None:
    """Record what an operator said (``activate``, ``deactivate``), or clear it (None) when the outage ended."""
    version = raise_version(connection)
    connection.execute(
        update(continuity)
        .where(continuity.c.appliance_id == appliance_id)
        .values(operator_order=order, operator_name=by, operator_at=now if order else None, version=version)
    )


def all_continuity(connection: Connection, *, after: int = -1) -> dict[int, ContinuityFact]:
    """Of each appliance; ``after``: what was written after that version of the facts."""
    found = connection.execute(select(continuity).where(continuity.c.version > after))
    return {row.appliance_id: _continuity(row) for row in found}


def get_continuity(connection: Connection, appliance_id: int) -> ContinuityFact | None:
    row = connection.execute(select(continuity).where(continuity.c.appliance_id == appliance_id)).first()
    return _continuity(row) if row else None


def _continuity(row: Row[Any]) -> ContinuityFact:
    return ContinuityFact(
        Continuity(row.state),
        row.since,
        row.ready,
        tuple(row.failing_proofs),
        row.outage_id,
        row.operator_order,
        row.operator_name,
        row.operator_at,
        row.doubt_since,
        row.priority,
        tuple(row.downs),
    )


def begin_outage(connection: Connection, appliance_id: int, began_at: float, reason: str) -> int:
    """Open an outage and return its number."""
    key = connection.execute(
        insert(outages).values(appliance_id=appliance_id, began_at=began_at, reason=reason)
    ).inserted_primary_key
    assert key is not None  # noqa: S101 - an INTEGER PRIMARY KEY always comes back
    return int(key[0])


def mark_outage(connection: Connection, outage_id: int, **times: float | None) -> None:
    """Set ``taken_over_at``, ``returned_at``, ``drained_at`` or ``ended_at``."""
    connection.execute(update(outages).where(outages.c.id == outage_id).values(**times))


def get_outage(connection: Connection, outage_id: int) -> Outage | None:
    row = connection.execute(select(outages).where(outages.c.id == outage_id)).first()
    return Outage(*row) if row else None


def list_outages(connection: Connection, appliance_id: int | None = None, *, since: float = 0.0) -> list[Outage]:
    """Newest first."""
    query = select(outages).where(outages.c.began_at >= since).order_by(outages.c.id.desc())
    if appliance_id is not None:
        query = query.where(outages.c.appliance_id == appliance_id)
    return [Outage(*row) for row in connection.execute(query)]


def list_drained(connection: Connection) -> set[int]:
    """Appliances whose outage goes on though all that waited for them has been tried: until they have stayed up."""
    query = select(outages.c.appliance_id).where(outages.c.ended_at.is_(None), outages.c.drained_at.is_not(None))
    return set(connection.execute(query).scalars())


def add_window(connection: Connection, **values: Any) -> int:
    """Add a maintenance window (fields of :class:`Window` but its id) and return its number."""
    key = connection.execute(insert(maintenance).values(**values)).inserted_primary_key
    assert key is not None  # noqa: S101
    raise_version(connection)
    return int(key[0])


def list_windows(connection: Connection, *, ending_after: float = 0.0) -> list[Window]:
    query = select(maintenance).where(maintenance.c.ends_at > ending_after).order_by(maintenance.c.starts_at)
    return [Window(*row) for row in connection.execute(query)]


def remove_window(connection: Connection, number: int, now: float) -> bool:
    """End a window that is open, or take back one to come; False where it is neither.

    One that is open isn't deleted: until now nobody was expected to answer, and no clock starts before its end.
    """
    window = maintenance.c.id == number
    ended = connection.execute(
        update(maintenance)
        .where(window, maintenance.c.starts_at <= now, maintenance.c.ends_at > now)
        .values(ends_at=now)
    ).rowcount
    removed = connection.execute(delete(maintenance).where(window, maintenance.c.starts_at > now)).rowcount
    raise_version(connection)
    return bool(ended or removed)


def set_finding(
    connection: Connection, appliance_id: int, domain: str, condition: str, evidence: str | None, now: float
) -> None:
    """Record a finding, renew its evidence (``since`` stays), or with ``evidence=None`` say that it is cured."""
    same = (
        (findings.c.appliance_id == appliance_id) & (findings.c.domain == domain) & (findings.c.condition == condition)
    )
    if evidence is None:
        changed = connection.execute(delete(findings).where(same)).rowcount
    else:
        found = connection.execute(select(findings.c.evidence).where(same)).scalar()
        changed = found != evidence
        if found is None:
            connection.execute(
                insert(findings).values(
                    appliance_id=appliance_id, domain=domain, condition=condition, evidence=evidence, since=now
                )
            )
        elif changed:
            connection.execute(update(findings).where(same).values(evidence=evidence))
    if changed:
        raise_version(connection)


def list_findings(connection: Connection, appliance_id: int | None = None) -> list[Finding]:
    query = select(
        findings.c.appliance_id, findings.c.domain, findings.c.condition, findings.c.evidence, findings.c.since
    ).order_by(findings.c.since)
    if appliance_id is not None:
        query = query.where(findings.c.appliance_id == appliance_id)
    return [Finding(*row) for row in connection.execute(query)]
