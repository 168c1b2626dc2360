"""Appliances and domains in the database: added, changed, read and removed inside the caller's transaction.

What a person got wrong is :class:`relay.errors.Refused` with one plain line; nothing is half done.
"""

from __future__ import annotations

import dataclasses
from datetime import date
from typing import Any

from sqlalchemy import Connection, RowMapping, delete, insert, select, update

from relay.appliances.facts import raise_version
from relay.appliances.model import (
    DEFAULT_LIFETIME,
    DEFAULT_PLUS,
    DEFAULT_QUOTA,
    GOLD_PLAN,
    Activation,
    Appliance,
    Domain,
    NeverSeen,
    Primary,
    RecipientPolicy,
    WhenUp,
)
from relay.appliances.tables import appliances, continuity, domains, health
from relay.errors import NotFound, Refused
from relay.hours import Calendar
from relay.mail import domain_of, lies_in, normalise_domain
from relay.tls import Policy


def add_appliance(
    connection: Connection,
    now: float,
    *,
    name: str,
    customer: str | None = None,
    primaries: tuple[Primary, ...] = (),
    business_hours: str = "Mon-Fri 09:00-18:00",
    timezone: str = "UTC",
    holidays: str = "",
    activation: Activation = Activation.OFF_HOURS,
    contacts: tuple[str, ...] = (),
    hidden: bool = False,
    skip_proofs: tuple[str, ...] = (),
    plan: str = GOLD_PLAN,
    backup_every: int = 0,
    max_connections: int | None = None,
    max_rate: float | None = None,
    tls: Policy | None = None,
) -> Appliance:
    """Add one; no ``primaries`` means: by MX. Raises Refused."""
    if not name.strip() or name != name.strip():
        raise Refused("an appliance needs a name without spaces around it")
    if find_appliance(connection, name) is not None:
        raise Refused(f"appliance {name} exists already; 'relayctl appliance set {name}' changes it")
    appliance = Appliance(
        0,
        name,
        customer or name,
        primaries,
        business_hours,
        timezone,
        holidays,
        activation,
        contacts,
        hidden,
        skip_proofs,
        now,
        plan,
        backup_every,
        max_connections,
        max_rate,
        tls,
    )
    _check_appliance(appliance)
    number = connection.execute(insert(appliances).values(**_appliance_row(appliance))).inserted_primary_key
    assert number is not None  # noqa: S101 - an INTEGER PRIMARY KEY always comes back
    appliance = dataclasses.replace(appliance, id=number[0])
    connection.execute(
        insert(health).values(appliance_id=appliance.id, state="unknown", reason="not probed yet", since=now)
    )
    connection.execute(
        insert(continuity).values(appliance_id=appliance.id, state="standby", since=now, ready=None, failing_proofs=[])
    )
    raise_version(connection, directory=True)
    return appliance


def set_appliance(connection: Connection, name: str, **changes: Any) -> Appliance:
    """Change fields of :class:`Appliance` by name. Raises Refused, NotFound."""
    appliance = dataclasses.replace(get_appliance(connection, name), **changes)
    _check_appliance(appliance)
    for domain in domains_of(connection, appliance.id) if "contacts" in changes else ():
        check_contacts(appliance.contacts, domain.name)
    connection.execute(update(appliances).where(appliances.c.id == appliance.id).values(**_appliance_row(appliance)))
    raise_version(connection, directory=True)
    return appliance


def remove_appliance(connection: Connection, name: str) -> None:
    """Remove one without domains. Raises Refused, NotFound. (Mail keeps its domain from being removed.)"""
    appliance = get_appliance(connection, name)
    if domains_of(connection, appliance.id):
        raise Refused(f"appliance {name} still has domains; remove them first with 'relayctl domain remove'")
    connection.execute(delete(appliances).where(appliances.c.id == appliance.id))
    raise_version(connection, directory=True)


def find_appliance(connection: Connection, name: str) -> Appliance | None:
    row = connection.execute(select(appliances).where(appliances.c.name == name)).mappings().first()
    return appliance_of_row(row) if row else None


def get_appliance(connection: Connection, name: str) -> Appliance:
    appliance = find_appliance(connection, name)
    if appliance is None:
        raise NotFound(f"no appliance is named {name}; 'relayctl appliance list' shows them")
    return appliance


def list_appliances(connection: Connection) -> list[Appliance]:
    return [
        appliance_of_row(row) for row in connection.execute(select(appliances).order_by(appliances.c.name)).mappings()
    ]


def new_domain(
    now: float,
    *,
    name: str,
    appliance_id: int,
    recipients: RecipientPolicy = RecipientPolicy.ANY,
    when_up: WhenUp = WhenUp.RELAY,
    lifetime: int = DEFAULT_LIFETIME,
    quota: int = DEFAULT_QUOTA,
    quota_messages: int = 0,
    until: date | None = None,
    never_seen: NeverSeen = NeverSeen.ACCEPT,
    plus_addressing: str = DEFAULT_PLUS,
) -> Domain:
    """One that isn't in the database yet. Raises Refused."""
    try:
        name = normalise_domain(name)
    except ValueError as error:
        raise Refused(str(error)) from None
    if "." not in name:
        raise Refused(f"{name!r} is not a full domain name")
    return Domain(
        0,
        name,
        appliance_id,
        recipients,
        when_up,
        lifetime,
        quota,
        until,
        now,
        quota_messages,
        never_seen,
        plus_addressing,
    )


