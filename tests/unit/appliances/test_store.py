"""Appliances and Gold domains as an operator enters them."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from datetime import date
from pathlib import Path

import pytest
from sqlalchemy import Connection

from relay.appliances import contract, facts, store
from relay.appliances.directory import load
from relay.appliances.model import Primary, RecipientPolicy
from relay.errors import NotFound, Refused
from relay.values import parse_duration
from tests.support.database import make_database

pytestmark = pytest.mark.usefixtures("engine")


@pytest.fixture
def connection(tmp_path: Path) -> Iterator[Connection]:
    database = make_database(tmp_path)
    with database.write() as connection:
        yield connection
    database.close()


def test_what_was_added_reads_back_the_same(connection: Connection) -> None:
    """Every field of an appliance and a domain survives the database."""
    appliance = store.add_appliance(
        connection,
        5.0,
        name="acme",
        customer="Acme Ltd",
        primaries=(Primary("mail.acme.example"), Primary("::1", 2525)),
        timezone="Asia/Jerusalem",
        holidays="IL",
        contacts=("ops@elsewhere.example",),
        hidden=True,
        skip_proofs=("dns",),
    )
    domain = store.add_domain(
        connection, 6.0, name="Acme.Example.", appliance_id=appliance.id, until=date(2027, 12, 31), quota=5
    )
    assert store.get_appliance(connection, "acme") == appliance
    assert domain.name == "acme.example"
    assert store.get_domain(connection, "ACME.example") == domain
    changed = store.set_domain(connection, "acme.example", recipients=RecipientPolicy.LISTED)
    assert changed == dataclasses.replace(domain, recipients=RecipientPolicy.LISTED)
    assert store.list_domains(connection) == [changed]


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"business_hours": "never on Sunday"}, "never"),
        ({"timezone": "Mars/Base"}, "Mars/Base"),
        ({"holidays": "XX"}, "XX"),
        ({"contacts": ("nobody",)}, "contact 'nobody' should be a mail address"),
        ({"name": " x"}, "needs a name"),
    ],
)
def test_what_can_not_be_is_refused_in_words(connection: Connection, values: dict[str, object], said: str) -> None:
    """The refusal names what was typed."""
    with pytest.raises(Refused, match=said):
        store.add_appliance(connection, 0.0, **{"name": "acme", **values})  # type: ignore[arg-type]


def test_names_are_given_once(connection: Connection) -> None:
    """A second one of the same name is refused, with the way to change the first."""
    appliance = store.add_appliance(connection, 0.0, name="acme")
    store.add_domain(connection, 0.0, name="acme.example", appliance_id=appliance.id)
    with pytest.raises(Refused, match="'relayctl appliance set acme' changes it"):
        store.add_appliance(connection, 0.0, name="acme")
    with pytest.raises(Refused, match="'relayctl domain set acme.example' changes it"):
        store.add_domain(connection, 0.0, name="acme.example", appliance_id=appliance.id)
    with pytest.raises(Refused, match="is not a full domain name"):
        store.add_domain(connection, 0.0, name="localhost", appliance_id=appliance.id)
    with pytest.raises(Refused, match="still has domains"):
        store.remove_appliance(connection, "acme")


def test_removing_takes_what_was_known_along(connection: Connection) -> None:
    """No health or continuity of an appliance that is gone stays behind."""
    appliance = store.add_appliance(connection, 0.0, name="acme")
    store.add_domain(connection, 0.0, name="acme.example", appliance_id=appliance.id)
    store.remove_domain(connection, "acme.example")
    store.remove_appliance(connection, "acme")
    assert facts.all_health(connection) == {}
    assert facts.all_continuity(connection) == {}
    with pytest.raises(NotFound, match="'relayctl appliance list' shows them"):
        store.get_appliance(connection, "acme")


def test_the_directory_reloads_only_what_changed(connection: Connection) -> None:
    """The same version gives nothing new; after any change the new snapshot is as if everything had been read."""
    acme = store.add_appliance(connection, 0.0, name="acme")
    other = store.add_appliance(connection, 0.0, name="other")
    store.add_domain(connection, 0.0, name="acme.example", appliance_id=acme.id)
    known = load(connection)
    assert known is not None and known.appliances == {acme.id: acme, other.id: other}
    assert load(connection, known) is None
    down = facts.HealthFact(facts.Health.DOWN, "connection refused", 7.0)
    active = facts.ContinuityFact(facts.Continuity.ACTIVE, 8.0)
    changes: list[Callable[[], object]] = [
        lambda: facts.set_health(connection, acme.id, down),
        lambda: facts.set_continuity(connection, other.id, active),
        lambda: facts.set_order(connection, acme.id, "activate", "eve", 9.0),
        lambda: store.set_appliance(connection, "other", customer="Other Ltd"),
        lambda: store.add_domain(connection, 0.0, name="other.example", appliance_id=other.id),
        lambda: store.set_domain(connection, "other.example", quota=7),
        lambda: store.remove_domain(connection, "other.example"),
        lambda: facts.add_window(
            connection, appliance_id=acme.id, starts_at=1.0, ends_at=2.0, reason="", created_by="eve"
        ),
        lambda: store.remove_appliance(connection, "other"),
    ]
    for change in changes:
        change()
        snapshot = load(connection, known)
        assert snapshot is not None and snapshot == load(connection)
        known = snapshot
    assert known.health == {acme.id: down}
    assert known.continuity[acme.id].order == "activate"


def test_a_finding_keeps_its_beginning_and_can_be_cured(connection: Connection) -> None:
    """New evidence doesn't restart the clock; no evidence removes it."""
    appliance = store.add_appliance(connection, 0.0, name="acme")
    facts.set_finding(connection, appliance.id, "acme.example", "mx", "no MX", 5.0)
    facts.set_finding(connection, appliance.id, "acme.example", "mx", "equal preference", 9.0)
    assert facts.list_findings(connection) == [
        facts.Finding(appliance.id, "acme.example", "mx", "equal preference", 5.0)
    ]
    facts.set_finding(connection, appliance.id, "acme.example", "mx", None, 10.0)
    assert facts.list_findings(connection) == []


