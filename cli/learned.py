"""relayctl recipient list and forget, of a domain whose recipients are learned; and what doctor says of one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import click
from sqlalchemy import Connection

from cli.context import Operator, dry_run_option, json_option
from cli.names import DOMAIN
from cli.render import at, plural, span
from cli.table import count, word
from relay.appliances import facts, store
from relay.appliances.facts import HealthFact
from relay.appliances.model import Domain, RecipientPolicy
from relay.errors import Refused
from relay.recipients import remembered
from relay.recipients.learned import WILDCARD_EVIDENCE, Answer, Known, horizon


def show(operator: Operator, domain: Domain) -> None:
    """Everybody of whom something is known; an age runs only while the primary could have been asked."""
    with operator.db.read() as connection:
        entries = remembered.list_all(connection, domain)
        everybody = remembered.everybody(connection, domain)
        health = facts.get_health(connection, domain.appliance_id)
    people = [(f"{entry.local}@{domain.name}", entry.known) for entry in entries if entry.known is not None]
    rows = [_facts(address, known, health, operator.now()) for address, known in people]
    if operator.out.facts(rows):
        return
    if everybody is not None and everybody.answer is Answer.ACCEPTED:
        operator.out.line(f"the primary of {domain.name} accepts any address: all are taken, and nothing is learned")
    operator.out.table(
        ("ADDRESS", word("ANSWER"), count("AGE"), count("CONFIRMED"), "SURE"),
        (
            (
                row["address"],
                row["answer"],
                span(row["age_seconds"]),
                row["confirmations"],
                "doubted" if row["doubts"] else "yes" if row["sure"] else "not yet",
            )
            for row in rows
        ),
        empty=f"nothing has been learned of {domain.name} yet: its primary is asked while it is up",
    )


@click.command("forget")
@click.argument("domain", type=DOMAIN)
@click.argument("addresses", nargs=-1)
@dry_run_option
@json_option
@click.pass_obj
def forget(operator: Operator, domain: str, addresses: tuple[str, ...], dry_run: bool) -> None:
    """Forget learned recipients, or all of a domain.

    Their primary is asked about them again; in an outage they are as if never seen.
    """
    with operator.db.write() as connection:
        found = store.get_domain(connection, domain)
        if found.recipients is not RecipientPolicy.LEARNED:
            raise Refused(f"recipients of {found.name} are not learned; see 'relayctl domain show {found.name}'")
        forgotten = remembered.forget(connection, found, addresses, operator.now())
        if dry_run:
            connection.rollback()
    verb = "would be forgotten" if dry_run else "forgotten"
    line = f"{plural(forgotten, 'recipient')} of {found.name} {verb}"
    operator.out.done(line, forgotten=forgotten, dry_run=dry_run)


def accepts_all(connection: Connection, domain: Domain) -> bool | None:
    """Whether the primary of a learned domain accepts any address; None where that isn't known, or is no matter."""
    known = remembered.everybody(connection, domain) if domain.recipients is RecipientPolicy.LEARNED else None
    return None if known is None else known.answer is Answer.ACCEPTED


def warnings(connection: Connection, domains: Sequence[Domain]) -> Iterator[tuple[Domain, str, str]]:
    """The domains whose primaries accept any address, with the evidence and what to do about it."""
    for domain in domains:
        if accepts_all(connection, domain):
            remedy = (
                "have the primary refuse unknown recipients at RCPT, or list them: "
                f"'relayctl recipient import {domain.name} FILE', then "
                f"'relayctl domain set {domain.name} --recipients listed'"
            )
            yield domain, WILDCARD_EVIDENCE, remedy


def _facts(address: str, known: Known, health: HealthFact | None, now: float) -> dict[str, Any]:
    until = horizon(health, now) if health else now
    return {
        "address": address,
        "answer": str(known.answer),
        "sure": known.sure,
        "confirmations": known.confirmations,
        "age_seconds": max(0, round(until - known.last_at)),
        "first_at": at(known.first_at),
        "last_at": at(known.last_at),
        "doubts": known.doubts,
    }
