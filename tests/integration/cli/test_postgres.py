"""relayctl on a database of a PostgreSQL server: making it, bringing it up to date, and what keeps us out of it."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from relay.cluster import lease
from relay.db import Database, revisions
from tests.integration.cli.console import SETTINGS, Relayctl
from tests.support.postgres import PostgresCluster, server
from tests.support.processes import free_port


def relayctl_on(folder: Path, url: str) -> Relayctl:
    (folder / "relay.toml").write_text(SETTINGS.replace("sqlite:///relay.db", url))
    return Relayctl(folder)


def test_init_makes_the_tables_and_a_second_one_changes_nothing(postgres: PostgresCluster, tmp_path: Path) -> None:
    """The database is ready for a node, by init or by upgrade; twice is no harm."""
    url = postgres.empty()
    relayctl = relayctl_on(tmp_path, url)
    assert relayctl.refuses("status").endswith("has no tables yet; 'relayctl init' makes them")
    said = relayctl.does("init", "--example")
    assert f"; PostgreSQL database {url.rpartition('/')[2]} at 127.0.0.1:{postgres.port} is at" in said
    assert relayctl.json("db", "upgrade") == {"before": revisions()[-1], "after": revisions()[-1]}
    relayctl.does("domain", "set", "gold.example", "--quota", "100GB")
    assert [row["quota_bytes"] for row in relayctl.json("domain", "list")] == [100_000_000_000]
    with Database(url).read():
        pass


def test_a_node_that_was_stopped_is_removed(postgres_url: str, tmp_path: Path) -> None:
    """As on a file; one that never was is named."""
    relayctl, db = relayctl_on(tmp_path, postgres_url), Database(postgres_url)
    about = {"hostname": "h", "version": "1", "listeners": [], "drift": 0.0, "isolated": ""}
    with db.write() as connection:
        lease.register(connection, "mx2a", "i", 1.0, **about)
        lease.release(connection, "mx2a", "i", 2.0)
    db.close()
    assert relayctl.refuses("node", "remove", "mx2b") == "no node is named mx2b; there are mx2a"
    relayctl.does("node", "remove", "mx2a")
    assert relayctl.json("node", "list") == []


def test_a_node_that_counts_with_a_wrong_time_is_named(postgres_url: str, tmp_path: Path) -> None:
    """It lives, by the clock of the server, and status, doctor and the list say what is wrong with it."""
    relayctl, db = relayctl_on(tmp_path, postgres_url), Database(postgres_url)
    about = {"hostname": "h", "version": "1", "listeners": [], "drift": 0.0, "isolated": "", "skew": -10_830.0}
    with db.write() as connection:
        lease.register(connection, "mx2a", "i", time.time() - 10_830.0, **about)
    db.close()
    wrong = "its time is 3h behind the database server's"
    assert f"node mx2a: {wrong}; see which clock is wrong" in relayctl.does("status")
    (row,) = relayctl.json("node", "list")
    assert (row["state"], row["clock_skew_seconds"]) == ("live", -10_830.0)
    assert wrong in relayctl.does("node", "list")
    assert f'"check": "node clock", "result": "warning", "evidence": "{wrong}"' in relayctl("doctor", "--json").out


@pytest.mark.parametrize("command", [["init"], ["db", "upgrade"], ["status"], ["serve"]])
def test_who_is_not_let_in_is_told_in_one_line(postgres: PostgresCluster, tmp_path: Path, command: list[str]) -> None:
    """No server, no database, a wrong password: what to do, and never the password."""
    for url, words in (
        (f"postgresql+psycopg://relay:secret@127.0.0.1:{free_port()}/relay", "can't be reached: "),
        (postgres.url("nowhere"), "--owner=relay nowhere"),
        (postgres.url("postgres", "locked:secret"), "see user and password in [node] database"),
    ):
        line = relayctl_on(tmp_path, url).refuses(*command)
        assert words in line
        assert "secret" not in line


def test_status_says_that_the_database_is_away(tmp_path: Path) -> None:
    """One line, exit 1, and everything as before when it is back."""
    with server() as postgres:
        relayctl = relayctl_on(tmp_path, postgres.fresh())
        relayctl.does("status")
        postgres.stop("immediate")
        assert "can't be reached: " in relayctl.refuses("status")
        postgres.start()
        relayctl.does("status")
