"""What was decided about mail that has failed or waited too long, carried out inside the writer's transaction.

Each function changes nothing where a recipient no longer stands as it did when that was decided.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from relay.queue import reports
from relay.queue.cases import Case
from relay.queue.commands import Change
from relay.queue.ledger import Deltas
from relay.queue.reports import NewReport
from relay.queue.slices import ROWS
from relay.queue.statements import Statements
from relay.queue.states import Reason, State

DROPPED = "dropped: for 14 days nobody could be told, and nobody released it"


@dataclass(frozen=True, slots=True)
class Fate:
    """What becomes of one recipient; ``reply``: the last one, with what is to be added to it."""

    recipient_id: int
    state: State
    reply: str
    reason: Reason | None = None


@dataclass(frozen=True, slots=True)
class Settlement:
    """What was decided about a message. ``expired``: about queued recipients; otherwise about those held as failed.
    ``verdict`` and ``evidence`` stay with the message as far as it stays; ``report``: to its sender."""

    message_id: int
    expired: bool
    fates: tuple[Fate, ...]
    verdict: str | None
    evidence: str | None
    report: NewReport | None


def settle(settlement: Settlement, now: float, statements: Statements, deltas: Deltas) -> bool:
    """True where all of it was carried out, False where nothing was."""
    fates = settlement.fates
    source, reason = (State.QUEUED, None) if settlement.expired else (State.HELD, Reason.FAILED)
    if statements.standing([fate.recipient_id for fate in fates], source, reason) != len(fates):
        return False
    if settlement.report is not None:
        reports.add(statements, settlement.report, now)
    changes = [Change(fate.recipient_id, (source,), fate.state, now, fate.reason, fate.reply) for fate in fates]
    if not all(statements.change(changes, deltas, now)):
        raise RuntimeError(f"recipients of message {settlement.message_id} should have moved, and didn't")
    if any(fate.reason is Reason.QUARANTINED for fate in fates):
        statements.execute(
            "UPDATE messages SET verdict = ?, evidence = ?, quarantined_at = ? WHERE id = ?",
            (settlement.verdict, settlement.evidence, now, settlement.message_id),
        )
    return True


def warn(case: Case, report: NewReport | None, now: float, statements: Statements, _: Deltas) -> bool:
    """The sender is told of the delay, or (None) never will be; False where that was decided before, or where a
    recipient no longer waits."""
    if statements.standing([one.id for one in case.recipients], State.QUEUED, None) != len(case.recipients):
        return False
    first = "UPDATE messages SET warned_at = ? WHERE id = ? AND warned_at IS NULL"
    if not statements.execute(first, (now, case.id)).rowcount:
        return False
    if report is not None:
        reports.add(statements, report, now)
    return True


def keep_verdicts(verdicts: Collection[tuple[int, str, str]], statements: Statements, _: Deltas) -> None:
    """(message, verdict, evidence)."""
    rows = [(verdict, evidence, number) for number, verdict, evidence in sorted(verdicts)]
    statements.executemany("UPDATE messages SET verdict = ?, evidence = ? WHERE id = ?", rows)


def ask_again(message_id: int, evidence: str, at: float, statements: Statements, _: Deltas) -> None:
    """It was asked in vain once more."""
    statements.execute(
        "UPDATE messages SET asked = asked + 1, evidence = ?, ask_at = ? WHERE id = ?", (evidence, at, message_id)
    )


def drop_quarantined(before: float, now: float, statements: Statements, deltas: Deltas) -> list[tuple[int, str]]:
    """A slice of what was quarantined before then: (message, address) of each that is dropped now."""
    rows = statements.quarantined(before, ROWS)
    changes = [
        Change(number, (State.HELD,), State.DROPPED, now, reply=f"{reply} ({DROPPED})".lstrip())
        for number, _, _, reply in rows
    ]
    statements.change(changes, deltas, now)
    return [(message_id, address) for _, message_id, address, _ in rows]
