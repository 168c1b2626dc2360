"""Whom no mail about an outage can reach: those at the domain that is down, and whoever is written to through it.

Asked when a rule, a contact or a domain is entered, and again before each message. A domain below one that is down is
taken for down with it; one above isn't.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from sqlalchemy import Connection, select

from relay.appliances import store as appliances
from relay.appliances.facts import Health
from relay.appliances.model import Appliance, Domain
from relay.appliances.tables import domains, health
from relay.mail import domain_of, lies_in
from relay.tickets.people.book import MAIL, Book
from relay.tickets.people.message import Reach
from relay.tickets.people.rules import Rule


@dataclass(frozen=True, slots=True)
class Served:
    """An appliance with the names of its domains."""

    appliance: Appliance
    domains: tuple[str, ...]


def served(connection: Connection, name: str | None = None, instead: Mapping[str, Domain] = {}) -> list[Served]:
    """Every appliance, or the one of that name. ``instead``: domains by name, of all appliances, that count for what
    the database has of them."""
    if name is not None:
        found = appliances.find_appliance(connection, name)
        names = () if found is None else tuple(one.name for one in appliances.domains_of(connection, found.id))
        return [] if found is None else [Served(found, names)]
    grouped: dict[int, list[str]] = {}
    present = {domain.name: domain for domain in appliances.list_domains(connection)}
    for domain in {**present, **instead}.values():
        grouped.setdefault(domain.appliance_id, []).append(domain.name)
    return [Served(one, tuple(grouped.get(one.id, ()))) for one in appliances.list_appliances(connection)]


def unreachable(address: str, lost: Iterable[str]) -> str:
    """Why ``address`` isn't written to while the domains ``lost`` are down; empty where it may be."""
    where = domain_of(address)
    its = next((domain for domain in lost if lies_in(where, domain)), None)
    return f"{address} gets no mail while {its} is down" if its else ""


def by_way_of(server: str, served: Served) -> str:
    """Why a mail server can't carry news of an appliance's outage: it is the appliance's own; empty where it can."""
    hosts = {primary.host for primary in served.appliance.primaries if primary.port in (25, 465, 587)}
    lost = next((domain for domain in served.domains if lies_in(server, domain)), None)
    if server and (server in hosts or lost):
        return f"the mail server {server} is down together with {lost or served.appliance.name}"
    return ""


def conflicts(book: Book, every: Iterable[Served]) -> Iterator[str]:
    """What of the address book can't work, a sentence each: the rule, whom it names and why not."""
    for one in every:
        if book.mail and (reason := by_way_of(book.reach[MAIL].server, one)):
            yield f"[notify] mail: {reason}"
        for rule, target in _pairs(book.rules, one):
            reach = book.reach[target]
            reasons = [unreachable(address, one.domains) for address in sorted(reach.addresses)]
            for reason in filter(None, (*reasons, by_way_of(reach.server, one))):
                yield f"[notify] rule {rule.name}: {reason}"


def _pairs(rules: Iterable[Rule], one: Served) -> Iterator[tuple[Rule, str]]:
    """Each target once, with the first rule by which it is told of this appliance."""
    seen = set[str]()
    for rule in rules:
        if rule.covers(one.appliance.customer, one.appliance.name, one.domains):
            for target in rule.targets:
                if target not in seen:
                    seen.add(target)
                    yield rule, target


def lost_now(connection: Connection, reach: Reach, appliance: str, about_mail: bool) -> str:
    """Why nothing sent there arrives now; empty where it may. ``about_mail``: it is about the appliance's own mail
    flow, so that its domains count as down in any case."""
    if not reach.addresses and not reach.server:
        return ""
    (own,) = served(connection, appliance) or (None,)
    if own is not None and (reason := by_way_of(reach.server, own)):
        return reason
    for address in sorted(reach.addresses):
        down = _down_above(connection, address)
        if reason := unreachable(address, (*(own.domains if own is not None and about_mail else ()), *down)):
            return reason
    return ""


def _down_above(connection: Connection, address: str) -> list[str]:
    """The domains that are down now, of that of the address and those above it."""
    labels = domain_of(address).split(".")
    above = [".".join(labels[place:]) for place in range(len(labels))]
    query = (
        select(domains.c.name)
        .join(health, health.c.appliance_id == domains.c.appliance_id)
        .where(domains.c.name.in_(above), health.c.state == str(Health.DOWN))
    )
    return list(connection.execute(query).scalars())
