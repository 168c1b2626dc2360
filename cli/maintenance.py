"""relayctl maintenance: windows in which an outage is expected, and opens no P1."""

from __future__ import annotations

import click

from cli.context import NUMBER, Noun, Operator, When, json_option
from cli.names import EITHER, appliance_of
from cli.render import at, clock_time, span
from cli.table import Column, count, prose
from relay.appliances import facts, store
from relay.errors import NotFound, Refused
from relay.values import parse_duration


@click.group(cls=Noun)
def maintenance() -> None:
    """Announced work: mail is queued as ever, and no P1 opens before the end."""


@maintenance.command("add")
@click.argument("name", metavar="APPLIANCE|DOMAIN", type=EITHER)
@click.option("--from", "starts_at", type=When(), help="When it begins (default: now).")
@click.option("--to", "ends_at", type=When(), help="When it ends.")
@click.option("--for", "duration", metavar="TIME", help="How long it takes, such as 2h.")
@click.option("--reason", default="", help="What is being done.")
@json_option
@click.pass_obj
def add(
    operator: Operator,
    name: str,
    starts_at: float | None,
    ends_at: float | None,
    duration: str | None,
    reason: str,
) -> None:
    """Announce a window.

    \b
    relayctl maintenance add acme --for 2h --reason "firmware update"
    relayctl maintenance add acme --from 2026-11-28T22:00 --to 2026-11-29T02:00
    """
    if (ends_at is None) == (duration is None):
        raise click.UsageError("say --to TIME or --for TIME")
    begins = operator.now() if starts_at is None else starts_at
    if duration is not None:
        try:
            ends_at = begins + parse_duration(duration)
        except ValueError as error:
            raise Refused(f"--for: {error}") from None
    ends = float(ends_at or 0)
    if ends <= max(begins, operator.now()):
        raise Refused("the window would be over before it begins, or is in the past")
    with operator.db.write() as connection:
        found = appliance_of(connection, name)
        number = facts.add_window(
            connection, appliance_id=found.id, starts_at=begins, ends_at=ends, reason=reason, created_by=operator.who
        )
    operator.out.done(
        f"maintenance {number} of {found.name}: {clock_time(begins)} to {clock_time(ends)}",
        id=number,
        appliance=found.name,
        starts_at=at(begins),
        ends_at=at(ends),
        reason=reason,
    )


@maintenance.command("list")
@click.option("--all", "everything", is_flag=True, help="Those that are over, too.")
@json_option
@click.pass_obj
def list_(operator: Operator, everything: bool) -> None:
    """Windows that are open or to come."""
    now = operator.now()
    with operator.db.read() as connection:
        names = {one.id: one.name for one in store.list_appliances(connection)}
        windows = facts.list_windows(connection, ending_after=0.0 if everything else now)
    rows = [
        {
            "id": window.id,
            "appliance": names[window.appliance_id],
            "starts_at": at(window.starts_at),
            "ends_at": at(window.ends_at),
            "reason": window.reason,
            "created_by": window.created_by,
        }
        for window in windows
    ]
    if operator.out.facts(rows):
        return
    operator.out.table(
        (count("ID"), "APPLIANCE", "FROM", "TO", "STATE", Column("BY", spare=1), prose("REASON")),
        (
            (
                window.id,
                names[window.appliance_id],
                clock_time(window.starts_at),
                clock_time(window.ends_at),
                _state(window, now),
                window.created_by,
                window.reason,
            )
            for window in windows
        ),
        empty="no maintenance is announced",
    )


def _state(window: facts.Window, now: float) -> str:
    if window.starts_at > now:
        return f"in {span(window.starts_at - now)}"
    return f"ends in {span(window.ends_at - now)}" if window.ends_at > now else "over"


@maintenance.command("remove")
@click.argument("number", metavar="ID", type=NUMBER)
@json_option
@click.pass_obj
def remove(operator: Operator, number: int) -> None:
    """End a window now, or take back one to come.

    An outage in it becomes a P1, its clocks starting now.
    """
    with operator.db.write() as connection:
        if not facts.remove_window(connection, number, operator.now()):
            raise NotFound(f"no maintenance {number} is open or to come; 'relayctl maintenance list' shows them")
    operator.out.done(f"maintenance {number} removed", id=number)
