"""--json on every command that has facts, before it and after it; and making and upgrading what it all rests on."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path

import pytest
from alembic import command as alembic
from alembic.config import Config

from relay.db import MIGRATIONS, revisions
from tests.integration.cli.conftest import Mail
from tests.integration.cli.console import Relayctl

TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")

READING = (
    ["status"],
    ["status", "acme"],
    ["appliance", "show", "acme"],
    ["appliance", "list"],
    ["domain", "show", "acme.example"],
    ["domain", "list"],
    ["recipient", "list", "acme.example"],
    ["queue", "list"],
    ["queue", "show", "1"],
    ["ledger"],
    ["ledger", "acme.example"],
    ["trace", "--recipient", "user@acme.example"],
    ["failover", "history"],
    ["ticket", "list"],
    ["ticket", "show", "1"],
    ["maintenance", "list"],
    ["node", "list"],
    ["db", "check"],
    ["db", "upgrade"],
)

CHANGING = (
    ["appliance", "add", "new", "--primary", "mx"],
    ["appliance", "set", "acme", "--customer", "Acme Ltd"],
    ["domain", "add", "new.example", "--appliance", "acme"],
    ["domain", "set", "acme.example", "--quota", "1GB"],
    ["recipient", "add", "acme.example", "info"],
    ["recipient", "remove", "acme.example", "info"],
    ["queue", "hold", "--dry-run"],
    ["queue", "release", "--dry-run"],
    ["queue", "retry"],
    ["queue", "drop", "--id", "1", "--yes"],
    ["failover", "activate", "acme"],
    ["failover", "deactivate", "acme"],
    ["ticket", "open", "bolt", "-m", "no mail"],
    ["ticket", "ack", "1"],
    ["ticket", "respond", "1", "-m", "text"],
    ["ticket", "wait", "1"],
    ["ticket", "resume", "1"],
    ["ticket", "comment", "1", "-m", "text"],
    ["ticket", "priority", "1", "2"],
    ["ticket", "resolve", "1"],
    ["maintenance", "add", "acme", "--for", "1h"],
    ["maintenance", "remove", "1"],
    ["init"],
)


@pytest.fixture(autouse=True)
def something_to_tell(relayctl: Relayctl, mail: Mail) -> None:
    relayctl.does("ticket", "open", "acme", "-m", "no mail")
    relayctl.does("maintenance", "add", "acme", "--for", "1h")


def _times(value: object) -> list[str]:
    """Whatever stands in a key that ends in _at or _due, or is called at."""
    if isinstance(value, list):
        return [time for one in value for time in _times(one)]
    if isinstance(value, dict):
        own = [one for key, one in value.items() if isinstance(one, str) and re.search(r"(^|_)(at|due)$", key)]
        return own + [time for one in value.values() for time in _times(one)]
    return []


@pytest.mark.parametrize("command", READING, ids=" ".join)
def test_json_is_asked_for_before_or_after_the_command(relayctl: Relayctl, command: list[str]) -> None:
    """It means the same, nothing else is printed, and times are ISO 8601 in UTC."""
    before, after = relayctl("--json", *command), relayctl(*command, "--json")
    assert (before.status, after.status) == (0, 0), (before, after)
    assert (before.err, after.err) == ("", "")
    first, second = (re.sub(r'"\w+_seconds": \d+|"disk_free_bytes": \d+', "", one.out) for one in (before, after))
    assert first == second
    facts = json.loads(after.out)
    assert all(TIME.fullmatch(time) for time in _times(facts)), facts


@pytest.mark.parametrize("command", CHANGING, ids=" ".join)
def test_what_a_command_changed_is_told_as_facts(relayctl: Relayctl, command: list[str]) -> None:
    """One object, nothing else."""
    answer = relayctl(*command, "--json")
    assert (answer.status, answer.err) == (0, ""), answer
    facts = json.loads(answer.out)
    assert isinstance(facts, dict) and facts
    assert all(TIME.fullmatch(time) for time in _times(facts)), facts


@pytest.mark.sqlite_only("the database of a config that init writes")
def test_init_makes_a_config_and_a_database(tmp_path: Path) -> None:
    """The config reads as it was written, the example is there, and doing it again changes nothing."""
    relayctl = Relayctl(tmp_path)
    relayctl.config = tmp_path / "new" / "relay.toml"
    facts = relayctl.json("init", "--example")
    database = tmp_path / "new" / "var" / "relay.db"
    assert facts == {
        "config": str(relayctl.config),
        "written": True,
        "database": str(database),
        "revision": revisions()[-1],
    }
    assert tomllib.loads(relayctl.config.read_text())["smtp"]["listen"] == ["127.0.0.1:2525"]
    assert [one["domain"] for one in relayctl.json("domain", "list")] == ["gold.example"]
    relayctl.config.write_text(relayctl.config.read_text() + "\n# mine\n")
    again = relayctl.does("init", "--example")
    assert again.startswith(f"{relayctl.config} kept as it is; database {database} is at {revisions()[-1]}; ")
    assert relayctl.config.read_text().endswith("# mine\n")
    assert len(relayctl.json("domain", "list")) == 1


def test_an_older_database_is_brought_up_to_date(tmp_path: Path) -> None:
    """And says from where to where; a second time there is nothing to do."""
    folder = tmp_path / "older"
    folder.mkdir()
    relayctl = Relayctl(folder)
    _made_by_an_older_program(relayctl, "0001_appliances")
    assert "run 'relayctl db upgrade'" in relayctl.refuses("status")
    head = revisions()[-1]
    assert relayctl.does("db", "upgrade") == f"{relayctl.place} is at {head}, was at 0001_appliances\n"
    assert relayctl.json("db", "upgrade") == {"before": head, "after": head}
    assert relayctl.json("db", "check") == {"ok": True, "faults": []}


TWO_MESSAGES = """
INSERT INTO content VALUES (1 * 65536, false, ''), (2 * 65536, false, '');
INSERT INTO messages VALUES
    (1, 1, 1, false, 'a@b.example', 1, 0, '', '7BIT', false, NULL, NULL, '192.0.2.1', 1, 'c', 'ESMTP'),
    (2, 1, 2, false, 'a@b.example', 1, 0, '', '7BIT', false, NULL, NULL, '192.0.2.1', 1, 'c', 'ESMTP');
