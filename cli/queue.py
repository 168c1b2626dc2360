"""relayctl queue: the mail that waits, and what an operator may do with it. One filter serves every verb."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import Any

import click

from cli.context import NUMBER, Noun, Operator, dry_run_option, json_option, yes_option
from cli.export import to_folder, to_mailbox
from cli.queue_filter import filter_options
from cli.render import at, clock_time, plural, size, span
from cli.reports import reports
from cli.table import Column, count, prose, word
from relay.db import Database
from relay.errors import NotFound, Refused
from relay.queue import operators
from relay.queue.export import pieces
from relay.queue.filter import Filter
from relay.queue.operators import Listed

MANY = 100_000
"""Lines that are shown at most; more recipients than a message can have."""
COUNTING = 0.5
"""Seconds that may be spent on counting what isn't shown."""


@click.group(cls=Noun)
def queue() -> None:
    """The mail that waits. All verbs but show and reports take the same filter; several options must all hold."""


@queue.command("list")
@click.pass_obj
@json_option
@click.option("--limit", type=click.IntRange(1, MANY), default=100, show_default=True, help="Rows at most.")
@filter_options
def list_(operator: Operator, which: Filter, limit: int) -> None:
    """What waits, oldest first."""
    now = operator.now()
    rows = operators.select_rows(operator.db, which, now, limit=limit + 1)
    more, rows = len(rows) > limit, rows[:limit]
    if operator.out.facts([_facts(row) for row in rows]):
        return
    operator.out.table(
        (
            count("ID"),
            word("STATE"),
            count("AGE"),
            count("SIZE", spare=3),
            "SENDER",
            "RECIPIENTS",
            count("TRIES", spare=2),
            Column("NEXT", spare=1),
            prose("LAST REPLY"),
        ),
        (
            (
                row.id,
                f"{row.state} {row.reason}" if row.reason else str(row.state),
                span(now - row.received_at),
                size(row.size),
                row.sender or "<>",
                row.recipients[0] + (f" +{len(row.recipients) - 1}" if len(row.recipients) > 1 else ""),
                row.attempts,
                f"in {span(row.next_attempt_at - now)}" if row.next_attempt_at and row.next_attempt_at > now else "",
                row.last_reply,
            )
            for row in rows
        ),
        empty="nothing waits" + ("" if which == Filter() else " that the filter matches"),
    )
    if more:
        beyond, all_of_them = operators.count_messages(operator.db, which, now, after=rows[-1].id, seconds=COUNTING)
        many = plural(beyond, "more message") if all_of_them else f"more than {plural(beyond, 'more message')}"
        operator.out.line(f"… and {many}; --limit shows more than {limit} lines", "dim")


def _facts(row: Listed) -> dict[str, Any]:
    return {
        "id": row.id,
        "domain": row.domain,
        "sender": row.sender,
        "recipients": list(row.recipients),
        "size": row.size,
        "received_at": at(row.received_at),
        "attempts": row.attempts,
        "next_attempt_at": at(row.next_attempt_at),
        "last_reply": row.last_reply,
        "state": str(row.state),
        "reason": str(row.reason) if row.reason else None,
        "evidence": row.evidence or None,
    }


@queue.command("show")
@click.argument("number", metavar="ID", type=NUMBER)
@json_option
@click.pass_obj
def show(operator: Operator, number: int) -> None:
    """One message: its envelope, and where each recipient stands."""
    rows = operators.select_rows(operator.db, Filter(ids=(number,)), operator.now(), limit=MANY)
    if not rows:
        raise _gone(number)
    if operator.out.facts([_facts(row) for row in rows]):
        return
    first = rows[0]
    operator.out.line(f"Message {number}", "bold")
    operator.out.pairs(
        (
            ("from", first.sender or "<>"),
            ("sender", first.evidence),
            ("received", clock_time(first.received_at)),
            ("size", size(first.size)),
        )
    )
    operator.out.line()
    operator.out.table(
        ("RECIPIENT", word("STATE"), count("TRIES"), Column("NEXT ATTEMPT", spare=1), prose("LAST REPLY")),
        (
            (
                recipient,
                f"{row.state} {row.reason}" if row.reason else str(row.state),
                row.attempts,
                clock_time(row.next_attempt_at),
                row.last_reply,
            )
            for row in rows
            for recipient in row.recipients
        ),
        empty="",
    )


def _gone(number: int) -> NotFound:
    return NotFound(f"no message {number} waits here; 'relayctl trace --id {number}' knows what became of it")


Verb = Callable[[Database, Filter, float, str], int]


