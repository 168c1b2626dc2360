"""What operators are told of the way to people: whom the address book can't reach, and who has heard nothing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from sqlalchemy import Connection

from cli.context import Operator
from cli.render import at, plural, span
from relay.appliances.model import Domain
from relay.errors import Refused, SettingsError
from relay.settings import Settings
from relay.tickets.people import store
from relay.tickets.people.addresses import Served, conflicts, served, unreachable
from relay.tickets.people.book import Book

LATE = 900.0
"""Seconds for which somebody may have heard nothing before ``doctor`` says so."""
LATELY = 86400.0
"""Seconds for which what was given up is told."""


def refuse_conflicts(
    operator: Operator, connection: Connection, name: str | None = None, *, instead: Mapping[str, Domain] = {}
) -> None:
    """Refuse what was just changed of an appliance, where nobody could be told of its outage by a rule's address.

    ``instead``: domains by name as they are about to be. Raises Refused.
    """
    notify = operator.settings.notify
    if not notify.urls and not notify.rules and not notify.mail:
        return
    wrong = next(conflicts(Book.of(operator.settings), served(connection, name, instead)), "")
    if wrong:
        raise Refused(f"{wrong}; change it in relay.toml first")


def trouble(connection: Connection, now: float) -> Iterator[str]:
    """A line for each that has heard nothing."""
    lanes = store.all_lanes(connection)
    for target, found in sorted(store.standings(connection, now - LATELY).items()):
        lane = lanes.get(store.lane_of(target), store.Lane(target))
        late = found.oldest_at is not None and now - found.oldest_at > LATE
        why = found.last_error or lane.trouble or "nothing is sent"
        if found.oldest_at is not None and (late or lane.trouble):
            waits = f"{plural(found.waiting, 'message')} wait"
            yield f"{target} has heard nothing for {span(now - found.oldest_at)}: {why}; {waits}"
        elif found.given_up:
            yield f"{target} was never told {plural(found.given_up, 'thing')} in the last day: {why}"


def checks(operator: Operator) -> Iterator[tuple[str, str, str]]:
    """Result, evidence and remedy of each check, for ``doctor``."""
    settings, now = operator.settings, operator.now()
    notify = settings.notify
    try:
        book = Book.of(settings)
    except SettingsError as error:
        yield "failed", str(error), "mend it in relay.toml, then send the node SIGHUP"
        return
    with operator.db.read() as connection:
        every = served(connection)
        wrong = [*conflicts(book, every), *_unreachable_contacts(every)]
        late = list(trouble(connection, now))
    for reason in wrong:
        yield "failed", reason, "name an address somewhere else; until then nobody is told there"
    for line in late:
        yield "failed", line, "'relayctl notify test' tries it now; what waits is sent as soon as it works again"
    if not book.urls:
        remedy = "set [notify] urls, or rules, to whoever is on call: 'Who gets what, when' in deploy/runbook.md"
        yield "warning", "nobody is told of a P1: it stands in the ticket alone", remedy
    if not notify.mail and any(one.appliance.contacts for one in every):
        remedy = "set [notify] mail to a mail server of yours, such as mailtos://relay:password@smtp.desk.example"
        yield "warning", "the customers' contacts are told of nothing: there is no [notify] mail", remedy
    if book.urls and not wrong and not late:
        yield "ok", f"{plural(len(book.urls), 'target')} in {plural(len(book.rules), 'rule')}", ""


def facts(connection: Connection, settings: Settings, now: float) -> dict[str, Any]:
    """For ``status --json``."""
    found = store.standings(connection, now - LATELY)
    oldest = min((one.oldest_at for one in found.values() if one.oldest_at is not None), default=None)
    return {
        "targets": len(settings.notify.urls) + sum(len(rule.urls) for rule in settings.notify.rules),
        "waiting": sum(one.waiting for one in found.values()),
        "oldest_at": at(oldest),
        "trouble": list(trouble(connection, now)),
    }


def told(connection: Connection, number: int) -> list[dict[str, Any]]:
    """Who was told what of a ticket, for ``ticket show --json``."""
    return [
        {
            "to": row.target,
            "what": row.kind if "stage" not in row.facts else f"{row.kind} ({row.facts['stage']})",
            "outcome": row.outcome or "waiting",
            "at": at(row.ended_at),
            "attempts": row.attempts,
            "last_error": row.last_error,
        }
        for row in store.of_ticket(connection, number)
    ]


def told_in_words(rows: list[dict[str, Any]]) -> str:
    """The same for people: a line for each of them."""
    lines = []
    for target in dict.fromkeys(row["to"] for row in rows):
        theirs = [row for row in rows if row["to"] == target]
        said = ", ".join(
            row["what"] if row["outcome"] == store.SENT else f"{row['what']} ({_fate(row)})" for row in theirs
        )
        lines.append(f"{target}: {said}")
    return "\n".join(lines)


def _fate(row: dict[str, Any]) -> str:
    return f"{row['outcome']}: {row['last_error']}" if row["last_error"] else str(row["outcome"])


def _unreachable_contacts(every: list[Served]) -> Iterator[str]:
    for one in every:
        for contact in one.appliance.contacts:
            if reason := unreachable(contact, one.domains):
                yield f"contact of {one.appliance.name}: {reason}"
