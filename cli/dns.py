"""relayctl dns: what the DNS says of our domains, and whether senders will find us."""

from __future__ import annotations

import asyncio
from typing import Any

import click

from cli.context import Noun, Operator, json_option
from cli.names import DOMAIN
from cli.render import plural
from cli.table import prose, word
from relay.appliances import store
from relay.appliances.model import Appliance
from relay.dns import Resolver
from relay.errors import Refused
from relay.watch.dnscheck import DnsVerdict, check_domain

AT_ONCE = 20
"""Domains that are asked about at the same time."""


@click.group(cls=Noun)
def dns() -> None:
    """What the DNS says."""


@dns.command("check")
@click.argument("domain", required=False, type=DOMAIN)
@json_option
@click.pass_obj
def check(operator: Operator, domain: str | None) -> None:
    """Compare MX sets with what they should be; exit 1 if one isn't.

    This cluster should be in it, strictly behind the primary.
    """
    with operator.db.read() as connection:
        domains = [store.get_domain(connection, domain)] if domain else store.list_domains(connection)
        appliances = {one.id: one for one in store.list_appliances(connection)}

    async def ask() -> list[DnsVerdict]:
        resolver, turn = Resolver(operator.settings.dns), asyncio.Semaphore(AT_ONCE)

        async def one(name: str, owner: Appliance) -> DnsVerdict:
            async with turn:
                return await check_domain(resolver, operator.settings.node, owner, name)

        return await asyncio.gather(*(one(found.name, appliances[found.appliance_id]) for found in domains))

    verdicts = operator.run(ask())
    rows: list[dict[str, Any]] = [
        {"domain": verdict.domain, "ok": verdict.ok, "unknown": verdict.unknown, "evidence": verdict.evidence}
        for verdict in verdicts
    ]
    if not operator.out.facts(rows):
        operator.out.table(
            ("DOMAIN", word("MX"), prose("EVIDENCE")),
            ((row["domain"], _word(row), row["evidence"]) for row in rows),
            empty="no Gold domains yet; 'relayctl domain add' adds one",
        )
    wrong = sum(not row["ok"] and not row["unknown"] for row in rows)
    unknown = sum(row["unknown"] for row in rows)
    if wrong or unknown:
        of = f" of {plural(len(rows), 'domain')}"
        told = [f"the DNS of {wrong}{of} is wrong; see deploy/dns.md"] if wrong else []
        told += [f"nothing is known of {unknown}{of}: the DNS gives no answer"] if unknown else []
        raise Refused("; ".join(told))


def _word(row: dict[str, Any]) -> str:
    return "ok" if row["ok"] else "unknown" if row["unknown"] else "failed"
