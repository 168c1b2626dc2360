"""Finding what is wrong with the tables of mail."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.integration.queue.material import house

pytestmark = pytest.mark.usefixtures("engine")


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        ("UPDATE ledger SET accepted = accepted + 1", "accepted 2, accounted for 1"),
        ("UPDATE ledger SET queued = queued + 1, accepted = accepted + 1", r"\+1 queued and \+0 held"),
        ("UPDATE depths SET bytes = bytes - 7", "-7 bytes"),
        ("UPDATE depths SET messages = messages + 2", r"\+2 messages against the rows"),
        ("DELETE FROM content", "1 messages have lost their content"),
        ("INSERT INTO content VALUES (99 * 65536, false, '')", "1 pieces of content belong to no message"),
        ("DELETE FROM messages", "1 recipients belong to no message"),
        ("UPDATE recipients SET state = 'delivered'", "1 messages have no recipient that waits"),
        ("UPDATE recipients SET state = 'lost'", "1 recipients are in no state that there is"),
        ("UPDATE recipients SET state = 'held'", "1 recipients are held for no reason that there is"),
        (
            "UPDATE recipients SET state = 'held', reason = 'quarantined'",
            "1 recipients are quarantined without an end",
        ),
        (
            "INSERT INTO reports VALUES (1, 1, 1, '', '', 'failed', '[]', 0, 0, 0, '', false, '')",
            "1 reports are for nobody",
        ),
    ],
)
async def test_each_kind_of_damage_is_named(tmp_path: Path, damage: str, words: str) -> None:
    """A sound database has no problem; each loss of agreement makes a plain line that names it."""
    async with house(tmp_path) as home:
        await home.accept()
        assert home.problems() == []
        with home.db.write() as connection:
            connection.exec_driver_sql(damage)
        found = home.problems()
        assert any(re.search(words, line) for line in found), found