def add_domain(connection: Connection, now: float, **values: Any) -> Domain:
    """Add one to an appliance; ``values``: as :func:`new_domain` takes them. Raises Refused."""
    domain = new_domain(now, **values)
    if find_domain(connection, domain.name) is not None:
        raise Refused(f"domain {domain.name} exists already; 'relayctl domain set {domain.name}' changes it")
    check_contacts(_contacts_of(connection, domain.appliance_id), domain.name)
    number = connection.execute(insert(domains).values(**domain_row(domain))).inserted_primary_key
    assert number is not None  # noqa: S101
    raise_version(connection, directory=True)
    return dataclasses.replace(domain, id=number[0])


def set_domain(connection: Connection, name: str, **changes: Any) -> Domain:
    """Change fields of :class:`Domain` by name. Raises NotFound."""
    domain = dataclasses.replace(get_domain(connection, name), **changes)
    if "appliance_id" in changes:
        check_contacts(_contacts_of(connection, domain.appliance_id), domain.name)
    connection.execute(update(domains).where(domains.c.id == domain.id).values(**domain_row(domain)))
    raise_version(connection, directory=True)
    return domain


def remove_domain(connection: Connection, name: str) -> None:
    """Forget a domain; the caller has made sure that no mail waits for it. Raises NotFound."""
    domain = get_domain(connection, name)
    connection.execute(delete(domains).where(domains.c.id == domain.id))
    raise_version(connection, directory=True)


def stop_mail(connection: Connection, domain: Domain) -> None:
    """No more mail is accepted for a domain until the transaction ends: what is counted now stays all there is.

    Who accepts holds the domain's row on PostgreSQL; on SQLite nobody else writes meanwhile.
    """
    connection.execute(select(domains.c.id).where(domains.c.id == domain.id).with_for_update())


def find_domain(connection: Connection, name: str) -> Domain | None:
    """The domain as a person may write it: in any case, with a final dot, in U-labels."""
    try:
        name = normalise_domain(name)
    except ValueError:
        return None
    row = connection.execute(select(domains).where(domains.c.name == name)).mappings().first()
    return domain_of_row(row) if row else None


def get_domain(connection: Connection, name: str) -> Domain:
    domain = find_domain(connection, name)
    if domain is None:
        raise NotFound(f"no Gold domain is named {name}; 'relayctl domain list' shows them")
    return domain


def list_domains(connection: Connection) -> list[Domain]:
    return [domain_of_row(row) for row in connection.execute(select(domains).order_by(domains.c.name)).mappings()]


def domains_of(connection: Connection, appliance_id: int) -> list[Domain]:
    query = select(domains).where(domains.c.appliance_id == appliance_id).order_by(domains.c.name)
    return [domain_of_row(row) for row in connection.execute(query).mappings()]


def _check_appliance(appliance: Appliance) -> None:
    try:
        Calendar.parse(appliance.business_hours, appliance.timezone, appliance.holidays)
    except ValueError as error:
        raise Refused(str(error)) from None
    for contact in appliance.contacts:
        if contact.count("@") != 1 or not all(contact.split("@")) or not contact.isprintable() or " " in contact:
            raise Refused(f"contact {contact!r} should be a mail address")


def _contacts_of(connection: Connection, appliance_id: int) -> tuple[str, ...]:
    found = connection.execute(select(appliances.c.contacts).where(appliances.c.id == appliance_id)).scalar()
    return tuple(found or ())


def check_contacts(contacts: tuple[str, ...], domain: str) -> None:
    """Who has their mail at the domain that is down hears of nothing. Raises Refused."""
    for contact in contacts:
        if lies_in(domain_of(contact), domain):
            raise Refused(f"contact {contact} gets no mail while {domain} is down; --contact should be somewhere else")


def _appliance_row(appliance: Appliance) -> dict[str, Any]:
    row = dataclasses.asdict(appliance)
    del row["id"]
    row["primaries"] = [[primary.host, primary.port] for primary in appliance.primaries]
    row["contacts"] = list(appliance.contacts)
    row["skip_proofs"] = list(appliance.skip_proofs)
    row["activation"] = str(appliance.activation)
    return row


def appliance_of_row(row: RowMapping) -> Appliance:
    values = dict(row)
    values["primaries"] = tuple(Primary(host, port) for host, port in row["primaries"])
    values["contacts"] = tuple(row["contacts"])
    values["skip_proofs"] = tuple(row["skip_proofs"])
    values["activation"] = Activation(row["activation"])
    return Appliance(**values)


def domain_row(domain: Domain) -> dict[str, Any]:
    row = {one.name: getattr(domain, one.name) for one in dataclasses.fields(domain) if one.name != "id"}
    row["recipients"] = str(domain.recipients)
    row["when_up"] = str(domain.when_up)
    row["never_seen"] = str(domain.never_seen)
    row["until"] = domain.until.isoformat() if domain.until else None
    return row


def domain_of_row(row: RowMapping) -> Domain:
    values = dict(row)
    values["recipients"] = RecipientPolicy(row["recipients"])
    values["when_up"] = WhenUp(row["when_up"])
    values["never_seen"] = NeverSeen(row["never_seen"])
    values["until"] = date.fromisoformat(row["until"]) if row["until"] else None
    return Domain(**values)
