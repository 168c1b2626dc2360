"""relayctl domain: the Gold domains that the relay takes mail for."""

from __future__ import annotations

from typing import Any

import click

from cli import contract, directory, people
from cli.appliance_fields import appliance_options, appliance_values
from cli.context import Noun, Operator, json_option
from cli.domain_export import export
from cli.domain_fields import appliance_names, describe, domain_options, domain_values, refuse_with_mail
from cli.domain_import import import_
from cli.learned import accepts_all
from cli.names import APPLIANCE, DOMAIN
from cli.render import plural, size, span
from cli.table import Column, count
from relay.appliances import store
from relay.appliances.contract import all_namings
from relay.appliances.model import Domain, RecipientPolicy
from relay.errors import Refused
from relay.mail import normalise_domain
from relay.recipients import lists


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
        people.refuse_conflicts(operator, connection, owner.name)
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
            refuse_with_mail(connection, store.get_domain(connection, name), "moved to another appliance")
            values["appliance_id"] = store.get_appliance(connection, appliance_name).id
        changed = store.set_domain(connection, name, **values)
        owner = appliance_names(connection)[changed.appliance_id]
        if appliance_name is not None:
            people.refuse_conflicts(operator, connection, owner)
        listed = changed.recipients is not RecipientPolicy.LISTED or lists.provable(connection, changed)[0]
    # Senders would be put off from this moment on, which nobody means to do.
    hint = "" if listed else f"; nobody is listed: all mail is put off until 'relayctl recipient import {changed.name}'"
    operator.out.done(f"domain {changed.name} changed{hint}", **describe(changed, owner))


@domain.command("show")
@click.argument("name", type=DOMAIN)
@json_option
@click.pass_obj
def show(operator: Operator, name: str) -> None:
    """Everything that is set for a domain."""
    with operator.db.read() as connection:
        found = store.get_domain(connection, name)
        description = describe(found, appliance_names(connection)[found.appliance_id])
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
        names = appliance_names(connection)
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
        gone = store.get_domain(connection, name)
        refuse_with_mail(connection, gone, "removed")
        store.remove_domain(connection, name)
        bare = None
        if not any(one.appliance_id == gone.appliance_id for one in store.list_domains(connection)):
            bare = next(one.name for one in store.list_appliances(connection) if one.id == gone.appliance_id)
    # It is watched as before, and a primary that was switched off with the domain would be a P1.
    left = f"; appliance {bare} has none left, and is still watched: 'relayctl appliance remove {bare}'" if bare else ""
    operator.out.done(f"domain {name} removed{left}", domain=name, appliance_without_domains=bare)


domain.add_command(import_)
domain.add_command(export)
