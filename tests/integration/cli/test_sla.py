"""relayctl sla report: from a real database to a table, JSON, CSV and a page."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import Connection, text

from relay.appliances import facts, store
from relay.clock import Clock
from relay.continuity.store import add_history
from relay.settings import load
from relay.tickets import desk, operators
from relay.tickets.plan import Terms
from relay.tickets.states import Condition, Priority
from relay.tickets.ticket import Wanted
from relay.tickets.warnings import Warnings
from tests.integration.cli.console import Relayctl

MARCH = ("sla", "report", "--month", "2025-03")


def at(text: str) -> float:
    """``14 02:00``: in March 2025, UTC."""
    day, time = text.split()
    return datetime.fromisoformat(f"2025-03-{int(day):02} {time}").replace(tzinfo=UTC).timestamp()


def history(connection: Connection, customer: str) -> None:
    """An appliance of the customer's and its March: three hours away by night, the last one covered; a late answer."""
    name = customer.split()[0].lower()
    acme = store.add_appliance(connection, at("1 00:00"), name=name, customer=customer)
    store.add_domain(connection, at("1 00:00"), name=f"{name}.example", appliance_id=acme.id)
    outage = facts.begin_outage(connection, acme.id, at("14 02:00"), "192.0.2.25:25: connection refused")
    add_history(connection, acme.id, outage, "relay", "standby", "active", "down", at("14 04:00"))
    add_history(connection, acme.id, outage, "dana", "", "activate", "they asked for it", at("14 04:30"))
    add_history(connection, acme.id, outage, "relay", "active", "draining", "it answers", at("14 05:00"))
    facts.mark_outage(connection, outage, returned_at=at("14 05:00"), ended_at=at("14 05:10"))
    connection.execute(
        text("INSERT INTO ledger VALUES (:domain, 'n1', :outage, 12, 10, 0, 0, 0, 2, 0)"),
        {"domain": f"{name}.example", "outage": outage},
    )
    wanted = Wanted(
        acme.id, name, customer, Condition.MAILFLOW, (f"{name}.example",), Priority.P1, at("14 02:00"), "no mail flow"
    )
    ticket = desk.reconcile(connection, wanted, at("14 02:01"))
    assert ticket is not None
    operators.acknowledge(connection, ticket.id, "dana", at("14 02:30"))
    operators.respond(connection, ticket.id, "dana", "we are on it", at("14 03:20"))
    operators.resolve(connection, ticket.id, "dana", "mail flows", at("14 05:10"))


@pytest.fixture
def march(relayctl: Relayctl) -> Iterator[Relayctl]:
    """Acme Ltd has had an outage; Bolt Ltd nothing."""
    database = relayctl.database()
    with database.write() as connection:
        history(connection, "Acme Ltd")
        store.add_appliance(connection, at("1 00:00"), name="bolt", customer="Bolt Ltd")
    database.close()
    yield relayctl


def test_scripts_find_every_figure(march: Relayctl) -> None:
    """By customer: times in minutes, mail in recipients, each clock with its target."""
    told = march.json(*MARCH)
    assert (told["month"], told["begins_at"], told["ends_at"]) == (
        "2025-03",
        "2025-03-01T00:00:00Z",
        "2025-04-01T00:00:00Z",
    )
    acme, bolt = told["customers"]
    assert (bolt["customer"], bolt["outages"], bolt["tickets"], bolt["breaches"]) == ("Bolt Ltd", [], [], 0)
    figures = {key: value for key, value in acme.items() if key not in ("outages", "tickets")}
    assert figures == {
        "customer": "Acme Ltd",
        "appliances": ["acme"],
        "domains": ["acme.example"],
        "minutes_without_primary": 180.0,
        "minutes_covered": 60.0,
        "minutes_planned": 0,
        "messages_kept": 12,
        "messages_returned": 10,
        "messages_waiting": 2,
        "acknowledged": {"met": 1, "missed": 0},
        "responded": {"met": 0, "missed": 1},
        "breaches": 1,
    }
    (outage,) = acme["outages"]
    assert (outage["began_at"], outage["ended_at"]) == ("2025-03-14T02:00:00Z", "2025-03-14T05:00:00Z")
    assert outage["cause"] == "It could be reached, but its mail service was not running."
    assert outage["covered"] == [{"begins_at": "2025-03-14T04:00:00Z", "ends_at": "2025-03-14T05:00:00Z"}]
    (ticket,) = acme["tickets"]
    assert ticket["cycles"][0]["respond"] == {
        "target_minutes": 60.0,
        "result": "late",
        "took_minutes": 80.0,
        "late_minutes": 20.0,
    }


def test_a_person_reads_a_table(march: Relayctl) -> None:
    """All customers with something to tell, or one with all its lines."""
    lines = march.does(*MARCH).splitlines()
    assert lines[0] == "March 2025, times in UTC"
    assert lines[3].split() == ["Acme", "Ltd", "1", "3h", "1h", "12", "10", "1", "1", "1"]
    assert lines[4] == "1 more customer had no outage and no ticket"
    one = march.does(*MARCH, "acme.example")
    assert "without primary  3h in 1 outage" in one
    assert "targets          1 of 2 met" in one
    assert "2025-03-14 02:00  2025-03-14 05:00       3h       1h    12        10  It could be reached" in one
    assert "met 30m of 1h  late 20m" in one
    assert "no outage and no ticket" in march.does(*MARCH, "--customer", "Bolt Ltd")
    assert "no outage and no ticket" in march.does("sla", "report", "--month", "2025-02")