def _change(operator: Operator, which: Filter, verb: Verb, done: str, dry_run: bool, now: float | None = None) -> None:
    """Carry a verb out on what matches, and say on how much."""
    now = operator.now() if now is None else now
    if dry_run:
        number = operators.count(operator.db, which, now, verb)
    else:
        try:
            number = verb(operator.db, which, now, operator.who)
        except KeyboardInterrupt:
            raise Refused(f"stopped part way: what is {done} stays so; the same command goes on") from None
    if not number:
        _expect(operator, which, now)
    line = f"{plural(number, 'recipient')} {'would be ' if dry_run else ''}{done}"
    operator.out.done(line, recipients=number, dry_run=dry_run)


def _expect(operator: Operator, which: Filter, now: float) -> None:
    """A message that somebody names by its number should be here. Raises NotFound."""
    for number in which.ids:
        if not operators.select_rows(operator.db, Filter(ids=(number,)), now, limit=1):
            raise _gone(number)


@queue.command("hold")
@click.pass_obj
@json_option
@dry_run_option
@filter_options
def hold(operator: Operator, which: Filter, dry_run: bool) -> None:
    """Keep what matches from being delivered; held mail never expires."""
    _change(operator, which, operators.hold, "held", dry_run)


@queue.command("release")
@click.pass_obj
@json_option
@dry_run_option
@filter_options
def release(operator: Operator, which: Filter, dry_run: bool) -> None:
    """Let held mail go on."""
    _change(operator, which, operators.release, "released", dry_run)


@queue.command("retry")
@click.pass_obj
@json_option
@dry_run_option
@filter_options
def retry(operator: Operator, which: Filter, dry_run: bool) -> None:
    """Try deferred mail now instead of at its next time."""
    _change(operator, which, operators.retry, "tried again now", dry_run)


@queue.command("drop")
@click.pass_obj
@json_option
@yes_option
@dry_run_option
@filter_options
def drop(operator: Operator, which: Filter, dry_run: bool, yes: bool) -> None:
    """Destroy mail: nobody gets it, and its sender is not told."""
    if which == Filter():
        raise click.UsageError("say which mail: dropping everything that waits needs a filter")
    now = operator.now()
    if not yes and not dry_run:
        number = operators.count(operator.db, which, now, operators.drop)
        if not number:
            _expect(operator, which, now)
            raise NotFound("nothing matches, nothing dropped")
        if not sys.stdin.isatty():
            raise Refused(f"this would destroy mail for {plural(number, 'recipient')}: say --yes where nobody is asked")
        click.confirm(f"Destroy mail for {plural(number, 'recipient')} for good?", abort=True, err=True)
        if not which.ids:  # what arrives while somebody thinks about the number is not part of it
            which = replace(which, older_than=which.older_than or 0.0)
    _change(operator, which, operators.drop, "dropped", dry_run, now)


@queue.command("export")
@click.pass_obj
@json_option
@click.option("--to", "folder", type=click.Path(path_type=Path, file_okay=False), help="A folder for .eml files.")
@click.option("--mbox", type=click.Path(path_type=Path, dir_okay=False), help="A new file for all, as mboxrd.")
@dry_run_option
@filter_options
def export(operator: Operator, which: Filter, folder: Path | None, mbox: Path | None, dry_run: bool) -> None:
    """Write messages to files; they stay in the queue.

    One to standard output, as it would be sent; or each to a file of FOLDER, with its envelope beside it (.json); or
    all to one mailbox, with Return-Path and X-Envelope-To above each. Nothing that is there is overwritten.
    """
    if folder is not None and mbox is not None:
        raise click.UsageError("say --to or --mbox")
    if folder is None and mbox is None and not dry_run and (sys.stdout.isatty() or operator.out.as_json):
        raise Refused("a message may hold anything, and would come out raw: use a pipe, --to FOLDER or --mbox FILE")
    numbers = operators.message_numbers(operator.db, which, operator.now())
    first, second = next(numbers, None), next(numbers, None)
    if first is None:
        _expect(operator, which, operator.now())
        raise NotFound("nothing matches")
    every = chain([first], [second] if second else [], numbers)
    if dry_run:
        count = sum(1 for _ in every)
        operator.out.done(f"{plural(count, 'message')} would be written", messages=count, there=0, dry_run=True)
    elif folder is not None:
        count, there = to_folder(operator.db, every, folder)
        before = f"; {plural(there, 'message')} there already" if there else ""
        operator.out.done(
            f"{plural(count, 'message')} written to {folder}{before}", messages=count, there=there, dry_run=False
        )
    elif mbox is not None:
        count = to_mailbox(operator.db, every, mbox)
        operator.out.done(f"{plural(count, 'message')} written to {mbox}", messages=count, there=0, dry_run=False)
    elif second is not None:
        raise Refused("several messages match: say --to FOLDER or --mbox FILE, or choose one by --id")
    else:
        sys.stdout.buffer.writelines(pieces(operator.db, first))


queue.add_command(reports)
