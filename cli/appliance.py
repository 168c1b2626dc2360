"""relayctl appliance: the customers' mail systems that are watched."""

from __future__ import annotations

from typing import Any

import click

from cli import directory, people
from cli.appliance_fields import appliance_options, appliance_values, describe
from cli.ceilings import ceilings_in_words
from cli.context import Noun, Operator, json_option
from cli.names import APPLIANCE
from cli.render import span
from cli.table import Column, word
from relay.appliances import facts, store


@click.group(cls=Noun)
def appliance() -> None:
    """The customers' mail systems: what is watched, ticketed and drained."""


@appliance.command("add")
@click.argument("name")
@appliance_options
@directory.options
@json_option
@click.pass_obj
def add(operator: Operator, /, name: str, **options: Any) -> None:
    """Add an appliance.

    \b
    relayctl appliance add acme --customer "Acme Ltd" --primary mail.acme.example --timezone Asia/Jerusalem
    """
    if not options["primaries"]:
        raise click.UsageError("an appliance needs --primary HOST[:PORT], or --primary mx")
    of_directory, values = directory.values(options), appliance_values(options)
    with operator.db.write() as connection:
        added = store.add_appliance(connection, operator.now(), name=name, **values)
        directory.change(connection, added, of_directory, operator.now())
        people.refuse_conflicts(operator, connection, name)
    operator.out.done(
        f"appliance {added.name} added; next: relayctl domain add DOMAIN --appliance {name}", **describe(added)
    )


@appliance.command("set")
@click.argument("name", type=APPLIANCE)
@appliance_options
@directory.options
@json_option
@click.pass_obj
def change(operator: Operator, /, name: str, **options: Any) -> None:
    """Change what is said; the rest stays."""
    of_directory, values = directory.values(options), appliance_values(options)
    if not values and not of_directory:
        raise click.UsageError("say what to change; see 'relayctl appliance set --help'")
    with operator.db.write() as connection:
        changed = store.set_appliance(connection, name, **values)
        said = directory.change(connection, changed, of_directory, operator.now())
        if {"customer", "primaries"} & values.keys():
            people.refuse_conflicts(operator, connection, name)
    what = sorted([*values, *(["directory"] if of_directory else [])])
    operator.out.done(f"appliance {name} changed: {', '.join(what)}{said}", **describe(changed))


@appliance.command("show")
@click.argument("name", type=APPLIANCE)
@json_option
@click.pass_obj
def show(operator: Operator, name: str) -> None:
    """Everything that is set for an appliance."""
    with operator.db.read() as connection:
        found = store.get_appliance(connection, name)
        domains = [domain.name for domain in store.domains_of(connection, found.id)]
        health = facts.all_health(connection).get(found.id)
        synced = directory.describe(connection, found)
    description = describe(found) | {"domains": domains, "health": str(health.state) if health else "unknown"}
    if not operator.out.facts(description | {"directory": synced.facts}):
        description |= {"directory": synced.words, "backup_every_seconds": span(found.backup_every or None)}
        description |= ceilings_in_words(found, operator.settings.delivery)
        description["tls"] = found.tls or f"{operator.settings.delivery.tls} ([delivery] tls)"
        pairs = (
            (key.replace("_", " "), ", ".join(value) if isinstance(value, list) else value)
            for key, value in description.items()
        )
        operator.out.pairs(pairs, blanks=True)


@appliance.command("list")
@json_option
@click.pass_obj
def list_(operator: Operator) -> None:
    """All appliances."""
    with operator.db.read() as connection:
        found = store.list_appliances(connection)
        health = facts.all_health(connection)
    if operator.out.facts([describe(one) for one in found]):
        return
    operator.out.table(
        (
            "APPLIANCE",
            Column("CUSTOMER", spare=3),
            "PRIMARIES",
            word("HEALTH"),
            Column("BUSINESS HOURS", spare=1),
            Column("ACTIVATION", spare=2),
        ),
        (
            (
                one.name,
                one.customer,
                ", ".join(map(str, one.primaries)) or "mx",
                str(health[one.id].state) if one.id in health else "unknown",
                f"{one.business_hours} {one.timezone}",
                str(one.activation),
            )
            for one in found
        ),
        empty="no appliances yet; 'relayctl appliance add' adds one",
    )


@appliance.command("remove")
@click.argument("name", type=APPLIANCE)
@json_option
@click.pass_obj
def remove(operator: Operator, name: str) -> None:
    """Remove an appliance that has no domains any more."""
    with operator.db.write() as connection:
        store.remove_appliance(connection, name)
    operator.out.done(f"appliance {name} removed", appliance=name)
