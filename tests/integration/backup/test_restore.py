"""relayctl db restore: verified first, nobody robbed, and what the restored mail is said plainly."""

from __future__ import annotations

import asyncio
import hashlib
import io
import json
import sqlite3
import tarfile
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from alembic import command as alembic
from alembic.config import Config
from sqlalchemy import create_engine, insert, select

from relay.appliances.tables import drain_progress
from relay.backup.record import last_restore, last_sound
from relay.cluster.tables import nodes, owners
from relay.db import MIGRATIONS, Database, revisions
from relay.queue.tables import numbers
from relay.tickets.tables import outbox, ticket_events
from relay.tickets.telling import cluster_name
from tests.integration.backup.conftest import Mail, left_behind
from tests.integration.cli.console import Relayctl
from tests.support.node import running

pytestmark = pytest.mark.sqlite_only("how a file is saved and restored; test_postgres has a server's")


def backup(relayctl: Relayctl) -> Path:
    target = relayctl.folder / "saved.tar"
    relayctl.does("db", "backup", target)
    return target


def database(relayctl: Relayctl) -> Database:
    return relayctl.database()


def changed(archive: Path, **about: Any) -> Path:
    """The archive with other words in its manifest, and the right sums."""
    with tarfile.open(archive) as tar:
        parts = {member.name: tar.extractfile(member).read() for member in tar}  # type: ignore[union-attr]
    parts["manifest.json"] = json.dumps({**json.loads(parts["manifest.json"]), **about}).encode()
    del parts["SHA256SUMS"]
    sums = "".join(f"{hashlib.sha256(data).hexdigest()}  {name}\n" for name, data in parts.items())
    target = archive.with_name("changed.tar")
    with tarfile.open(target, "w") as tar:
        for name, data in {**parts, "SHA256SUMS": sums.encode()}.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    return target


def test_a_backup_is_restored_on_another_machine(relayctl: Relayctl, elsewhere: Relayctl, mail: Mail) -> None:
    """All of its mail waits there as it did here; nobody else may read it."""
    target = backup(relayctl)
    told = elsewhere.json("db", "restore", target)
    assert (told["replaced"], told["held"], told["upgraded"]) == (None, 0, False)
    for command in (["queue", "list"], ["ledger"], ["domain", "list"]):
        here, there = (one.json(*command) for one in (relayctl, elsewhere))
        assert [{**row, "age": 0} for row in here] == [{**row, "age": 0} for row in there]
    assert elsewhere.json("db", "check")["ok"]
    assert (elsewhere.folder / "relay.db").stat().st_mode & 0o007 == 0
    assert {path.name for path in elsewhere.folder.iterdir()} == {"relay.toml", "relay.db"}


def test_a_restore_says_what_becomes_of_the_mail(relayctl: Relayctl, mail: Mail) -> None:
    """How old it is, and exactly what was accepted and delivered since, where that can be counted."""
    target = backup(relayctl)
    relayctl.does("queue", "drop", "--id", mail.bolt, "--yes")
    with closing(sqlite3.connect(relayctl.folder / "relay.db")) as raw:
        raw.execute("UPDATE ledger SET accepted = accepted + 7, delivered = delivered + 7 WHERE domain = 'acme.test'")
        raw.commit()
    told = relayctl.does("db", "restore", target, "--force", "--yes")
    assert "7 messages, 8 recipients queued, 1 held" in told
    assert "mail for 7 recipients was accepted, which isn't in it, and for 8 recipients left (7 delivered)" in told
    assert "the first node that starts on it delivers what is queued in it" in told
    assert "next: 'relayctl doctor'" in told


def test_what_a_restore_replaces_is_kept_whole(relayctl: Relayctl, mail: Mail) -> None:
    """With what was only in its log of writes yet."""
    target = backup(relayctl)
    with closing(sqlite3.connect(relayctl.folder / "relay.db")) as raw:
        raw.execute("PRAGMA wal_autocheckpoint=0")
        raw.execute("UPDATE appliances SET customer = 'said last'")
        raw.commit()
        aside = Path(relayctl.json("db", "restore", target, "--force", "--yes")["replaced"])
    with closing(sqlite3.connect(aside)) as raw:
        assert raw.execute("SELECT DISTINCT customer FROM appliances").fetchall() == [("said last",)]
        assert raw.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    assert {row["customer"] for row in relayctl.json("appliance", "list")} == {"acme", "bolt"}


