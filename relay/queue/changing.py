"""What changes do to the rows of recipients, and which messages leave with them, whichever engine stores it. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from relay.queue.commands import Change
from relay.queue.ledger import Deltas
from relay.queue.states import MOVES, WAITING, State

COLUMNS = (
    "r.id, r.message_id, r.appliance_id, r.domain, r.address,"
    " r.state, r.reason, r.attempts, r.next_attempt_at, r.tried_at, r.last_reply, r.outage_id, r.remote"
)
"""What the engines read of a recipient, in the order in which it is known here."""
_ID, _MESSAGE_ID, _APPLIANCE, _DOMAIN, _ADDRESS = range(5)
_STATE, _REASON, _ATTEMPTS, _NEXT, _TRIED, _REPLY, _OUTAGE, _REMOTE = range(5, 13)


@dataclass(frozen=True, slots=True)
class Moves:
    """``done``: for each change whether it takes place. ``updates``: (id, state, reason, attempts, next_attempt_at,
    tried_at, last_reply, outage_id, remote) of recipients that stay. ``left``: by message all recipients of those that
    nobody waits for any more."""

    done: list[bool]
    updates: list[tuple[Any, ...]]
    left: dict[int, list[list[Any]]]

    def trace(self) -> list[tuple[int, list[dict[str, Any]]]]:
        """For each message that leaves what became of its recipients, to be kept as JSON."""
        return [
            (
                message_id,
                [
                    {
                        "address": row[_ADDRESS],
                        "domain": row[_DOMAIN],
                        "state": row[_STATE],
                        "reason": row[_REASON],
                        "attempts": row[_ATTEMPTS],
                        "at": row[_TRIED],
                        "reply": row[_REPLY],
                    }
                    for row in group
                ],
            )
            for message_id, group in self.left.items()
        ]

    def recipients(self) -> list[int]:
        """The ids of all recipients of the messages that leave."""
        return [row[_ID] for group in self.left.values() for row in group]

    def count_removed(self, message_id: int, size: int, deltas: Deltas) -> None:
        """A message of ``size`` bytes leaves."""
        for appliance_id, domain in {(row[_APPLIANCE], row[_DOMAIN]) for row in self.left[message_id]}:
            deltas.removed(appliance_id, domain, size)


def moves(changes: Sequence[Change], found: Iterable[Sequence[Any]], deltas: Deltas) -> Moves:
    """Work out what is legal; ``found``: COLUMNS of all recipients of the messages that are touched.

    A change of a recipient that is gone, that isn't in one of the change's sources, that MOVES doesn't know, or an
    attempt that is recorded already, changes nothing: to record an outcome twice is harmless.
    """
    rows = {row[0]: list(row) for row in found}
    changed: set[int] = set()
    done = []
    for wanted in changes:
        row = rows.get(wanted.recipient_id)
        if row is None or not _applies(wanted, row):
            done.append(False)
            continue
        if wanted.outage_id is not None and wanted.outage_id != row[_OUTAGE]:
            deltas.recounted(row[_DOMAIN], row[_STATE], row[_OUTAGE], wanted.outage_id)
            row[_OUTAGE] = wanted.outage_id
        if wanted.state != row[_STATE]:
            deltas.moved(row[_APPLIANCE], row[_DOMAIN], row[_OUTAGE], row[_STATE], wanted.state)
            row[_STATE] = str(wanted.state)
        row[_REASON] = wanted.reason
        row[_NEXT] = wanted.next_attempt_at if wanted.state is State.QUEUED else None
        if wanted.reply is not None:
            row[_REPLY] = wanted.reply
        if wanted.attempt:
            row[_ATTEMPTS] += 1
            row[_TRIED] = wanted.at
            row[_REMOTE] = wanted.remote
        changed.add(row[_ID])
        done.append(True)
    messages: dict[int, list[list[Any]]] = {}
    for row in rows.values():
        messages.setdefault(row[_MESSAGE_ID], []).append(row)
    left = {
        message_id: group
        for message_id, group in messages.items()
        if not any(row[_STATE] in WAITING for row in group) and any(row[_ID] in changed for row in group)
    }
    updates = [
        (row[_ID], *row[_STATE:]) for recipient_id in changed if (row := rows[recipient_id])[_MESSAGE_ID] not in left
    ]
    return Moves(done, updates, left)


def _applies(wanted: Change, row: list[Any]) -> bool:
    state = State(row[_STATE])
    if state not in wanted.sources or wanted.state not in MOVES[state]:
        return False
    # The same moment, not an earlier one: a clock that was set back must not make us deaf.
    recorded = wanted.attempt and wanted.at == row[_TRIED]
    return not recorded or wanted.state is State.DELIVERED
