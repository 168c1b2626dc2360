"""Whether the tables of mail agree with each other and with the sums: the part of ``relayctl db check`` that is ours.

Reads everything in one snapshot, since sums and rows are only comparable at one moment; that takes seconds on a
large queue, during which the WAL can't shrink.
"""

from __future__ import annotations

from collections.abc import Iterable

from sqlalchemy import Connection, text

from relay.queue.ledger import COLUMNS
from relay.queue.states import Reason, State
from relay.queue.tables import HOT, PLACES

_COUNT = "-CASE WHEN state = 'queued' THEN 1 ELSE 0 END, -CASE WHEN state = 'held' THEN 1 ELSE 0 END"
_BALANCE = f"""
SELECT domain, outage_id, sum(accepted), {", ".join(f"sum({name})" for name in COLUMNS[1:])}
FROM ledger GROUP BY domain, outage_id
"""  # noqa: S608
_COUNTED = f"""
SELECT domain, outage_id, sum(queued), sum(held) FROM (
    SELECT domain, outage_id, queued, held FROM ledger
    UNION ALL SELECT domain, outage_id, {_COUNT} FROM recipients WHERE {HOT}
) AS counted GROUP BY domain, outage_id HAVING sum(queued) <> 0 OR sum(held) <> 0
"""  # noqa: S608
_DEPTHS = f"""
SELECT appliance_id, domain, sum(queued), sum(held), sum(bytes), sum(messages) FROM (
    SELECT appliance_id, domain, queued, held, bytes, messages FROM depths
    UNION ALL SELECT appliance_id, domain, {_COUNT}, 0, 0 FROM recipients WHERE {HOT}
    UNION ALL SELECT appliance_id, domain, 0, 0, -size, -1 FROM (
        SELECT DISTINCT m.id, m.appliance_id, r.domain, m.size
        FROM recipients AS r JOIN messages AS m ON m.id = r.message_id) AS apart
) AS counted GROUP BY appliance_id, domain
HAVING sum(queued) <> 0 OR sum(held) <> 0 OR sum(bytes) <> 0 OR sum(messages) <> 0
"""  # noqa: S608


def _quoted(names: Iterable[str]) -> str:
    return ",".join(f"'{name}'" for name in names)


_STRAYS = {
    "pieces of content belong to no message": f"""
        SELECT count(*) FROM content
        WHERE id / {PLACES} NOT IN (SELECT content_id FROM messages UNION SELECT content_id FROM incoming)""",  # noqa: S608
    "messages have lost their content": f"""
        SELECT count(*) FROM messages AS m
        WHERE NOT EXISTS (SELECT 1 FROM content AS c WHERE c.id = m.content_id * {PLACES})""",  # noqa: S608
    "recipients belong to no message": """
        SELECT count(*) FROM recipients AS r
        WHERE NOT EXISTS (SELECT 1 FROM messages AS m WHERE m.id = r.message_id)""",
    "messages have no recipient that waits": f"""
        SELECT count(*) FROM messages AS m WHERE NOT EXISTS (
            SELECT 1 FROM recipients AS r
            WHERE r.id >= m.id * {PLACES} AND r.id < (m.id + 1) * {PLACES} AND {HOT})""",  # noqa: S608
    "recipients are in no state that there is": f"""
        SELECT count(*) FROM recipients
        WHERE state NOT IN ({_quoted(state for state in State if state is not State.PROOF)})""",  # noqa: S608
    "recipients are held for no reason that there is": f"""
        SELECT count(*) FROM recipients
        WHERE {HOT} AND state = 'held' AND coalesce(reason, '') NOT IN ({_quoted(Reason)})""",  # noqa: S608
    "recipients are quarantined without an end": f"""
        SELECT count(*) FROM recipients AS r JOIN messages AS m ON m.id = r.message_id
        WHERE {HOT} AND r.state = 'held' AND r.reason = 'quarantined' AND m.quarantined_at IS NULL""",  # noqa: S608
    "reports are for nobody": "SELECT count(*) FROM reports WHERE sender = '' OR domain = '' OR about = '[]'",
}


def verify(connection: Connection, *, file: bool = True) -> list[str]:
    """Everything that is wrong, a plain line each; empty where the database is sound. ``file``: what SQLite says of the
    whole file too."""
    found = []
    if file and connection.dialect.name == "sqlite":
        found += [f"SQLite: {line}" for (line,) in connection.execute(text("PRAGMA quick_check")) if line != "ok"]
    for domain, outage_id, accepted, *others in connection.execute(text(_BALANCE)):
        if accepted != sum(others):
            found.append(f"ledger of {domain}, outage {outage_id}: accepted {accepted}, accounted for {sum(others)}")
    for domain, outage_id, queued, held in connection.execute(text(_COUNTED)):
        found.append(f"ledger of {domain}, outage {outage_id}: {queued:+} queued and {held:+} held against the rows")
    for appliance_id, domain, queued, held, size, messages in connection.execute(text(_DEPTHS)):
        found.append(
            f"depth of {domain}, appliance {appliance_id}: {queued:+} queued, {held:+} held, {size:+} bytes,"
            f" {messages:+} messages against the rows"
        )
    for words, query in _STRAYS.items():
        number = connection.execute(text(query)).scalar_one()
        if number:
            found.append(f"{number} {words}")
    return found