@pytest.mark.parametrize(
    ("text", "primary"),
    [
        ("mail.acme.example", Primary("mail.acme.example", 25)),
        ("192.0.2.25:2525", Primary("192.0.2.25", 2525)),
        ("[2001:db8::25]:26", Primary("2001:db8::25", 26)),
        ("2001:db8::25", Primary("2001:db8::25", 25)),
    ],
)
def test_primaries_as_people_write_them(text: str, primary: Primary) -> None:
    """A host with or without port, IPv6 with or without brackets, and back."""
    assert Primary.parse(text) == primary
    assert Primary.parse(str(primary)) == primary


@pytest.mark.parametrize("text", ["", "a b", "host:0", "host:70000", "[mail]:25", "host:x", "[::1"])
def test_what_is_no_primary(text: str) -> None:
    """The sentence quotes what was typed."""
    with pytest.raises(ValueError, match="should be a host|is not a domain name"):
        Primary.parse(text)


def test_a_contract_runs_to_the_end_of_its_last_day(connection: Connection) -> None:
    """--until names the last day, in UTC."""
    appliance = store.add_appliance(connection, 0.0, name="acme")
    domain = store.add_domain(connection, 0.0, name="acme.example", appliance_id=appliance.id, until=date(2027, 12, 31))
    assert domain.contract_runs(1830297599.0)  # 2027-12-31T23:59:59Z
    assert not domain.contract_runs(1830297600.0)


def test_what_the_dns_says_of_a_domain_that_is_gone_is_left_out(connection: Connection) -> None:
    """Its owner had asked before it was removed."""
    seen = contract.Naming(named_at=1.0, looked_at=2.0)
    appliance = store.add_appliance(connection, 0.0, name="acme")
    domain = store.add_domain(connection, 0.0, name="acme.example", appliance_id=appliance.id)
    contract.set_namings(connection, {domain.id + 1: seen})
    assert contract.all_namings(connection) == {}
    contract.set_namings(connection, {domain.id: seen, domain.id + 1: seen})
    assert contract.all_namings(connection) == {domain.id: seen}


def test_durations() -> None:
    """14d, 12h, 90m, 30s."""
    assert [parse_duration(text) for text in ("14d", "12h", "90m", "30s")] == [1209600, 43200, 5400, 30]
    with pytest.raises(ValueError, match="should be a time such as 14d"):
        parse_duration("soon")
