"""What an operator sees of a drain, of what it handed back, and of the time that mail has left."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime
from typing import Any

import pytest
from sqlalchemy import Connection, insert, update

from relay.appliances import facts, progress, store
from relay.appliances.facts import Health, HealthFact
from relay.appliances.progress import Handback, Phase, Progress
from relay.clock import Clock
from relay.cluster.tables import nodes
from relay.db import Database
from tests.integration.cli.conftest import HOUR, Mail
from tests.integration.cli.console import Relayctl

DAY = 24 * HOUR


@pytest.fixture
def database(relayctl: Relayctl, mail: Mail) -> Iterator[Database]:
    """With a node that runs, and a primary that is down."""
    database, now = relayctl.database(), Clock().now()
    with database.write() as connection:
        connection.execute(
            insert(nodes).values(
                name="n1",
                instance="1",
                hostname="mx2.relay.example",
                version="0.1.0",
                listeners=[],
                counter=1,
                started_at=now - DAY,
                heartbeat_at=now,
                drift=0.0,
                isolated="",
            )
        )
        _health(connection, Health.DOWN)
    yield database
    database.close()


def _acme(connection: Connection) -> int:
    return store.get_appliance(connection, "acme").id


def _health(connection: Connection, state: Health) -> None:
    facts.set_health(connection, _acme(connection), HealthFact(state, "as the test says", Clock().now() - 60))


def _drain(database: Database, **values: Any) -> None:
    """What the owner last wrote; acme has six queued, one of them deferred, and one held."""
    now = Clock().now()
    with database.write() as connection:
        _health(connection, Health.UP)
        row = Progress(_acme(connection), "n1", now - 300, now, Phase.RUNNING, 600, 7, 0.01, now - 1)
        progress.write(connection, row.node, [replace(row, **values)], [])


def _row(relayctl: Relayctl, domain: str = "acme.example") -> dict[str, Any]:
    rows: list[dict[str, Any]] = relayctl.json("status")["domains"]
    return next(row for row in rows if row["domain"] == domain)


def test_a_drain_that_runs_is_told_with_its_end(relayctl: Relayctl, database: Database) -> None:
    """What the primary has put off doesn't count for the estimate; each domain of the appliance has the keys."""
    _drain(database)
    drain = _row(relayctl)["drain"]
    assert drain == _row(relayctl, "acme.test")["drain"]
    assert _row(relayctl, "bolt.example")["drain"] is None
    assert (drain["phase"], drain["left"], drain["deferred"], drain["left_seconds"]) == ("running", 6, 1, 600)
    assert drain["recipients_per_second"] == 0.01
    told = "1 a minute, 6 left, about 10 min left; 1 put off by the primary, tried again later"
    assert relayctl.does("status").count(told) == 1
    assert told in relayctl.does("status", "acme")


def test_one_that_stands_still_is_not_given_an_end(relayctl: Relayctl, database: Database) -> None:
    """But a reason; and mail that doesn't get away has a deadline."""
    now = Clock().now()
    _drain(database, moved_at=now - 240, rate=0.0, why="192.0.2.25:25: connection refused")
    assert "the drain stands still for 4 min: 192.0.2.25:25: connection refused; 6 left" in relayctl.does("status")
    drain = _row(relayctl)["drain"]
    assert (drain["phase"], drain["left_seconds"], drain["why"]) == (
        "stalled",
        None,
        "192.0.2.25:25: connection refused",
    )
    _drain(database, phase=Phase.STOPPED, why="all 3 recipients are refused")
    assert "the drain is stopped: all 3 recipients are refused" in relayctl.does("status", "acme")
    assert _row(relayctl)["drain"]["phase"] == "stopped"


