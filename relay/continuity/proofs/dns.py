"""Proof ``dns``: each domain's MX set lists this cluster, strictly behind the primary.

What is wrong is said for each domain, and becomes a finding. That the DNS gives no answer is not the same: then the
last good answer serves, for as long as relay.continuity.proof lets it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from relay.appliances.model import Appliance, Domain
from relay.continuity.comments import about
from relay.dns import Resolver
from relay.settings import Node
from relay.watch.dnscheck import DnsVerdict, check_domain

TOGETHER = 20
"""Domains that are asked about at the same time."""


@dataclass(frozen=True, slots=True)
class DnsResult:
    """``ok``: None where the DNS didn't answer for a domain, and nothing is wrong with the others. ``wrong``: what is
    wrong, by domain; ``right``: domains that are as they should be."""

    ok: bool | None
    evidence: str
    wrong: dict[str, str]
    right: tuple[str, ...]


async def prove_dns(resolver: Resolver, node: Node, appliance: Appliance, domains: Sequence[Domain]) -> DnsResult:
    """Never raises for what the DNS says or doesn't."""
    turn = asyncio.Semaphore(TOGETHER)

    async def check(domain: Domain) -> DnsVerdict:
        async with turn:
            return await check_domain(resolver, node, appliance, domain.name)

    return weigh(await asyncio.gather(*map(check, domains)))


def weigh(verdicts: Sequence[DnsVerdict]) -> DnsResult:
    """What the verdicts on all domains say together."""
    wrong = {verdict.domain: verdict.evidence for verdict in verdicts if not verdict.ok and not verdict.unknown}
    right = tuple(verdict.domain for verdict in verdicts if verdict.ok)
    if wrong:
        return DnsResult(False, "; ".join(about(domain, text) for domain, text in wrong.items()), wrong, right)
    silent = [about(verdict.domain, verdict.evidence) for verdict in verdicts if verdict.unknown]
    if silent:
        return DnsResult(None, "; ".join(silent), wrong, right)
    return DnsResult(True, "; ".join(about(verdict.domain, verdict.evidence) for verdict in verdicts), wrong, right)
