"""Whether the DNS of a Gold domain does its part: senders must find the primary first, and this cluster behind it.

    acme.example.  MX 10 mail.acme.example.
    acme.example.  MX 20 relay.example.       one of [node] mx_names, or a host with one of mx_addresses

Asks and compares; changes nothing. What the DNS doesn't answer now is unknown, which is not the same as wrong.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from relay.appliances.model import Appliance
from relay.appliances.mx import Us, describe
from relay.dns import Mx, Resolver
from relay.errors import LookupFailed
from relay.settings import Node


@dataclass(frozen=True, slots=True)
class DnsVerdict:
    """``evidence``: what was found, and what to do about it where it isn't right. ``unknown``: the DNS gave no
    answer, so that nothing can be said (``ok`` is False then)."""

    domain: str
    ok: bool
    evidence: str
    unknown: bool = False


async def check_domain(resolver: Resolver, node: Node, appliance: Appliance, domain: str) -> DnsVerdict:
    """Look at the MX set of one ``domain`` of ``appliance``. Never raises for what the DNS says or doesn't."""
    us = Us(node)
    try:
        records = await resolver.mx(domain)
        ours = await us.among(resolver, {record.host for record in records if record.host})
        if problem := await _unreachable(resolver, us, ours):
            return DnsVerdict(domain, False, problem)
        primaries = await _primaries(resolver, appliance, {record.host for record in records if record.host} - ours)
    except LookupFailed as error:
        return DnsVerdict(domain, False, f"the DNS gives no answer: {error}", unknown=True)
    wanted = (node.mx_names or [node.hostname])[0]
    if problem := judge(domain, records, ours, primaries, appliance, wanted):
        return DnsVerdict(domain, False, problem)
    return DnsVerdict(domain, True, describe(records))


def judge(
    domain: str, records: Sequence[Mx], ours: set[str], primaries: set[str], appliance: Appliance, wanted: str
) -> str:
    """What is wrong with an MX set, and what would mend it; empty where it is right.

    ``ours`` and ``primaries``: those of its hosts that are this cluster, and the appliance; ``wanted``: the host name
    that the missing record should have.
    """
    found = describe(records)
    if not records:
        return f"{domain} has no MX record; add one for the primary, and a higher preference for {wanted}"
    if all(not record.host for record in records):
        return f"{domain} has a null MX, which says that it takes no mail at all (RFC 7505)"
    our_best = min((record.preference for record in records if record.host in ours), default=None)
    if our_best is None:
        highest = max(record.preference for record in records)
        return f"the MX set ({found}) doesn't list this relay; add: {domain} MX {highest + 10} {wanted}"
    if appliance.hidden:
        return ""
    if not primaries:
        named = ", ".join(map(str, appliance.primaries)) or "any other host"
        return (
            f"the MX set ({found}) doesn't list the primary ({named}); add it with a lower preference than "
            f"{our_best}, or, if it is meant to be hidden, say 'relayctl appliance set {appliance.name} --hidden'"
        )
    if not appliance.primaries and any(record.preference < our_best for record in records):
        # Found by MX: what stands behind us is no primary but somebody else's business; only a tie is wrong.
        records = [record for record in records if record.preference <= our_best]
    for record in records:
        if record.host in primaries and record.preference >= our_best:
            how = "as preferred as" if record.preference == our_best else "less preferred than"
            return (
                f"{record.host} ({record.preference}) is {how} this relay ({our_best}): mail comes here while the "
                f"primary is up; give this relay a higher preference number than {record.preference}"
            )
    return ""


async def _primaries(resolver: Resolver, appliance: Appliance, others: set[str]) -> set[str]:
    """Those of the ``others`` in the MX set that are the appliance, by name or address."""
    if not appliance.primaries:
        return others
    names = {primary.host for primary in appliance.primaries}
    unnamed = others - names
    if not unnamed:
        return others
    addresses = {address for name in names for address in await resolver.addresses(name)}
    return others & names | {host for host in unnamed if not addresses.isdisjoint(await resolver.addresses(host))}


async def _unreachable(resolver: Resolver, us: Us, ours: set[str]) -> str:
    """Why senders wouldn't reach us by the names that the MX set gives us; empty where they would."""
    for host in sorted(ours):
        addresses = await resolver.addresses(host)
        if not addresses:
            return f"{host} stands in the MX set for this relay, but has no address"
        if us.addresses and us.addresses.isdisjoint(addresses):
            return (
                f"{host} stands in the MX set for this relay, but points at {', '.join(addresses)} instead of "
                f"{', '.join(sorted(us.addresses))}"
            )
    return ""
