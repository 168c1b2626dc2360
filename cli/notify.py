"""relayctl notify: who is told of tickets, how that goes, and a message to try it with."""

from __future__ import annotations

import asyncio
from typing import Any

import click

from cli.context import Noun, Operator, json_option
from cli.render import at, plural
from cli.table import Column, count, prose, word
from relay.errors import NotFound, NotifyError, Refused
from relay.tickets.people import store
from relay.tickets.people.book import EVERYONE, Book
from relay.tickets.people.message import Message
from relay.tickets.people.rules import Rule
from relay.tickets.people.threads import Threads
from relay.tickets.telling import cluster_name

PATIENCE = 60.0


@click.group(cls=Noun)
def notify() -> None:
    """Who is told of tickets: the rules of [notify], and whether they can be reached."""


@notify.command("list")
@json_option
@click.pass_obj
def list_(operator: Operator) -> None:
    """The rules; what was sent last, and what went wrong."""
    book = Book.of(operator.settings)
    with operator.db.read() as connection:
        rows = _rows(operator, book, store.standings(connection, 0.0), store.all_lanes(connection))
    if operator.out.facts(rows):
        return
    operator.out.table(
        (
            "NAME",
            Column("TO", spare=2),
            Column("ABOUT", spare=3),
            word("PRIO"),
            prose("EVENTS"),
            Column("HOURS", spare=1),
            count("WAITING"),
            "LAST SENT",
            prose("LAST ERROR"),
        ),
        (
            (
                row["name"],
                row["to"],
                row["about"],
                ",".join(f"P{one}" for one in row["priorities"]),
                ", ".join(row["events"]),
                row["hours"],
                row["waiting"],
                (row["last_sent_at"] or "").replace("T", " "),
                row["last_error"],
            )
            for row in rows
        ),
        empty="nobody is told of anything: [notify] urls and rules in relay.toml say whom to tell",
    )


@notify.command("test")
@click.argument("who", required=False, metavar="[NAME|URL|ADDRESS]")
@json_option
@click.pass_obj
def test(operator: Operator, who: str | None) -> None:
    """Send a test message now, to all or to one.

    One: a rule, any URL of Apprise, or a mail address by way of [notify] mail.

    Exit 1 where it didn't reach everybody.
    """
    book = Book.of(operator.settings)
    wanted = _wanted(book, who)
    if not wanted:
        by_mail = "; 'relayctl notify test ADDRESS' tries the mail server for contacts" if book.mail else ""
        raise Refused(f"nobody would be told of a P1: set [notify] urls, or rules, in relay.toml{by_mail}")
    with operator.db.read() as connection:
        cluster = cluster_name(connection)
    results = operator.run(_try_all(operator, book, wanted, cluster))
    if not operator.out.facts(results):
        operator.out.table(
            ("NAME", Column("TO", spare=1), word("RESULT"), prose("WHY")),
            ((row["name"], row["to"], "sent" if row["sent"] else "failed", row["error"]) for row in results),
            empty="",
        )
    failed = sum(not row["sent"] for row in results)
    if failed:
        raise Refused(f"{failed} of {plural(len(results), 'message')} couldn't be sent")


def _wanted(book: Book, who: str | None) -> dict[str, str]:
    """URLs by name; an address by itself has none. Raises NotFound."""
    if who is None:
        return dict(book.urls)
    if "://" in who:
        return {"url": who}
    if "@" in who:
        if not book.mail:
            raise Refused("no [notify] mail says by which server contacts are written to")
        return {who: ""}
    targets = [target for rule in book.rules if rule.name == who for target in rule.targets]
    if not targets and who in book.urls:
        targets = [who]
    if not targets:
        names = ", ".join(dict.fromkeys(rule.name for rule in book.rules)) or "none"
        raise NotFound(f"no rule of [notify] is named {who}; there are: {names}")
    return {target: book.urls[target] for target in targets}


async def _try_all(operator: Operator, book: Book, wanted: dict[str, str], cluster: str) -> list[dict[str, Any]]:
    threads = Threads(PATIENCE)
    tries = (_try(operator, threads, book, name, url, cluster) for name, url in wanted.items())
    return list(await asyncio.gather(*tries))


async def _try(operator: Operator, threads: Threads, book: Book, name: str, url: str, cluster: str) -> dict[str, Any]:
    from relay.tickets.people import targets

    text = f"A test by {operator.who}: this is how the relay will tell you of tickets. Nothing is wrong."
    message = Message("Test of the failover relay", text, f"{cluster}-test", f"{cluster}-test")

    def send() -> None:
        try:
            plugin = targets.load(url) if url else targets.mail_to(book.mail, name)
        except ValueError as error:
            raise NotifyError(str(error)) from None
        targets.test(plugin, message)

    shown = targets.redacted(url or book.mail)
    try:
        await threads.call(name, send)
    except NotifyError as error:
        return {"name": name, "to": shown, "sent": False, "error": str(error)}
    return {"name": name, "to": shown, "sent": True, "error": None}


def _rows(
    operator: Operator, book: Book, standings: dict[str, store.Standing], lanes: dict[str, store.Lane]
) -> list[dict[str, Any]]:
    """A row for each rule and target, with stable keys; then what goes to customers' contacts."""
    from relay.tickets.people.targets import redacted

    hours = {rule.name: rule.hours for rule in operator.settings.notify.rules}
    rows = []
    for rule in book.rules:
        for target in rule.targets or ("",):
            found, lane = standings.get(target, store.Standing()), lanes.get(target)
            rows.append(
                {
                    "name": rule.name,
                    "target": target,
                    "to": redacted(book.urls[target]) if target else "the customer's contacts",
                    "about": _scope(rule),
                    "priorities": sorted(map(int, rule.priorities)),
                    "events": sorted(map(str, rule.happenings)),
                    "hours": "always" if rule.name == EVERYONE else hours[rule.name],
                    **_standing(found, lane),
                }
            )
    if book.mail:
        theirs = [found for target, found in standings.items() if store.lane_of(target) == store.CONTACTS]
        last = max((one.last_sent_at for one in theirs if one.last_sent_at is not None), default=None)
        error = next((one.last_error for one in theirs if one.last_error), None)
        together = store.Standing(sum(one.waiting for one in theirs), None, 0, last, error)
        rows.append(
            {
                "name": "contacts",
                "target": store.CONTACTS,
                "to": redacted(book.mail),
                "about": "outages, in plain words",
                "priorities": [1, 2, 3],
                "events": ["start", "takeover", "end"],
                "hours": "always",
                **_standing(together, lanes.get(store.CONTACTS)),
            }
        )
    return rows


def _standing(found: store.Standing, lane: store.Lane | None) -> dict[str, Any]:
    return {
        "waiting": found.waiting,
        "last_sent_at": at(found.last_sent_at),
        "last_error": found.last_error or (lane.trouble if lane else None) or None,
    }


def _scope(rule: Rule) -> str:
    parts = [*sorted(rule.customers), *sorted(rule.appliances), *sorted(rule.domains)]
    conditions = ", ".join(sorted(map(str, rule.conditions)))
    return "; ".join(filter(None, (", ".join(parts) or "all", conditions)))