INSERT INTO recipients VALUES
    (1 * 65536, 1, 1, 'acme.example', 'x@acme.example', NULL, NULL, 'queued', NULL, 0, NULL, NULL, '', 0),
    (1 * 65536 + 1, 1, 1, 'acme.example', 'y@acme.example', NULL, NULL, 'queued', NULL, 0, NULL, NULL, '', 0),
    (2 * 65536, 2, 1, 'acme.example', 'x@acme.example', NULL, NULL, 'queued', NULL, 0, NULL, NULL, '', 0),
    (2 * 65536 + 1, 2, 1, 'acme.test', 'x@acme.test', NULL, NULL, 'queued', NULL, 0, NULL, NULL, '', 0);
INSERT INTO depths VALUES
    (1, 'acme.example', 'one', 4, 0, 3), (1, 'acme.example', 'two', -1, 0, -1), (1, 'acme.test', 'two', 1, 0, 1);
INSERT INTO ledger VALUES
    ('acme.example', 'one', 0, 3, 0, 0, 0, 0, 3, 0), ('acme.test', 'two', 0, 1, 0, 0, 0, 0, 1, 0);
"""


def test_what_waits_in_an_older_database_is_counted(tmp_path: Path) -> None:
    """A database from before messages were counted has its sums after the upgrade, and passes its check."""
    folder = tmp_path / "older"
    folder.mkdir()
    relayctl = Relayctl(folder)
    _made_by_an_older_program(relayctl, "0007_delivery")
    for statement in TWO_MESSAGES.strip().split(";\n"):
        relayctl.run_sql(statement)
    relayctl.does("db", "upgrade")
    assert relayctl.json("db", "check") == {"ok": True, "faults": []}


def _made_by_an_older_program(relayctl: Relayctl, revision: str) -> None:
    """A database as the program was when ``revision`` was its last."""
    database = relayctl.database(check=False)
    database.make()
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    with database.write() as connection:
        config.attributes["connection"] = connection
        alembic.upgrade(config, revision)
    database.close()


def test_a_ledger_that_disagrees_with_the_mail_is_found(relayctl: Relayctl, mail: Mail) -> None:
    """Each fault is a line, and the exit status tells."""
    relayctl.run_sql("DELETE FROM recipients WHERE message_id = :bolt", bolt=mail.bolt)
    answer = relayctl("db", "check", "--json")
    facts = json.loads(answer.out)
    assert answer.status == 1
    assert not facts["ok"] and any("ledger of bolt.example" in fault for fault in facts["faults"])
    assert answer.err == f"relayctl: {len(facts['faults'])} faults found in {relayctl.place}\n"
    *told, remedy = relayctl("db", "check").out.splitlines()
    assert told == facts["faults"]
    assert "deploy/runbook.md" in remedy
