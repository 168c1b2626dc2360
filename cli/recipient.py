"""relayctl recipient: who exists at a domain whose policy is 'listed' or 'learned'."""

from __future__ import annotations

import sys
from typing import BinaryIO

import click

from cli.check import check
from cli.context import Noun, Operator, dry_run_option, json_option, yes_option
from cli.learned import forget
from cli.learned import show as show_learned
from cli.names import DOMAIN
from cli.render import at, clock_time, plural
from cli.sync import sync
from cli.table import Column
from relay.appliances import store
from relay.appliances.model import RecipientPolicy
from relay.errors import Refused
from relay.recipients import editions, export, lists
from relay.recipients.editions import Plan
from relay.recipients.entry import Entry, Source
from relay.recipients.lists import Listed

MANY = 0.2
"""Of a list: more is removed at once by mistake rather than on purpose."""


@click.group(cls=Noun)
def recipient() -> None:
    """The recipients of a domain that takes those that are listed, or were learned (domain set NAME --recipients)."""


@recipient.command("add")
@click.argument("domain", type=DOMAIN)
@click.argument("addresses", nargs=-1, required=True)
@click.option("--alias-of", metavar="ADDRESS", help="They are other names of this one.")
@json_option
@click.pass_obj
def add(operator: Operator, domain: str, addresses: tuple[str, ...], alias_of: str | None) -> None:
    """List recipients: info, or info@DOMAIN.

    *@DOMAIN lists whoever there may be.
    """
    with operator.db.write() as connection:
        found = store.get_domain(connection, domain)
        added = lists.add(connection, found, addresses, operator.now(), alias_of=alias_of)
    operator.out.done(f"{plural(added, 'recipient')} of {domain} added", added=added)


@recipient.command("remove")
@click.argument("domain", type=DOMAIN)
@click.argument("addresses", nargs=-1, required=True)
@json_option
@click.pass_obj
def remove(operator: Operator, domain: str, addresses: tuple[str, ...]) -> None:
    """Take recipients off the operators' list.

    Their mail is refused from then on, unless a sync lists them too.
    """
    with operator.db.write() as connection:
        found = store.get_domain(connection, domain)
        removed = lists.remove(connection, found, addresses)
        unwanted = [Entry.parse(found.name, address).local for address in addresses]
        still = [one.entry.address(found.name) for one in lists.find(connection, found, unwanted, Source.SYNC)]
    stays = f"; still listed by the sync: {', '.join(still)}" if still else ""
    operator.out.done(f"{plural(removed, 'recipient')} of {domain} removed{stays}", removed=removed, still_listed=still)


@recipient.command("list")
@click.argument("domain", type=DOMAIN)
@json_option
@click.pass_obj
def list_(operator: Operator, domain: str) -> None:
    """All recipients of a domain that are listed, or were learned."""
    with operator.db.read() as connection:
        found = store.get_domain(connection, domain)
    if found.recipients is RecipientPolicy.LEARNED:
        show_learned(operator, found)
        return
    listed = [one for source in Source for one in editions.every(operator.db, found, source)]
    listed.sort(key=lambda one: (one.entry.local, one.source))
    if operator.out.facts([_facts(one, found.name) for one in listed]):
        return
    operator.out.table(
        ("ADDRESS", "KIND", "TARGET", "SOURCE", Column("SINCE", spare=1)),
        (
            (one.entry.address(found.name), one.entry.kind, one.entry.target, one.source, clock_time(one.added_at))
            for one in listed
        ),
        empty=f"no recipients of {found.name} are listed",
    )


def _facts(one: Listed, domain: str) -> dict[str, str | None]:
    return {
        "address": one.entry.address(domain),
        "kind": str(one.entry.kind),
        "target": one.entry.target,
        "source": str(one.source),
        "added_at": at(one.added_at),
    }


@recipient.command("import")
@click.argument("domain", type=DOMAIN)
@click.argument("file", type=click.File("rb"))
@click.option("--replace", is_flag=True, help="Remove what operators listed and the file doesn't.")
@click.option("--skip-others", is_flag=True, help="Leave out addresses of other domains.")
@dry_run_option
@yes_option
@json_option
@click.pass_obj
def import_(
    operator: Operator, domain: str, file: BinaryIO, replace: bool, skip_others: bool, dry_run: bool, yes: bool
) -> None:
    """List the recipients that a file names, all or none.

    \b
    One a line:  info@DOMAIN    sales@DOMAIN -> ann@DOMAIN    *@DOMAIN    # comment
    Or CSV whose first line names the columns: address, mail, PrimarySmtpAddress, userPrincipalName …;
    EmailAddresses, proxyAddresses, aliases …; target. As a directory's tools export it.

    '-' is standard input. A node takes the new list as a whole.
    """
    content = file.read()
    with operator.db.read() as connection:
        found = store.get_domain(connection, domain)
    read = export.read(found.name, content, skip_others=skip_others)
    wanted = editions.plan(operator.db, found, Source.OPERATOR, read.entries, keep=not replace)
    if not dry_run:
        _be_sure(wanted, yes)
        editions.carry_out(operator.db, wanted, operator.now())
    change, would = wanted.change, "would be " if dry_run else ""
    said = [f"{plural(change.added, 'recipient')} of {len(read.entries)} {would}added"]
    if replace:
        said.append(f"{change.removed} {would}removed")
    if skip_others:
        said.append(f"{plural(read.others, 'address', 'addresses')} of other domains left out")
    operator.out.done(
        ", ".join(said),
        added=change.added,
        removed=change.removed,
        total=change.total,
        skipped=read.others,
        dry_run=dry_run,
    )


def _be_sure(wanted: Plan, yes: bool) -> None:
    """Ask before very many are refused. Raises Refused where nobody can be asked."""
    removed, before = wanted.change.removed, len(wanted.before)
    if yes or removed <= MANY * before:
        return
    what = f"{removed} of {plural(before, 'recipient')} that operators listed for {wanted.domain.name}"
    if not sys.stdin.isatty():
        raise Refused(f"this would remove {what}: say --yes where nobody is asked")
    click.confirm(f"Remove {what}?", abort=True, err=True)


recipient.add_command(check)
recipient.add_command(forget)
recipient.add_command(sync)