@pytest.mark.parametrize("fate", ["stopped", "silent", "restarted", "renewed no more", "the primary is gone"])
def test_what_a_dead_node_left_is_not_shown(relayctl: Relayctl, database: Database, fate: str) -> None:
    """Its drain ended with it, whatever its row says."""
    _drain(database)
    assert _row(relayctl)["drain"] is not None
    now = Clock().now()
    died: dict[str, dict[str, float]] = {
        "stopped": {"stopped_at": now},
        "silent": {"heartbeat_at": now - 30},
        "restarted": {"started_at": now - 10},
    }
    if fate == "the primary is gone":
        with database.write() as connection:
            _health(connection, Health.DOWN)
    elif fate in died:
        with database.write() as connection:
            connection.execute(update(nodes).values(died[fate]))
    else:
        _drain(database, at=now - 30)
    assert _row(relayctl)["drain"] is None


def test_the_deadline_follows_the_lifetime_and_the_return(relayctl: Relayctl, database: Database) -> None:
    """As lifetimes are now, and never within a day after a return."""
    received = datetime.fromisoformat(relayctl.json("queue", "list", "--domain", "acme.test")[0]["received_at"])
    expires = datetime.fromisoformat(_row(relayctl, "acme.test")["first_expiry_at"])
    assert (expires - received).total_seconds() == 14 * DAY
    shown = [line for line in relayctl.does("status").splitlines() if line.startswith("acme.test")]
    assert shown[0].endswith("first message expires in 11d 21h")
    relayctl.does("domain", "set", "acme.test", "--lifetime", "1d")
    assert "the first message expires now" in relayctl.does("status")
    now = Clock().now()
    with database.write() as connection:
        outage = facts.begin_outage(connection, _acme(connection), now - 3 * DAY, "gone")
        facts.mark_outage(connection, outage, returned_at=now - HOUR)
    assert "first message expires in 22h 59m" in relayctl.does("status")
    assert "(acme.test, lifetime 1d; nothing within 24h after a return)" in relayctl.does("status", "acme")
    assert _row(relayctl, "bolt.example")["first_expiry_at"] is not None


def test_an_outage_that_is_only_watched_any_more_says_so(relayctl: Relayctl, database: Database) -> None:
    """Everything has been tried, and yet it is draining and its ticket open: nobody has to do anything."""
    words = "what waited has been tried; the outage ends, and its ticket, when it has stayed up for a while"
    now = Clock().now()
    with database.write() as connection:
        number = facts.begin_outage(connection, _acme(connection), now - HOUR, "the disk failed")
        facts.mark_outage(connection, number, returned_at=now - 300, drained_at=now - 100)
    assert words not in relayctl.does("status", "acme")  # down again
    with database.write() as connection:
        _health(connection, Health.UP)
    assert words in relayctl.does("status", "acme")
    with database.write() as connection:
        facts.mark_outage(connection, number, ended_at=now)
    assert words not in relayctl.does("status", "acme")


def test_the_history_tells_what_was_handed_back(relayctl: Relayctl, database: Database) -> None:
    """How many, how fast, how long it took; and what goes on now."""
    now = Clock().now()
    with database.write() as connection:
        over = facts.begin_outage(connection, _acme(connection), now - 9 * DAY, "the power failed")
        facts.mark_outage(
            connection, over, returned_at=now - 8 * DAY, drained_at=now - 8 * DAY + 40, ended_at=now - 7 * DAY
        )
        progress.add_handbacks(connection, now - 9 * DAY, {over: Handback(18_000, 20_000, 34.0, 1203.0)})
        open_one = facts.begin_outage(connection, _acme(connection), now - HOUR, "the disk failed")
        facts.mark_outage(connection, open_one, returned_at=now - 300)
    _drain(database)
    going_on, ended = relayctl.json("failover", "history", "acme")["outages"]
    assert (ended["messages"], ended["recipients"], ended["drain_seconds"]) == (18_000, 20_000, 34.0)
    assert (ended["mean_recipients_per_second"], ended["peak_recipients_per_second"]) == (588.24, 1203.0)
    assert (ended["return_to_drained_seconds"], ended["drain"]) == (40.0, None)
    assert going_on["drain"]["left"] == 6
    assert (going_on["recipients"], going_on["return_to_drained_seconds"]) == (0, None)
    shown = relayctl.does("failover", "history")
    assert "20 000 recipients (18 000 messages) in 34 s, 588 a second, 1 203 a second at the most" in shown
    assert "1 a minute, 6 left, about 10 min left" in shown
