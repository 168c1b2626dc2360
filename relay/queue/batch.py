"""A batch of commands, carried out in one transaction."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from relay.queue.commands import Accept, Call, Record
from relay.queue.ledger import Deltas
from relay.queue.statements import Statements


def carry_out(statements: Statements, commands: Sequence[Any], node: str, now: float, deltas: Deltas) -> list[Any]:
    """The result of each. Like with like: all that was accepted, all that was recorded, then the rest in turn; then
    what all of it adds to the sums of ``node``."""
    results: list[Any] = [None] * len(commands)
    accepts = [place for place, command in enumerate(commands) if isinstance(command, Accept)]
    if accepts:
        numbers = statements.accept([commands[place] for place in accepts], deltas)
        for place, given in zip(accepts, numbers, strict=True):
            results[place] = given
    records = [place for place, command in enumerate(commands) if isinstance(command, Record)]
    if records:
        changes = [change for place in records for change in commands[place].changes]
        done = iter(statements.change(changes, deltas, now))
        for place in records:
            results[place] = sum(next(done) for _ in commands[place].changes)
    for place, command in enumerate(commands):
        if isinstance(command, Call):
            results[place] = command.work(statements, deltas)
    statements.add_deltas(node, deltas)
    return results
