"""relayctl queue: the mail that waits, and what an operator may do with it. One filter serves every verb."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from cli.context import Operator, dry_run_option, json_option, yes_option
from cli.render import at, clock_time, plural, size, span
from relay.appliances.model import parse_duration
from relay.db import Database
from relay.errors import NotFound, Refused
from relay.mail import normalise_domain
from relay.queue import operators
from relay.queue.filter import Filter
from relay.queue.operators import Listed
from relay.queue.states import Reason, State


def filter_options(command: Any) -> Any:
    """The filter; its values arrive as one Filter named ``which``."""

    def gather(operator: Operator, /, **options: Any) -> Any:
        older = options.pop("older_than")
        domain = options.pop("domain")
        try:
            age = None if older is None else parse_duration(older)
            name = None if domain is None else normalise_domain(domain)
        except ValueError as error:
            raise Refused(str(error)) from None
        which = Filter(
            domain=name,
            sender=options.pop("sender"),
            recipient=options.pop("recipient"),
            state=State(state) if (state := options.pop("state")) else None,
            reason=Reason(reason) if (reason := options.pop("reason")) else None,
            older_than=age,
            ids=options.pop("ids"),
        )
        return command(operator, which=which, **options)

    gather.__doc__, gather.__name__ = command.__doc__, command.__name__
    gather.__click_params__ = getattr(command, "__click_params__", [])  # type: ignore[attr-defined]
    wrapped: Any = gather
    for option in reversed(
        (
            click.option("--domain", help="Recipients of this Gold domain."),
            click.option("--sender", help="Envelope sender; '<>' for the null sender."),
            click.option("--recipient", help="Recipient's address."),
            click.option("--state", type=click.Choice(["queued", "held"])),
            click.option("--reason", type=click.Choice([str(reason) for reason in Reason])),
            click.option("--older-than", metavar="TIME", help="Received longer ago than 2h, 3d …"),
            click.option("--id", "ids", type=int, multiple=True, help="A message's number; repeat."),
        )
    ):
        wrapped = option(wrapped)
    return wrapped


@click.group()
def queue() -> None:
    """The mail that waits: list, show, hold, release, retry, drop, export."""


@queue.command("list")
@click.pass_obj
@json_option
@click.option("--limit", type=click.IntRange(1, 100000), default=100, show_default=True, help="Rows at most.")
@filter_options
def list_(operator: Operator, which: Filter, limit: int) -> None:
    """What waits, oldest first."""
    now = operator.now()
    rows = operators.select_rows(operator.db, which, now, limit=limit + 1)
    more, rows = len(rows) > limit, rows[:limit]
    if operator.out.facts([_facts(row) for row in rows]):
        return
    operator.out.table(
        (">ID", "STATE", ">AGE", ">SIZE", "SENDER", "RECIPIENTS", ">TRIES", "NEXT", "LAST REPLY"),
        (
            (
                row.id,
                f"{row.state} {row.reason}" if row.reason else str(row.state),
                span(now - row.received_at),
                size(row.size),
                row.sender or "<>",
                ", ".join(row.recipients[:3]) + (" …" if len(row.recipients) > 3 else ""),
                row.attempts,
                f"in {span(row.next_attempt_at - now)}" if row.next_attempt_at and row.next_attempt_at > now else "",
                row.last_reply,
            )
            for row in rows
        ),
        empty="nothing waits" + ("" if which == Filter() else " that the filter matches"),
    )
    if more:
        operator.out.line(f"… and more: --limit shows more than {limit}", "dim")


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
    }


@queue.command("show")
@click.argument("number", type=int)
@json_option
@click.pass_obj
def show(operator: Operator, number: int) -> None:
    """One message: its envelope and where each recipient stands."""
    rows = operators.select_rows(operator.db, Filter(ids=(number,)), operator.now(), limit=100000)
    if not rows:
        raise NotFound(f"no message {number} waits here; 'relayctl trace --id {number}' knows what became of it")
    if operator.out.facts([_facts(row) for row in rows]):
        return
    first = rows[0]
    operator.out.line(f"Message {number}", "bold")
    operator.out.pairs(
        (("from", first.sender or "<>"), ("received", clock_time(first.received_at)), ("size", size(first.size)))
    )
    operator.out.table(
        ("DOMAIN", "RECIPIENTS", "STATE", "REASON", ">TRIES", "NEXT ATTEMPT", "LAST REPLY"),
        (
            (
                row.domain,
                ", ".join(row.recipients),
                str(row.state),
                row.reason,
                row.attempts,
                clock_time(row.next_attempt_at),
                row.last_reply,
            )
            for row in rows
        ),
        empty="",
    )


Verb = Callable[[Database, Filter, float, str], int]


def _change(operator: Operator, which: Filter, verb: Verb, word: str, dry_run: bool) -> None:
    """Carry a verb out on what matches, and say on how much."""
    if dry_run:
        number = operators.count(operator.db, which, operator.now(), verb)
    else:
        number = verb(operator.db, which, operator.now(), operator.who)
    done = f"{plural(number, 'recipient')} {'would be ' if dry_run else ''}{word}"
    operator.out.done(done, recipients=number, dry_run=dry_run)


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
    if not yes and not dry_run:
        number = operators.count(operator.db, which, operator.now(), operators.drop)
        if not number:
            raise NotFound("nothing matches, nothing dropped")
        click.confirm(f"Destroy mail for {plural(number, 'recipient')} for good?", abort=True, err=True)
    _change(operator, which, operators.drop, "dropped", dry_run)


@queue.command("export")
@click.pass_obj
@click.option("--to", "folder", type=click.Path(path_type=Path, file_okay=False), help="A folder; default: stdout.")
@filter_options
def export(operator: Operator, which: Filter, folder: Path | None) -> None:
    """Write messages as they would be sent: one to standard output, or each to FOLDER/ID.eml."""
    rows = operators.select_rows(operator.db, which, operator.now(), limit=100000)
    numbers = sorted({row.id for row in rows})
    if not numbers:
        raise NotFound("nothing matches")
    if folder is None and len(numbers) > 1:
        raise Refused(f"{plural(len(numbers), 'message')} match: say --to FOLDER, or choose one by --id")
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    for number in numbers:
        content = operators.export(operator.db, number)
        if folder is None:
            sys.stdout.buffer.write(content)
        else:
            (folder / f"{number}.eml").write_bytes(content)
    if folder is not None:
        click.echo(f"{plural(len(numbers), 'message')} written to {folder}", err=True)
