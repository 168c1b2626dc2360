"""relayctl domain: the Gold domains that the relay takes mail for."""

from __future__ import annotations

import csv
import sys
from collections.abc import Callable
from datetime import date
from typing import Any, TextIO

import click
from sqlalchemy import Connection

from cli import contract, directory
from cli.appliance import appliance_options, appliance_values
from cli.context import Noun, Operator, dry_run_option, json_option
from cli.learned import accepts_all
from cli.names import APPLIANCE, DOMAIN
from cli.render import at, plural, size, span
from cli.table import Column, count
from relay.appliances import store
from relay.appliances.contract import all_namings
from relay.appliances.model import Domain, NeverSeen, RecipientPolicy, WhenUp, parse_duration, parse_plus
from relay.errors import Refused
from relay.mail import normalise_domain
from relay.queue.ledger import ledger
from relay.settings import parse_size

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


def _appliance_names(connection: Connection) -> dict[int, str]:
    return {one.id: one.name for one in store.list_appliances(connection)}


@click.group(cls=Noun)
def domain() -> None:
    """The Gold domains: whose mail the relay takes while their appliance is down."""


@domain.command("add")
@click.argument("name")
@click.option("--appliance", "appliance_name", metavar="NAME", type=APPLIANCE, help="The appliance it belongs to.")
@domain_options
@appliance_options
@directory.options
@json_option
@click.pass_obj
def add(operator: Operator, /, name: str, appliance_name: str | None, **options: Any) -> None:
    """Add a domain to an appliance, or with --primary both in one.

    \b
    relayctl domain add acme.example --appliance acme
    relayctl domain add gold.example --primary 192.0.2.25

    What isn't said: recipients any, plus-addressing +, never-seen accept, when-up relay, lifetime 14d, quota 10GB;
    for the appliance business hours Mon-Fri 09:00-18:00 in UTC without holidays, activation off-hours.
    """
    of_domain, of_appliance = domain_values(options), appliance_values(options)
    of_directory = directory.values(options)
    if appliance_name is None and "primaries" not in of_appliance:
        raise click.UsageError("say --appliance NAME, or --primary HOST for an appliance of its own")
    if appliance_name is not None and (of_appliance or of_directory):
        option = min(of_appliance, default="directory").replace("_", "-")
        raise click.UsageError(f"--{option} is the appliance's: use 'relayctl appliance set {appliance_name}'")
    with operator.db.write() as connection:
        now = operator.now()
        if appliance_name is None:
            try:
                appliance_name = normalise_domain(name)
            except ValueError as error:
                raise Refused(str(error)) from None
            owner = store.add_appliance(connection, now, name=appliance_name, **of_appliance)
        else:
            owner = store.get_appliance(connection, appliance_name)
        added = store.add_domain(connection, now, name=name, appliance_id=owner.id, **of_domain)
        directory.change(connection, owner, of_directory, now)
    operator.out.done(
        f"domain {added.name} added to appliance {owner.name}; 'relayctl doctor {added.name}' says what is missing",
        **describe(added, owner.name),
    )


@domain.command("set")
@click.argument("name", type=DOMAIN)
@click.option("--appliance", "appliance_name", metavar="NAME", type=APPLIANCE, help="Move it to another appliance.")
@domain_options
@json_option
@click.pass_obj
def change(operator: Operator, /, name: str, appliance_name: str | None, **options: Any) -> None:
    """Change what is said; the rest stays."""
    values = domain_values(options)
    if not values and appliance_name is None:
        raise click.UsageError("say what to change; see 'relayctl domain set --help'")
    with operator.db.write() as connection:
        if appliance_name is not None:
            _refuse_with_mail(connection, store.get_domain(connection, name), "moved to another appliance")
            values["appliance_id"] = store.get_appliance(connection, appliance_name).id
        changed = store.set_domain(connection, name, **values)
        owner = _appliance_names(connection)[changed.appliance_id]
    operator.out.done(f"domain {changed.name} changed", **describe(changed, owner))


@domain.command("show")
@click.argument("name", type=DOMAIN)
@json_option
@click.pass_obj
def show(operator: Operator, name: str) -> None:
    """Everything that is set for a domain."""
    with operator.db.read() as connection:
        found = store.get_domain(connection, name)
        description = describe(found, _appliance_names(connection)[found.appliance_id])
        naming = all_namings(connection).get(found.id)
        if found.recipients is RecipientPolicy.LEARNED:
            description["accepts_all"] = accepts_all(connection, found)
    if not operator.out.facts(description | contract.facts(found, naming, operator.now())):
        description["contract"] = contract.sentence(found, naming, operator.now())
        shown = description | {
            "lifetime_seconds": span(found.lifetime),
            "quota_bytes": size(found.quota),
            "quota_messages": found.quota_messages or "",
        }
        pairs = (
            (key.replace("_seconds", "").replace("_bytes", "").replace("_", " "), value) for key, value in shown.items()
        )
        operator.out.pairs(pairs, blanks=True)


