"""relayctl doctor: what is wrong with customers' domains as they were entered, and what to do about it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from cli import contract, refusals
from cli.checked import Check
from cli.context import Operator
from cli.learned import warnings
from relay.appliances.directory import Snapshot
from relay.appliances.model import GOLD_PLAN, Appliance, RecipientPolicy
from relay.recipients.lists import catch_alls
from relay.settings import Settings


def check(operator: Operator, snapshot: Snapshot, appliances: Sequence[Appliance]) -> Iterator[Check]:
    """Support plans, who is taken mail for, and what becomes of mail after the contract."""
    for one in appliances:
        yield from _plan(operator.settings, one)
    yield from _strangers(operator, snapshot, appliances)
    yield from _learned(operator, snapshot, appliances)
    yield from _contract(operator, snapshot, appliances)


def _plan(settings: Settings, appliance: Appliance) -> Iterator[Check]:
    plans = (GOLD_PLAN, *settings.support.plans)
    if appliance.plan not in plans:
        evidence = f"there is no support plan {appliance.plan} any more: its tickets have the targets of {GOLD_PLAN}"
        remedy = f"'relayctl appliance set {appliance.name} --plan' one of {', '.join(plans)}, or [support.plans]"
        yield Check(appliance.name, "plan", "warning", evidence, remedy)


def _strangers(operator: Operator, snapshot: Snapshot, appliances: Sequence[Appliance]) -> Iterator[Check]:
    """Domains that take mail for people who don't exist."""
    with operator.db.read() as connection:
        open_to_all = catch_alls(connection)
    for domain in (domain for appliance in appliances for domain in snapshot.domains_of[appliance.id]):
        evidence = remedy = ""
        if domain.recipients is RecipientPolicy.ANY:
            evidence = "every recipient is taken while the primary is down, also those that don't exist"
            remedy = (
                f"have them learned: 'relayctl domain set {domain.name} --recipients learned'; or list them: "
                f"'relayctl recipient import {domain.name} FILE', then "
                f"'relayctl domain set {domain.name} --recipients listed'"
            )
        elif domain.recipients is RecipientPolicy.LISTED and domain.id in open_to_all:
            evidence = "a catch-all is listed: every recipient is taken, also those that don't exist"
            remedy = f"'relayctl recipient remove {domain.name} *@{domain.name}', unless the primary has one too"
        if evidence:
            yield Check(domain.name, "policy", "warning", evidence, remedy)


def _learned(operator: Operator, snapshot: Snapshot, appliances: Sequence[Appliance]) -> list[Check]:
    domains = [domain for appliance in appliances for domain in snapshot.domains_of[appliance.id]]
    with operator.db.read() as connection:
        found = list(warnings(connection, domains))
    return [Check(domain.name, "wildcard", "warning", evidence, remedy) for domain, evidence, remedy in found]


def _contract(operator: Operator, snapshot: Snapshot, appliances: Sequence[Appliance]) -> Iterator[Check]:
    """What becomes of mail for domains whose contract is over."""
    now = operator.now()
    for domain in (domain for appliance in appliances for domain in snapshot.domains_of[appliance.id]):
        if domain.contract_runs(now):
            continue
        known = snapshot.naming.get(domain.id)
        evidence = contract.sentence(domain, known, now)
        if contract.facts(domain, known, now)["contract"] == "gone":
            yield Check(domain.name, "contract", "ok", evidence)
        else:
            remedy = (
                f"take this relay out of the MX set of {domain.name}; "
                f"or, if the contract goes on: 'relayctl domain set {domain.name} --until DATE'"
            )
            yield Check(domain.name, "contract", "warning", evidence, remedy)


def refusals_of(node: str, names: Sequence[str], refused: Mapping[str, Mapping[str, int]]) -> Iterator[Check]:
    """Where much mail was put off that we should have taken: for a domain, or before any was known."""
    for name in ("", *names):
        if counts := refusals.ours(refused.get(name, {})):
            evidence = f"put off in the last 24 hours, for reasons of ours: {refusals.line(counts)}"
            remedies = "; ".join(refusals.OURS[reason].format(domain=name or "DOMAIN") for reason in counts)
            yield Check(name or node, "refusals", "warning", evidence, remedies)