def test_a_database_that_is_not_empty_is_not_replaced_by_mistake(relayctl: Relayctl, mail: Mail) -> None:
    """It takes --force, and a yes."""
    target = backup(relayctl)
    assert "isn't empty (7 messages, 8 recipients queued, 1 held)" in relayctl.refuses("db", "restore", target)
    assert "say --yes" in relayctl.refuses("db", "restore", target, "--force")
    assert len(relayctl.json("queue", "list")) == 8


def test_an_empty_database_is_replaced_without_a_question(elsewhere: Relayctl, relayctl: Relayctl, mail: Mail) -> None:
    """As 'relayctl init' makes it on a new machine."""
    elsewhere.does("init")
    told = elsewhere.json("db", "restore", backup(relayctl))
    assert told["replaced"] is None
    assert len(elsewhere.json("queue", "list")) == 8


async def test_a_database_that_a_node_lives_on_is_not_replaced(tmp_path: Path) -> None:
    """Whatever is said."""
    async with running(tmp_path) as node:
        relayctl = Relayctl(tmp_path)
        target = await asyncio.to_thread(backup, relayctl)
        said = await asyncio.to_thread(relayctl.refuses, "db", "restore", target, "--force", "--yes")
        assert said.startswith(f"node one runs on {tmp_path}/relay.db: stop it first")
        await node.relayctl("status")
    await asyncio.to_thread(relayctl.does, "db", "restore", target, "--force", "--yes")


