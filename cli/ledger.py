"""relayctl ledger: what was accepted, and what became of it, in recipients."""

from __future__ import annotations

from typing import Any

import click

from cli.context import NUMBER, Operator, json_option
from cli.names import DOMAIN
from cli.render import plural
from cli.table import count, word
from relay.appliances import store
from relay.appliances.facts import get_outage
from relay.errors import NotFound
from relay.mail import normalise_domain
from relay.queue.ledger import Ledger
from relay.queue.ledger import ledger as read_ledger

COLUMNS = ("accepted", "delivered", "bounced", "expired", "dropped", "queued", "held")


@click.command()
@click.argument("domain", required=False, type=DOMAIN)
@click.option("--outage", type=NUMBER, metavar="ID", help="Only what was counted for one outage (failover history).")
@json_option
@click.pass_obj
def ledger(operator: Operator, domain: str | None, outage: int | None) -> None:
    """What was accepted = delivered + bounced + expired + dropped + queued + held."""
    with operator.db.read() as connection:
        if domain is not None:
            domain = (
                normalise_domain(domain) if _known(connection, domain) else store.get_domain(connection, domain).name
            )
        rows = read_ledger(connection, domain, outage)
        if outage is not None and not rows and get_outage(connection, outage) is None:
            raise NotFound(f"there is no outage {outage}; 'relayctl failover history' shows them")
    facts = [_facts(row) for row in rows]
    if operator.out.as_json:
        nothing = {"domain": domain, **dict.fromkeys(COLUMNS, 0)}
        operator.out.facts(facts if domain is None else (facts[0] if facts else nothing))
        return
    operator.out.table(
        ("DOMAIN", *(count(column.upper()) for column in COLUMNS), word("BALANCE")),
        (
            (row["domain"], *(row[column] for column in COLUMNS), "ok" if one.balanced else "failed")
            for row, one in zip(facts, rows, strict=True)
        ),
        empty="no mail has been accepted yet" if outage is None else f"no mail came in outage {outage}",
    )
    if len(rows) > 1:
        total = {column: sum(row[column] for row in facts) for column in COLUMNS}
        parts = " + ".join(f"{total[column]} {column}" for column in COLUMNS[1:] if total[column])
        operator.out.line(f"{plural(len(rows), 'domain')}: {total['accepted']} accepted = {parts or 0}")


def _known(connection: Any, domain: str) -> bool:
    """A ledger outlives its domain: one that has rows needs no entry."""
    try:
        return bool(read_ledger(connection, normalise_domain(domain)))
    except ValueError:
        return False


def _facts(row: Ledger) -> dict[str, Any]:
    return {"domain": row.domain, **{column: getattr(row, column) for column in COLUMNS}}
