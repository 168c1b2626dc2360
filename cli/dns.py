"""relayctl dns: what the DNS says of our domains, and whether senders will find us."""

from __future__ import annotations

from typing import Any

import click

from cli.context import Operator, json_option
from relay.appliances import store
from relay.dns import Resolver
from relay.errors import Refused
from relay.watch.dnscheck import DnsVerdict, check_domain


@click.group()
def dns() -> None:
    """What the DNS says."""


@dns.command("check")
@click.argument("domain", required=False)
@json_option
@click.pass_obj
def check(operator: Operator, domain: str | None) -> None:
    """Is this cluster in each domain's MX set, strictly behind the primary? Exit 1 if not."""
    with operator.db.read() as connection:
        domains = [store.get_domain(connection, domain)] if domain else store.list_domains(connection)
        appliances = {one.id: one for one in store.list_appliances(connection)}

    async def ask() -> list[DnsVerdict]:
        resolver = Resolver(operator.settings.dns)
        return [
            await check_domain(resolver, operator.settings.node, appliances[one.appliance_id], one.name)
            for one in domains
        ]

    verdicts = operator.run(ask())
    rows: list[dict[str, Any]] = [
        {"domain": one.name, "ok": verdict.ok, "evidence": verdict.evidence}
        for one, verdict in zip(domains, verdicts, strict=True)
    ]
    if not operator.out.facts(rows):
        operator.out.table(
            ("DOMAIN", "MX", "EVIDENCE"),
            ((row["domain"], "ok" if row["ok"] else "failed", row["evidence"]) for row in rows),
            empty="no Gold domains yet; 'relayctl domain add' adds one",
        )
    wrong = sum(not row["ok"] for row in rows)
    if wrong:
        raise Refused(f"{wrong} of {len(rows)} domains would not find this cluster; see deploy/dns.md")
