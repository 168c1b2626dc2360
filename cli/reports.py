"""relayctl queue reports: what is on its way to the senders of mail that failed, expired or is delayed."""

from __future__ import annotations

from typing import Any

import click

from cli.context import Operator, json_option
from cli.render import at, span
from cli.table import Column, count, prose
from relay.queue.reports import Report, waiting

MANY = 100_000
"""Rows that are shown at most."""


@click.command("reports")
@click.option("--limit", type=click.IntRange(1, MANY), default=100, show_default=True, help="Rows at most.")
@json_option
@click.pass_obj
def reports(operator: Operator, limit: int) -> None:
    """Reports to senders that wait to be sent, oldest first.

    They go to the senders' own servers by themselves, and are given up after five days.
    """
    with operator.db.read() as connection:
        rows = waiting(connection, limit + 1)
    more, rows, now = len(rows) > limit, rows[:limit], operator.now()
    if operator.out.facts([_facts(row) for row in rows]):
        return
    operator.out.table(
        (
            count("ID"),
            count("MESSAGE"),
            "TO",
            "ABOUT",
            "KIND",
            count("AGE"),
            count("TRIES", spare=2),
            Column("NEXT", spare=1),
            prose("LAST REPLY"),
        ),
        (
            (
                row.id,
                row.message_id,
                row.sender,
                row.about[0] + (f" +{len(row.about) - 1}" if len(row.about) > 1 else ""),
                row.kind,
                span(now - row.created_at),
                row.attempts,
                f"in {span(row.next_attempt_at - now)}" if row.next_attempt_at > now else "now",
                row.last_reply,
            )
            for row in rows
        ),
        empty="no report waits to be sent",
    )
    if more:
        operator.out.line(f"… and more: --limit shows more than {limit}", "dim")


def _facts(row: Report) -> dict[str, Any]:
    return {
        "id": row.id,
        "message": row.message_id,
        "to": row.sender,
        "about": list(row.about),
        "kind": row.kind,
        "created_at": at(row.created_at),
        "attempts": row.attempts,
        "next_attempt_at": at(row.next_attempt_at),
        "last_reply": row.last_reply,
    }
