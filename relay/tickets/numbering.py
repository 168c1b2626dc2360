"""The numbers of tickets and of the lines of their histories, which nobody may be given twice.

The database gives them, one after the other. Only one that was restored from a backup has forgotten some that people
and helpdesks have heard of since: :func:`skip` leaves those out. Functions work inside the caller's transaction.
"""

from __future__ import annotations

from sqlalchemy import Connection, Table, delete, func, insert, select, text

from relay.tickets.tables import ticket_events, ticket_numbers, tickets

TICKETS, EVENTS = 10_000, 1_000_000
"""A restored database goes on at the next multiple."""


def forced(connection: Connection, table: Table) -> dict[str, int]:
    """The number that the next row has to be given, as a column; none where the database gives the right one."""
    first = connection.execute(select(ticket_numbers.c.first).where(ticket_numbers.c.name == table.name)).scalar()
    if first is None or first <= _last(connection, table):
        return {}
    return {"id": first}


def skip(connection: Connection) -> None:
    """Leave out the numbers that may have been given since the moment that this database shows."""
    for table, step in ((tickets, TICKETS), (ticket_events, EVENTS)):
        # At least a tenth of a step further: a ticket may have been opened in the moment after.
        first = (_last(connection, table) + step // 10) // step * step + step
        if connection.dialect.name == "postgresql":
            sequence = text("SELECT setval(pg_get_serial_sequence(:name, 'id'), :first, false)")
            connection.execute(sequence, {"name": table.name, "first": first})
        else:
            connection.execute(delete(ticket_numbers).where(ticket_numbers.c.name == table.name))
            connection.execute(insert(ticket_numbers).values(name=table.name, first=first))


def _last(connection: Connection, table: Table) -> int:
    return int(connection.execute(select(func.coalesce(func.max(table.c.id), 0))).scalar_one())
