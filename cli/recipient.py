"""relayctl recipient: who exists at a domain whose policy is 'listed' or 'learned'."""

from __future__ import annotations

from typing import TextIO

import click

from cli.context import Noun, Operator, dry_run_option, json_option
from cli.learned import forget
from cli.learned import show as show_learned
from cli.names import DOMAIN
from cli.render import plural
from relay.appliances import store
from relay.appliances.model import RecipientPolicy
from relay.errors import Refused
from relay.recipients import lists


@click.group(cls=Noun)
def recipient() -> None:
    """The recipients of a domain that takes those that are listed, or were learned (domain set NAME --recipients)."""


@recipient.command("add")
@click.argument("domain", type=DOMAIN)
@click.argument("addresses", nargs=-1, required=True)
@json_option
@click.pass_obj
def add(operator: Operator, domain: str, addresses: tuple[str, ...]) -> None:
    """List recipients: info, or info@DOMAIN."""
    with operator.db.write() as connection:
        added = lists.add(connection, store.get_domain(connection, domain), addresses, operator.now())
    operator.out.done(f"{plural(added, 'recipient')} of {domain} added", added=added)


@recipient.command("remove")
@click.argument("domain", type=DOMAIN)
@click.argument("addresses", nargs=-1, required=True)
@json_option
@click.pass_obj
def remove(operator: Operator, domain: str, addresses: tuple[str, ...]) -> None:
    """Take recipients off the list; their mail is refused from then on."""
    with operator.db.write() as connection:
        removed = lists.remove(connection, store.get_domain(connection, domain), addresses)
    operator.out.done(f"{plural(removed, 'recipient')} of {domain} removed", removed=removed)


@recipient.command("list")
@click.argument("domain", type=DOMAIN)
@json_option
@click.pass_obj
def list_(operator: Operator, domain: str) -> None:
    """All recipients of a domain that are listed, or were learned."""
    with operator.db.read() as connection:
        found = store.get_domain(connection, domain)
        addresses = list(dict.fromkeys(one.entry.address(found.name) for one in lists.list_all(connection, found)))
    if found.recipients is RecipientPolicy.LEARNED:
        show_learned(operator, found)
        return
    if operator.out.facts(addresses):
        return
    for address in addresses:
        operator.out.line(address)
    if not addresses:
        operator.out.line(f"no recipients of {found.name} are listed")


@recipient.command("import")
@click.argument("domain", type=DOMAIN)
@click.argument("file", type=click.File("r", encoding="utf-8"))
@dry_run_option
@json_option
@click.pass_obj
def import_(operator: Operator, domain: str, file: TextIO, dry_run: bool) -> None:
    """Add one address a line from a file, all or none.

    '-' is standard input; # begins a comment.
    """
    try:
        lines = (line.partition("#")[0].strip() for line in file)
        addresses = [line for line in lines if line]
    except UnicodeDecodeError as error:
        raise Refused(f"the list should be UTF-8 text: {error.reason}") from None
    with operator.db.write() as connection:
        added = lists.add(connection, store.get_domain(connection, domain), addresses, operator.now())
        if dry_run:
            connection.rollback()
    verb = "would be added" if dry_run else "added"
    operator.out.done(f"{plural(added, 'recipient')} of {len(addresses)} {verb}", added=added, dry_run=dry_run)


recipient.add_command(forget)
