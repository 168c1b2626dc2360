"""Whom no mail about an outage can reach: those at the domain that is down, and whoever is written to through it.

Asked when a rule, a contact or a domain is entered, and again before each message. A domain below one that is down is
taken for down with it; one above isn't.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from sqlalchemy import Connection

from relay.appliances import store as appliances
from relay.appliances.model import Appliance
from relay.mail import domain_of, lies_in
from relay.tickets.people.book import Book
from relay.tickets.people.rules import Rule


@dataclass(frozen=True, slots=True)
class Served:
    """An appliance with the names of its domains."""

    appliance: Appliance
    domains: tuple[str, ...]


def served(connection: Connection, name: str | None = None) -> list[Served]:
    """Every appliance, or the one of that name."""
    domains: dict[int, list[str]] = {}
    for domain in appliances.list_domains(connection):
        domains.setdefault(domain.appliance_id, []).append(domain.name)
    found = appliances.list_appliances(connection)
    return [Served(one, tuple(domains.get(one.id, ()))) for one in found if name in (None, one.name)]


def unreachable(address: str, domains: Iterable[str]) -> str:
    """Why ``address`` isn't written to while ``domains`` are down; empty where it may be."""
    where = domain_of(address)
    lost = next((domain for domain in domains if lies_in(where, domain)), None)
    return f"{address} gets no mail while {lost} is down" if lost else ""


def by_way_of(server: str, served: Served) -> str:
    """Why a mail server can't carry news of an appliance's outage: it is the appliance's own; empty where it can."""
    hosts = {primary.host for primary in served.appliance.primaries if primary.port in (25, 465, 587)}
    lost = next((domain for domain in served.domains if lies_in(server, domain)), None)
    if server and (server in hosts or lost):
        return f"the mail server {server} is down together with {lost or served.appliance.name}"
    return ""


def conflicts(book: Book, every: Iterable[Served]) -> Iterator[str]:
    """What of the address book can't work, a sentence each: the rule, whom it names and why not."""
    if not book:
        return
    from relay.tickets.people import targets

    plugins = {name: targets.load(url) for name, url in book.urls.items()}
    written = {name: (targets.addresses(plugin), targets.server(plugin)) for name, plugin in plugins.items()}
    written = {name: found for name, found in written.items() if any(found)}
    mail = targets.server(targets.load(book.mail)) if book.mail else ""
    for served in every:
        if reason := by_way_of(mail, served):
            yield f"[notify] mail: {reason}"
        for rule, target in _pairs(book.rules, served, written):
            found, server = written[target]
            reasons = [unreachable(address, served.domains) for address in sorted(found)]
            for reason in filter(None, (*reasons, by_way_of(server, served))):
                yield f"[notify] rule {rule.name}: {reason}"


def _pairs(rules: Iterable[Rule], served: Served, written: Iterable[str]) -> Iterator[tuple[Rule, str]]:
    about = (served.appliance.customer, served.appliance.name, served.domains)
    known, seen = set(written), set[str]()
    for rule in rules:
        for target in rule.targets if rule.covers(*about) else ():
            if target in known and target not in seen:
                seen.add(target)
                yield rule, target
