"""What a database holds, also one of an older version: how it is recognised as empty, and what a manifest says.

Works inside the caller's transaction.
"""

from __future__ import annotations

from sqlalchemy import Connection, inspect, text

from relay.backup.manifest import Counts

NOTHING = Counts(0, 0, 0, 0, 0, 0, 0)


def revision(connection: Connection) -> str | None:
    """None where there are no tables of ours."""
    if not inspect(connection).has_table("alembic_version"):
        return None
    found: str | None = connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
    return found


def counts(connection: Connection) -> Counts:
    """Zeroes for tables that its version doesn't have yet."""
    tables = set(inspect(connection).get_table_names())
    if not {"messages", "ledger", "tickets"} <= tables:
        return NOTHING
    sums = connection.execute(text("SELECT sum(accepted), sum(delivered), sum(queued), sum(held) FROM ledger")).one()
    accepted, delivered, queued, held = (int(found or 0) for found in sums)
    return Counts(
        messages=_count(connection, "messages"),
        accepted=accepted,
        delivered=delivered,
        queued=queued,
        held=held,
        reports=_count(connection, "reports") if "reports" in tables else 0,
        tickets=_count(connection, "tickets WHERE status != 'resolved'"),
    )


def _count(connection: Connection, which: str) -> int:
    return int(connection.execute(text(f"SELECT count(*) FROM {which}")).scalar_one())  # noqa: S608


def in_use(connection: Connection) -> bool:
    """Whether anything is in it that somebody may miss: an appliance, or mail, or what became of it."""
    tables = set(inspect(connection).get_table_names()) & {"appliances", "messages", "ledger", "trace"}
    return any(connection.execute(text(f"SELECT 1 FROM {name} LIMIT 1")).first() for name in tables)  # noqa: S608
