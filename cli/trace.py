"""relayctl trace: did this mail get through?"""

from __future__ import annotations

from typing import Any

import click

from cli.context import Operator, json_option
from cli.render import at, clock_time, size, span
from cli.table import Column, count, prose, word
from relay.errors import NotFound
from relay.queue import trace as traces
from relay.queue.trace import Traced


@click.command()
@click.option("--sender", metavar="ADDRESS", help="Envelope sender; '<>' for the null sender.")
@click.option("--recipient", metavar="ADDRESS", help="Envelope recipient.")
@click.option("--message-id", metavar="TEXT", help="The Message-ID header, with or without brackets.")
@click.option("--id", "number", metavar="ID", type=int, help="The number it had here.")
@click.option("--limit", type=click.IntRange(1, 10000), default=20, show_default=True, help="Messages at most.")
@json_option
@click.pass_obj
def trace(
    operator: Operator,
    sender: str | None,
    recipient: str | None,
    message_id: str | None,
    number: int | None,
    limit: int,
) -> None:
    """What became of a message, newest first; exit 1 if none is known.

    From its arrival to 30 days after it left.
    """
    if (sender, recipient, message_id, number) == (None, None, None, None):
        raise click.UsageError("say --sender, --recipient, --message-id or --id")
    found = traces.trace(operator.db, sender=sender, recipient=recipient, message_id=message_id, id=number, limit=limit)
    if not operator.out.facts([_facts(one) for one in found]):
        for one in found:
            _tell(operator, one)
    if not found:
        raise NotFound("no such message is here, or left within the last 30 days")


def _facts(one: Traced) -> dict[str, Any]:
    return {
        "id": one.id,
        "sender": one.sender,
        "message_id": one.message_id,
        "size": one.size,
        "received_at": at(one.received_at),
        "removed_at": at(one.removed_at),
        "client": one.client_ip,
        "helo": one.client_helo,
        "recipients": [
            {
                "address": recipient.address,
                "domain": recipient.domain,
                "state": str(recipient.state),
                "reason": str(recipient.reason) if recipient.reason else None,
                "attempts": recipient.attempts,
                "last_attempt_at": at(recipient.at),
                "last_reply": recipient.reply,
            }
            for recipient in one.recipients
        ],
    }


def _tell(operator: Operator, one: Traced) -> None:
    stayed = (
        ""
        if one.removed_at is None
        else f"{clock_time(one.removed_at)}, after {span(one.removed_at - one.received_at)}"
    )
    operator.out.line(f"Message {one.id}", "bold")
    operator.out.pairs(
        (
            ("message-id", one.message_id),
            ("from", one.sender or "<>"),
            ("client", f"{one.client_ip} ({one.client_helo})"),
            ("size", size(one.size)),
            ("received", clock_time(one.received_at)),
            ("left", stayed),
        )
    )
    operator.out.line()
    operator.out.table(
        ("RECIPIENT", word("STATE"), count("TRIES"), Column("LAST ATTEMPT", spare=1), prose("LAST REPLY")),
        (
            (
                recipient.address,
                f"{recipient.state} {recipient.reason}" if recipient.reason else str(recipient.state),
                recipient.attempts,
                clock_time(recipient.at),
                recipient.reply,
            )
            for recipient in one.recipients
        ),
        empty="",
    )
    operator.out.line()
