"""What can be said of a domain: its options, their values, and how it is shown as JSON."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from typing import Any

import click
from sqlalchemy import Connection

from cli.render import at, plural
from relay.appliances import store
from relay.appliances.model import Domain, NeverSeen, RecipientPolicy, WhenUp, parse_plus
from relay.errors import Refused
from relay.queue.ledger import ledger
from relay.values import parse_duration, parse_size

COLUMNS = (
    "domain",
    "appliance",
    "recipients",
    "when_up",
    "lifetime",
    "quota",
    "quota_messages",
    "until",
    "never_seen",
    "plus_addressing",
)
MOST_DIGITS = 9
"""Of a number of messages: what the database's integers hold."""


def domain_options(command: Any) -> Any:
    """What can be said of a domain."""
    for option in reversed(
        (
            click.option(
                "--recipients",
                type=click.Choice([str(choice) for choice in RecipientPolicy]),
                help="Whose mail is taken: anybody's, of those that are listed, or of those that the primary accepts.",
            ),
            click.option(
                "--never-seen",
                type=click.Choice([str(choice) for choice in NeverSeen]),
                help="What is done in an outage with recipients that were never learned.",
            ),
            click.option(
                "--plus-addressing",
                metavar="CHARS",
                help="What begins an extension, as + does in info+shop; 'none' for nothing.",
            ),
            click.option(
                "--when-up",
                type=click.Choice([str(choice) for choice in WhenUp]),
                help="What mail meets while the primary is up: it is relayed, or put off (4xx).",
            ),
            click.option("--lifetime", metavar="TIME", help="How long a message may wait, such as 14d."),
            click.option("--quota", metavar="SIZE", help="How much may wait, such as 10GB."),
            click.option("--quota-messages", metavar="N", help="How many messages may wait; 0 for any number."),
            click.option("--until", metavar="DATE", help="The last day of the Gold contract; 'none' for no end."),
        )
    ):
        command = option(command)
    return command


def domain_values(options: dict[str, Any]) -> dict[str, Any]:
    """The options that were given, as fields of a Domain; taken out of ``options``. Raises Refused."""
    given = {name: options.pop(name, None) for name in COLUMNS[2:]}
    readers: dict[str, Callable[[str], Any]] = {
        "recipients": RecipientPolicy,
        "plus_addressing": parse_plus,
        "when_up": WhenUp,
        "lifetime": parse_duration,
        "quota": parse_size,
        "quota_messages": _number,
        "until": lambda text: None if text == "none" else date.fromisoformat(text),
        "never_seen": NeverSeen,
    }
    values = {}
    for name, text in given.items():
        if text in (None, ""):
            continue
        try:
            values[name] = readers[name](text)
        except ValueError as error:
            what = "should be a day such as 2027-12-31" if name == "until" else str(error)
            raise Refused(f"--{name.replace('_', '-')}: {what}") from None
    return values


def _number(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= MOST_DIGITS):
        raise ValueError(f"{text!r} should be a number of messages, 0 for any number")
    return int(text)


def describe(domain: Domain, appliance: str) -> dict[str, Any]:
    """A domain as JSON."""
    return {
        "domain": domain.name,
        "appliance": appliance,
        "recipients": str(domain.recipients),
        "never_seen": str(domain.never_seen),
        "plus_addressing": domain.plus_addressing,
        "when_up": str(domain.when_up),
        "lifetime_seconds": domain.lifetime,
        "quota_bytes": domain.quota,
        "quota_messages": domain.quota_messages,
        "until": domain.until.isoformat() if domain.until else None,
        "created_at": at(domain.created_at),
    }


def appliance_names(connection: Connection) -> dict[int, str]:
    return {one.id: one.name for one in store.list_appliances(connection)}


def refuse_with_mail(connection: Connection, found: Domain, what: str, *, stop: bool = True) -> None:
    """Raises Refused where mail waits for a domain, so that it can't be ``what``. ``stop``: and none is accepted until
    the transaction ends, which has to be one that writes."""
    if stop:
        store.stop_mail(connection, found)
    waiting = sum(row.queued + row.held for row in ledger(connection, found.name))
    if waiting:
        raise Refused(
            f"{plural(waiting, 'recipient')} of {found.name} still wait here, so it can't be {what}; "
            f"see 'relayctl queue list --domain {found.name}'"
        )