@pytest.mark.parametrize("packed", [[], ["--zstd"]], ids=["plain", "zstd"])
def test_a_damaged_backup_is_refused_wherever_the_damage_is(
    relayctl: Relayctl, elsewhere: Relayctl, mail: Mail, packed: list[str]
) -> None:
    """An octet that is another one, an end that is missing, a file that is something else: nothing is changed."""
    target = relayctl.folder / "saved.tar"
    relayctl.does("db", "backup", target, *packed)
    whole = target.read_bytes()
    spoilt = [b"", b"nothing of ours", whole[: len(whole) // 2], whole[:-20_000]]
    for place in range(1, 8):
        at = len(whole) * place // 8
        spoilt.append(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
    for data in spoilt:
        target.write_bytes(data)
        assert elsewhere.refuses("db", "restore", target).startswith(f"{target}: it is damaged")
        assert relayctl.refuses("db", "check", "--file", target).startswith(f"{target}: it is damaged")
    assert {path.name for path in elsewhere.folder.iterdir()} == {"relay.toml"}


def test_a_backup_of_a_newer_version_is_refused(relayctl: Relayctl, elsewhere: Relayctl, mail: Mail) -> None:
    """It says which one it needs."""
    newer = changed(backup(relayctl), revision="9999_tomorrow", version="7.0")
    assert "is of version 7.0 (revision 9999_tomorrow), newer than this program" in elsewhere.refuses(
        "db", "restore", newer
    )
    other = changed(backup(relayctl), format=2)
    assert "format 2, which this program doesn't know" in elsewhere.refuses("db", "restore", other)


def test_a_backup_of_an_older_version_is_brought_up_to_date(elsewhere: Relayctl, relayctl: Relayctl) -> None:
    """Saved by this program before the upgrade, it is restored as what this program needs."""
    before = revisions()[-2]
    (relayctl.folder / "relay.db").unlink()
    _upgrade_to(relayctl.folder / "relay.db", before)
    target = relayctl.folder / "saved.tar"
    assert "older than this program" in relayctl.does("db", "backup", target)
    assert relayctl.does("db", "check", "--file", target)
    assert f"and upgraded from {before}" in elsewhere.does("db", "restore", target)
    assert elsewhere.json("db", "check")["ok"]


def _upgrade_to(path: Path, revision: str) -> None:
    raw = sqlite3.connect(path)
    raw.execute("PRAGMA auto_vacuum=INCREMENTAL")
    raw.execute("PRAGMA journal_mode=WAL")
    raw.close()
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    engine = create_engine(f"sqlite:///{path}")
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        alembic.upgrade(config, revision)
    engine.dispose()


def test_held_mail_waits_until_somebody_lets_it_go(relayctl: Relayctl, elsewhere: Relayctl, mail: Mail) -> None:
    """Also what was held for a reason that passes by itself."""
    told = elsewhere.json("db", "restore", backup(relayctl), "--hold")
    assert told["held"] == 9
    assert {(row["state"], row["reason"]) for row in elsewhere.json("queue", "list")} == {("held", "operator")}
    assert elsewhere.json("db", "check")["ok"]
    assert elsewhere.json("queue", "release", "--reason", "operator")["recipients"] == 9


def test_nobody_seems_to_live_on_a_restored_database(relayctl: Relayctl, elsewhere: Relayctl) -> None:
    """Nodes of then have stopped, what they owned is free, and no drain goes on."""
    relayctl.does("appliance", "add", "acme", "--primary", "192.0.2.25")
    db = database(relayctl)
    with db.write() as connection:
        about = {"hostname": "h", "version": "1", "listeners": [], "drift": 0.0, "isolated": ""}
        times = {"counter": 7, "started_at": 1.0, "heartbeat_at": 2.0}
        connection.execute(insert(nodes).values(name="n7", instance="i", **about, **times))
        connection.execute(insert(owners).values(appliance_id=1, node="n7", epoch=3))
        progress = {"began_at": 1.0, "at": 1.0, "phase": "full", "tried": 1, "left": 1, "rate": 1.0, "moved_at": 1.0}
        connection.execute(insert(drain_progress).values(appliance_id=1, node="n7", why="", **progress))
    db.close()
    target = backup(relayctl)
    elsewhere.does("db", "restore", target)
    restored = database(elsewhere)
    with restored.read() as connection:
        assert connection.execute(select(nodes.c.stopped_at)).scalar_one() is not None
        assert connection.execute(select(owners.c.node, owners.c.epoch)).one() == (None, 3)
        assert connection.execute(select(drain_progress)).all() == []
        noted, known = last_restore(connection), last_sound(connection)
        assert noted is not None and known is not None
        assert (noted.place, noted.held, noted.made_at) == (str(target), False, known.made_at)
    restored.close()


def test_numbers_that_were_given_since_are_never_given_again(
    relayctl: Relayctl, elsewhere: Relayctl, mail: Mail
) -> None:
    """Of messages, tickets, and lines of their histories; yet what a helpdesk was told keeps its name."""
    first = relayctl.json("ticket", "open", "acme", "-m", "no mail")["id"]
    target = backup(relayctl)
    with closing(sqlite3.connect(relayctl.folder / "relay.db")) as raw:
        (told,) = raw.execute("SELECT max(id) FROM ticket_events").fetchone()
    elsewhere.does("db", "restore", target)
    db = database(elsewhere)
    with db.read() as connection:
        assert connection.execute(select(numbers.c.message)).scalar_one() >= 1_000_000
    assert (first, elsewhere.json("ticket", "open", "bolt", "-m", "again")["id"]) == (1, 10_000)
    elsewhere.does("ticket", "comment", "1", "-m", "news")
    with db.read() as connection:
        events = list(connection.execute(select(ticket_events.c.id).order_by(ticket_events.c.id)).scalars())
        assert [number for number in events if number > told] == list(range(1_000_000, 1_000_000 + len(events) - told))
        unsent = set(connection.execute(select(outbox.c.event_id).where(outbox.c.sent_at.is_(None))).scalars())
        assert set(range(1, told + 1)) <= unsent
        name = cluster_name(connection)
    db.close()
    here = database(relayctl)
    with here.read() as connection:
        assert cluster_name(connection) == name
    here.close()


def test_an_unsound_backup_is_restored_only_by_force(relayctl: Relayctl, elsewhere: Relayctl, mail: Mail) -> None:
    """Whole as a file, wrong in itself: better than nothing, if nothing else is left."""
    with closing(sqlite3.connect(relayctl.folder / "relay.db")) as raw:
        raw.execute("DELETE FROM content WHERE id = (SELECT max(id) FROM content)")
        raw.commit()
    target = relayctl.folder / "saved.tar"
    assert relayctl("db", "backup", target).status == 1
    said = elsewhere.refuses("db", "restore", target)
    assert said.endswith("it is not sound: 1 messages have lost their content; --force restores it all the same")
    assert {path.name for path in elsewhere.folder.iterdir()} == {"relay.toml"}
    elsewhere.does("db", "restore", target, "--force")
    assert left_behind(elsewhere.folder) == []
    assert len(elsewhere.json("queue", "list")) == 8
