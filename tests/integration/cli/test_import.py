"""Many domains, imported in portions: checked whole, interrupted, begun again."""

from __future__ import annotations

import re
import signal
import subprocess
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import func, select

from relay.appliances import bulk
from relay.appliances.tables import domains
from relay.db import Database
from tests.integration.cli.console import Relayctl
from tests.support.waiting import wait_until

pytestmark = pytest.mark.usefixtures("engine")

HEAD = "domain,appliance,quota_messages\n"
MANY = 8 * bulk.ROWS


@pytest.fixture
def customers(tmp_path: Path) -> Relayctl:
    """With two appliances."""
    relayctl = Relayctl(tmp_path)
    relayctl.does("init")
    for name in ("acme", "bolt"):
        relayctl.does("appliance", "add", name, "--customer", name, "--primary", "192.0.2.25")
    return relayctl


@pytest.fixture
def small_portions(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two lines are a portion."""
    monkeypatch.setattr(bulk, "ROWS", 2)


@pytest.mark.usefixtures("small_portions")
def test_portions_together_are_the_file(customers: Relayctl) -> None:
    """What is there is changed, or moved; of two lines for one domain the later one stands, wherever they are."""
    customers.does("domain", "add", "b.example", "--appliance", "acme", "--lifetime", "3d")
    lines = ["a.example,acme,1", "b.example,bolt,2", "c.example,acme,3", "D.Example.,acme,4", "a.example,bolt,5"]
    file = HEAD + "\n".join(lines) + "\n"
    words = "3 domains {}added, 2 {}changed\n"
    assert customers.does("domain", "import", "-", "--dry-run", stdin=file) == words.format("would be ", "would be ")
    assert [one["domain"] for one in customers.json("domain", "list")] == ["b.example"]
    assert customers.does("domain", "import", "-", stdin=file) == words.format("", "")
    found = {one["domain"]: (one["appliance"], one["quota_messages"]) for one in customers.json("domain", "list")}
    assert found == {
        "a.example": ("bolt", 5),
        "b.example": ("bolt", 2),
        "c.example": ("acme", 3),
        "d.example": ("acme", 4),
    }
    assert customers.json("domain", "show", "b.example")["lifetime_seconds"] == 3 * 86400
    assert customers.does("domain", "import", "-", stdin=file) == "0 domains added, 5 changed\n"


@pytest.mark.usefixtures("small_portions")
def test_a_line_that_is_wrong_at_the_end_changes_nothing(customers: Relayctl) -> None:
    """The file is checked whole before the first portion is written."""
    file = HEAD + "a.example,acme,1\nb.example,acme,1\nc.example,acme,1\nd.example,nobody,1\n"
    said = customers.refuses("domain", "import", "-", stdin=file)
    assert said.startswith("line 5: no appliance is named nobody; ")
    assert said.endswith("; nothing was imported")
    assert customers.json("domain", "list") == []


@pytest.mark.usefixtures("small_portions")
def test_a_rule_that_could_reach_nobody_is_found_before_anything_is_written(customers: Relayctl) -> None:
    """By the domains as they are going to be."""
    with customers.config.open("a") as config:
        config.write('[notify]\nurls = ["mailto://relay:secret@smtp.desk.example?to=desk@d.example"]\n')
    file = HEAD + "a.example,acme,1\nb.example,acme,1\nd.example,acme,1\n"
    assert "desk@d.example gets no mail while d.example is down" in customers.refuses(
        "domain", "import", "-", stdin=file
    )
    assert customers.json("domain", "list") == []


@pytest.mark.usefixtures("small_portions")
def test_what_somebody_changes_meanwhile_ends_it_and_the_next_one_goes_on(customers: Relayctl) -> None:
    """It says how far it came."""
    with closing(customers.database()) as db, db.write() as connection:
        renaming = "UPDATE appliances SET name = 'gone' WHERE name = 'bolt'"
        if db.dialect == "sqlite":
            connection.exec_driver_sql(
                f"CREATE TRIGGER meanwhile AFTER INSERT ON domains WHEN NEW.name = 'b.example' BEGIN {renaming}; END"
            )
        else:
            connection.exec_driver_sql(
                "CREATE FUNCTION meanwhile() RETURNS trigger LANGUAGE plpgsql AS "
                f"$$ BEGIN {renaming}; RETURN NULL; END $$"
            )
            connection.exec_driver_sql(
                "CREATE TRIGGER meanwhile AFTER INSERT ON domains FOR EACH ROW WHEN (NEW.name = 'b.example') "
                "EXECUTE FUNCTION meanwhile()"
            )
    file = HEAD + "a.example,acme,1\nb.example,acme,1\nc.example,acme,1\nd.example,bolt,1\n"
    said = customers.refuses("domain", "import", "-", stdin=file)
    assert said.startswith("line 5: no appliance is named bolt; ")
    assert said.endswith("; at least 2 of 4 lines are imported; importing the same file again does the rest")
    assert [one["domain"] for one in customers.json("domain", "list")] == ["a.example", "b.example"]
    customers.run_sql("UPDATE appliances SET name = 'bolt' WHERE name = 'gone'")
    assert customers.does("domain", "import", "-", stdin=file) == "2 domains added, 2 changed\n"


def _there(db: Database) -> int:
    with db.read() as connection:
        return connection.execute(select(func.count()).select_from(domains)).scalar_one()


@pytest.fixture
def many(tmp_path: Path) -> Path:
    """A file of more domains than one portion has."""
    file = tmp_path / "domains.csv"
    file.write_text(HEAD + "".join(f"domain-{number}.example,acme,7\n" for number in range(MANY)))
    return file


def _signalled(customers: Relayctl, db: Database, file: Path, number: signal.Signals) -> tuple[int, str]:
    """How an import ends, and what it says, that gets a signal once a portion is there."""
    argv = customers.argv("domain", "import", str(file))
    with subprocess.Popen(argv, stderr=subprocess.PIPE, text=True) as process:
        wait_until(lambda: _there(db) > 0, every=0.001)
        process.send_signal(number)
        _, said = process.communicate()
    return process.returncode, said


def test_an_import_that_was_killed_is_done_by_the_next_one(customers: Relayctl, many: Path) -> None:
    """Whole portions are there, each seen at once by everybody; to import again is harmless."""
    with closing(customers.database()) as db:
        _signalled(customers, db, many, signal.SIGKILL)
        written = _there(db)
        assert 0 < written < MANY
        assert written % bulk.ROWS == 0
        facts = customers.json("domain", "import", str(many))
        assert (facts["added"], facts["changed"]) == (MANY - written, written)
        assert _there(db) == MANY


def test_an_import_that_is_interrupted_says_how_far_it_came(customers: Relayctl, many: Path) -> None:
    """In one line, at whatever moment that is."""
    with closing(customers.database()) as db:
        code, said = _signalled(customers, db, many, signal.SIGINT)
    assert code == 1
    assert re.fullmatch(
        r"relayctl: stopped; at least \d+ of \d+ lines are imported; importing .* does the rest\n", said
    )