@domain.command("list")
@json_option
@click.pass_obj
def list_(operator: Operator) -> None:
    """All Gold domains."""
    with operator.db.read() as connection:
        names = _appliance_names(connection)
        found = store.list_domains(connection)
    if operator.out.facts([describe(one, names[one.appliance_id]) for one in found]):
        return
    operator.out.table(
        (
            "DOMAIN",
            Column("APPLIANCE", spare=1),
            "RECIPIENTS",
            "NEVER SEEN",
            Column("PLUS", spare=2),
            "WHEN UP",
            count("LIFETIME"),
            count("QUOTA"),
            "UNTIL",
        ),
        (
            (
                one.name,
                names[one.appliance_id],
                str(one.recipients),
                str(one.never_seen) if one.recipients is RecipientPolicy.LEARNED else "",
                one.plus_addressing,
                str(one.when_up),
                span(one.lifetime),
                _quota(one),
                one.until,
            )
            for one in found
        ),
        empty="no Gold domains yet; 'relayctl domain add' adds one",
    )


def _quota(one: Domain) -> str:
    return f"{size(one.quota)}, {plural(one.quota_messages, 'message')}" if one.quota_messages else size(one.quota)


@domain.command("remove")
@click.argument("name", type=DOMAIN)
@json_option
@click.pass_obj
def remove(operator: Operator, name: str) -> None:
    """Remove a domain for which no mail waits.

    Its mail is refused from then on.
    """
    with operator.db.write() as connection:
        _refuse_with_mail(connection, store.get_domain(connection, name), "removed")
        store.remove_domain(connection, name)
    operator.out.done(f"domain {name} removed", domain=name)


def _refuse_with_mail(connection: Connection, found: Domain, what: str) -> None:
    waiting = sum(row.queued + row.held for row in ledger(connection, found.name))
    if waiting:
        raise Refused(
            f"{plural(waiting, 'recipient')} of {found.name} still wait here, so it can't be {what}; "
            f"see 'relayctl queue list --domain {found.name}'"
        )


@domain.command("import")
@click.argument("file", type=click.File("r", encoding="utf-8"))
@dry_run_option
@json_option
@click.pass_obj
def import_(operator: Operator, file: TextIO, dry_run: bool) -> None:
    """Add or change many domains from a CSV file, all or none.

    The file is as 'relayctl domain export' writes it; '-' for standard input.
    """
    lines = _read(file)  # all of it, before a transaction keeps others waiting
    added = changed = 0
    with operator.db.write() as connection:
        for number, row in lines:
            try:
                if _import_line(connection, operator.now(), row):
                    added += 1
                else:
                    changed += 1
            except Refused as error:
                raise Refused(f"line {number}: {error}; nothing was imported") from None
        if dry_run:
            connection.rollback()
    verb = "would be" if dry_run else "were"
    operator.out.done(
        f"{plural(added, 'domain')} {verb} added, {changed} {verb} changed",
        added=added,
        changed=changed,
        dry_run=dry_run,
    )


def _read(file: TextIO) -> list[tuple[int, dict[str, str]]]:
    """The lines of a CSV file, by number. Raises Refused."""
    reader = csv.DictReader(file, restval="", strict=True)
    try:
        names = set(reader.fieldnames or ())
        if names - set(COLUMNS) or not {"domain", "appliance"} <= names:
            wanted = f"columns among {', '.join(COLUMNS)}; domain and appliance at least"
            raise Refused(f"the first line should name {wanted}")
        return [(reader.line_num, row) for row in reader]
    except (csv.Error, UnicodeDecodeError) as error:
        raise Refused(f"line {reader.line_num + 1} is no CSV in UTF-8: {error}") from None


def _import_line(connection: Connection, now: float, row: dict[Any, Any]) -> bool:
    """Add (True) or change one domain. Raises Refused."""
    if None in row:
        raise Refused("it has more fields than the first line")
    values = domain_values({key: value for key, value in row.items() if key in COLUMNS[2:]})
    owner = store.get_appliance(connection, row["appliance"])
    found = store.find_domain(connection, row["domain"])
    if found is None:
        store.add_domain(connection, now, name=row["domain"], appliance_id=owner.id, **values)
        return True
    if found.appliance_id != owner.id:
        _refuse_with_mail(connection, found, "moved to another appliance")
        values["appliance_id"] = owner.id
    store.set_domain(connection, found.name, **values)
    return False


@domain.command("export")
@click.pass_obj
def export(operator: Operator) -> None:
    """Write all domains as CSV to standard output."""
    with operator.db.read() as connection:
        names = _appliance_names(connection)
        found = store.list_domains(connection)
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(COLUMNS)
    for one in found:
        lifetime = f"{one.lifetime}s"
        quotas = (one.quota, one.quota_messages)
        until = one.until.isoformat() if one.until else "none"
        own = (one.name, names[one.appliance_id], one.recipients, one.when_up, lifetime, *quotas, until)
        writer.writerow((*own, one.never_seen, one.plus_addressing or "none"))
