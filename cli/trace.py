"""relayctl trace: did this mail get through?"""

from __future__ import annotations

from typing import Any

import click

from cli.context import NUMBER, Operator, json_option
from cli.render import at, clock_time, size, span
from cli.table import Column, count, prose, word
from cli.verdict import Home, answer, summary, verdict
from relay.appliances import facts, store
from relay.errors import NotFound
from relay.queue import trace as traces
from relay.queue.trace import Traced

UNKNOWN = Home("the primary", None)
"""Where an appliance was removed since, and of mail for the relay's own postmaster."""


@click.command()
@click.option("--sender", metavar="ADDRESS", help="Envelope sender; '<>' for the null sender.")
@click.option("--recipient", metavar="ADDRESS", help="Envelope recipient.")
@click.option("--message-id", metavar="TEXT", help="The Message-ID header, with or without brackets.")
@click.option("--id", "number", metavar="ID", type=NUMBER, help="The number it had here.")
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
    """Did this mail get through? Newest first; exit 1 if none is known.

    From its arrival to 30 days after it left. What was refused was never here: 'relayctl status DOMAIN' counts that,
    and the node's log has each.
    """
    if (sender, recipient, message_id, number) == (None, None, None, None):
        raise click.UsageError("say --sender, --recipient, --message-id or --id")
    found = traces.trace(
        operator.db, sender=sender, recipient=recipient, message_id=message_id, id=number, limit=limit + 1
    )
    more, found, now = len(found) > limit, found[:limit], operator.now()
    homes = _homes(operator)
    answers = [answer(one, homes.get(one.appliance_id, UNKNOWN), now) for one in found]
    if not operator.out.facts([_facts(one, said) for one, said in zip(found, answers, strict=True)]):
        if len(found) > 1:
            operator.out.line(summary(found, more))
            operator.out.line()
        for one, said in zip(found, answers, strict=True):
            _tell(operator, one, said)
        if more:
            operator.out.line(f"… and more: --limit shows more than {limit}", "dim")
    if not found:
        raise NotFound("no such message is here, or left within the last 30 days")


def _homes(operator: Operator) -> dict[int, Home]:
    """What is known of each appliance."""
    with operator.db.read() as connection:
        health = facts.all_health(connection)
        return {one.id: Home(one.name, health.get(one.id)) for one in store.list_appliances(connection)}


def _facts(one: Traced, said: str) -> dict[str, Any]:
    return {
        "id": one.id,
        "through": str(verdict(one)),
        "answer": said,
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
                "next_attempt_at": at(recipient.next_attempt_at),
            }
            for recipient in one.recipients
        ],
    }


def _tell(operator: Operator, one: Traced, said: str) -> None:
    stayed = (
        ""
        if one.removed_at is None
        else f"{clock_time(one.removed_at)}, after {span(one.removed_at - one.received_at)}"
    )
    operator.out.line(said, "bold")
    operator.out.pairs(
        (
            ("message", one.id),
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