def test_months_are_counted_in_the_desks_time(march: Relayctl) -> None:
    """An outage at the edge of a month is another month's where it is another day."""
    with march.config.open("a") as config:
        config.write('[support]\ntimezone = "Pacific/Kiritimati"\n')  # 14 hours ahead
    assert march.json(*MARCH)["begins_at"] == "2025-02-28T10:00:00Z"
    assert "times in Pacific/Kiritimati" in march.does(*MARCH)
    assert "2025-03-14 16:00" in march.does(*MARCH, "acme")


def test_a_spreadsheet_gets_a_line_for_each_thing(march: Relayctl) -> None:
    """A month, an outage, a ticket's cycle; and no formula of anybody's."""
    march.does("appliance", "set", "bolt", "--customer", "=1+1")
    rows = list(csv.DictReader(io.StringIO(march.does(*MARCH, "--csv"))))
    assert [(row["customer"], row["record"]) for row in rows] == [
        ("'=1+1", "month"),
        ("Acme Ltd", "month"),
        ("Acme Ltd", "outage"),
        ("Acme Ltd", "ticket"),
    ]
    assert (rows[2]["minutes_without_primary"], rows[2]["messages_kept"]) == ("180.0", "12")
    assert (rows[3]["acknowledge"], rows[3]["respond"], rows[3]["respond_late_minutes"]) == ("met", "late", "20.0")


def test_a_page_is_written_for_one_customer(march: Relayctl, tmp_path: Path) -> None:
    """Whole or not at all; several customers are no page."""
    page = tmp_path / "acme.html"
    assert march.refuses(*MARCH, "--html", page) == (
        "a page is for one customer, and there are 2: say --customer NAME or an appliance"
    )
    assert not page.exists()
    said = march.does(*MARCH, "--customer", "Acme Ltd", "--html", page)
    assert said == f"report of Acme Ltd for 2025-03 written to {page}\n"
    assert page.read_text(encoding="utf-8").startswith("<!doctype html>")
    assert [path.name for path in tmp_path.iterdir() if "html" in path.name] == ["acme.html"]
    assert "No such file or directory" in march.refuses(*MARCH, "acme", "--html", tmp_path / "nowhere" / "x.html")


def test_what_is_no_report_is_one_line(march: Relayctl) -> None:
    """A month that isn't one or is yet to come, and customers that nobody has heard of."""
    assert march.refuses("sla", "report", "--month", "march") == "--month: 'march' should be a month such as 2026-11"
    assert march.refuses("sla", "report", "--month", "2199-01") == "January 2199 is yet to come"
    assert march.refuses(*MARCH, "--customer", "Nobody").startswith("no customer is named 'Nobody'")
    assert march.refuses(*MARCH, "bolt", "--customer", "Acme Ltd") == "bolt is no appliance of 'Acme Ltd'"
    assert "say one of --json, --csv and --html" in march.misused(*MARCH, "--csv", "--html", "x.html")


def test_a_relay_without_customers_has_nothing_to_report(relayctl: Relayctl) -> None:
    """And says how to begin."""
    assert "no appliances yet; 'relayctl appliance add' adds one" in relayctl.does("sla", "report")


async def test_other_hours_of_the_desk_change_nothing_about_the_past(march: Relayctl) -> None:
    """A report says the same as before, whether or not a node goes by them already; what happens then goes by them."""
    friday, monday = at("14 17:00"), at("17 09:30")
    with closing(march.database()) as db:
        with db.write() as connection:
            acme = store.get_appliance(connection, "acme")
            wanted = Wanted(
                acme.id, "acme", "Acme Ltd", Condition.MX, ("acme.example",), Priority.P3, friday, "the MX is gone"
            )
            ticket = desk.reconcile(connection, wanted, friday)
            assert ticket is not None
            operators.acknowledge(connection, ticket.id, "dana", monday)
            operators.respond(connection, ticket.id, "dana", "we are on it", monday)

        async def look(now: float) -> None:
            """As a node does, with what relay.toml says then."""
            clock = Clock(wall=lambda: now)
            await Warnings(db, clock, Terms.of(load(march.config).support)).look()

        await look(at("20 00:00"))
        before = march.json(*MARCH)
        taken = [cycle["acknowledge"] for cycle in before["customers"][0]["tickets"][1]["cycles"]]
        assert [(clock["result"], clock["took_minutes"]) for clock in taken] == [("late", 90.0)]
        with march.config.open("a") as config:
            config.write('[support]\nhours = "always"\n')
        assert march.json(*MARCH) == before
        await look(at("21 00:00"))
        assert march.json(*MARCH) == before
        shown = march.json("ticket", "show", ticket.id)
        assert shown["respond_due"] == "2025-03-17T16:00:00Z", "eight hours of the desk's, all of them before"
        with db.write() as connection:
            late = Wanted(acme.id, "acme", "Acme Ltd", Condition.BACKUP, (), Priority.P3, at("22 12:00"), "old")
            saturday = desk.reconcile(connection, late, at("22 12:00"))
            assert saturday is not None
        assert march.json("ticket", "show", saturday.id)["respond_due"] == "2025-03-22T20:00:00Z"
