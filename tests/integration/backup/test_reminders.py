"""A backup that isn't made is missed: by doctor, status and the metrics."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from relay import events
from relay.backup.record import KEPT, Made, last_sound, remember
from relay.clock import Clock
from tests.integration.cli.console import Relayctl
from tests.support.node import running
from tests.support.waiting import eventually

DAY = 86400.0


def note(relayctl: Relayctl, *, age: float, sound: bool = True) -> None:
    db = relayctl.database()
    with db.write() as connection:
        remember(connection, Made(Clock().now() - age, 2.0, "/srv/saved.tar", 12_000_000, sound))
    db.close()


def doctor(relayctl: Relayctl) -> dict[str, str]:
    checks = json.loads(relayctl("doctor", "--json").out)
    (found,) = (check for check in checks if check["check"] == "backup")
    return dict(found)


def test_doctor_misses_a_backup(relayctl: Relayctl) -> None:
    """None, one that is too old, or one with faults; and it says what to do."""
    assert doctor(relayctl)["evidence"] == "no backup of this database is known"
    assert "relay-backup.timer" in doctor(relayctl)["remedy"]
    note(relayctl, age=3 * DAY)
    assert doctor(relayctl)["result"] == "warning"
    note(relayctl, age=60.0, sound=False)
    assert doctor(relayctl)["result"] == "warning"
    note(relayctl, age=60.0)
    found = doctor(relayctl)
    assert (found["result"], found["remedy"]) == ("ok", "")
    assert found["evidence"] == "the last backup of this database is 1m old: /srv/saved.tar, 12 MB"


def test_the_limit_is_a_setting(relayctl: Relayctl) -> None:
    """Where somebody else saves it nobody is reminded."""
    note(relayctl, age=3 * DAY)
    before = relayctl.config.read_text()
    for value, result in (("4d", "ok"), ("12h", "warning"), ("never", "ok")):
        relayctl.config.write_text(f'{before}[backup]\nmax_age = "{value}"\n')
        assert doctor(relayctl)["result"] == result
    relayctl.config.write_text(f'{before}[backup]\nmax_age = "soon"\n')
    assert "[backup] max_age: " in relayctl.refuses("doctor")


def test_status_tells_the_age(relayctl: Relayctl) -> None:
    """In its first line, and as facts."""
    assert "no backup known" in relayctl.does("status").splitlines()[0]
    assert relayctl.json("status")["backup"] is None
    note(relayctl, age=3 * 3600.0)
    assert "last backup 3h ago" in relayctl.does("status").splitlines()[0]
    backup = relayctl.json("status")["backup"]
    assert (backup["place"], backup["age_seconds"] // 60) == ("/srv/saved.tar", 180)


def test_status_says_that_it_was_restored(relayctl: Relayctl) -> None:
    """What it doesn't know is no fault of anybody's, for a week."""
    target = relayctl.folder / "saved.tar"
    relayctl.does("db", "backup", target)
    assert "restored" not in relayctl.does("status")
    relayctl.does("db", "restore", target)
    assert "this database was restored 0s ago, by " in relayctl.does("status")


async def test_the_metric_is_the_moment_of_the_last_backup(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also of one that was made while the node runs."""
    monkeypatch.setattr("relay.backup.age.LOOK", 0.05)

    def told() -> float | None:
        return events.registry.get_sample_value("relay_last_backup_timestamp_seconds")

    async with running(tmp_path):
        await eventually(lambda: told() == 0.0)
        relayctl = Relayctl(tmp_path)
        await asyncio.to_thread(relayctl.does, "db", "backup", str(tmp_path / "saved.tar"))
        await eventually(lambda: abs((told() or 0.0) - Clock().now()) < 60)


def test_backups_long_ago_are_forgotten(relayctl: Relayctl) -> None:
    """The record doesn't grow for ever."""
    db = relayctl.database()
    with db.write() as connection:
        for number in range(KEPT + 5):
            remember(connection, Made(float(number), 1.0, "there", 1, True))
        assert connection.exec_driver_sql("SELECT count(*) FROM database_backups").scalar() == KEPT
        newest = last_sound(connection)
    db.close()
    assert newest is not None and newest.made_at == KEPT + 4
