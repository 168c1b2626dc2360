"""What is known of the recipients of one learned domain, in memory, bounded.

Whoever tries random addresses makes it no larger: past the cap of a side what is least worth is let go, that which
was confirmed least often, and longest ago. Keeps what has changed until it is written down.
"""

from __future__ import annotations

from relay.recipients.learned import Answer, Known, learn, serves
from relay.recipients.remembered import EVERYBODY, Key

MOST = {Answer.ACCEPTED: 50_000, Answer.REJECTED: 2_000}
"""Recipients remembered for a domain, by answer."""
LET_GO = 0.1
"""The share that is let go when there are too many, so that this isn't done for each."""


class Memory:
    """One for each learned domain; used on the loop alone. ``changed``: what isn't written down yet, None: let go."""

    def __init__(self, key: Key) -> None:
        self.key = key
        self.everybody: Known | None = None
        self.changed: dict[str, Known | None] = {}
        self._sides: dict[Answer, dict[str, Known]] = {Answer.ACCEPTED: {}, Answer.REJECTED: {}}

    def __len__(self) -> int:
        return sum(map(len, self._sides.values()))

    @property
    def wildcard(self) -> bool:
        """Whether the primary accepts whatever it is asked for."""
        return self.everybody is not None and self.everybody.answer is Answer.ACCEPTED

    def get(self, local: str) -> Known | None:
        return self._sides[Answer.ACCEPTED].get(local) or self._sides[Answer.REJECTED].get(local)

    def learn(self, local: str, answer: Answer, now: float) -> Known:
        """Take in an answer that counts."""
        before = self.get(local)
        known = learn(before, answer, now)
        if known is not before:
            self.put(local, known)
            self.changed[local] = known
            self._bound(known.answer, local)
        return known

    def learn_everybody(self, answer: Answer, now: float) -> None:
        """What the primary said of an address that nobody could have guessed."""
        self.everybody = self.changed[EVERYBODY] = Known(answer, now, now)

    def put(self, local: str, known: Known | None) -> None:
        """As it is in the database; None: it was forgotten."""
        if local == EVERYBODY:
            self.everybody = known
            return
        for side in self._sides.values():
            side.pop(local, None)
        if known is not None:
            self._sides[known.answer][local] = known

    def best(self) -> str | None:
        """Somebody who exists as far as anybody can tell: confirmed last, and not doubted."""
        accepted = self._sides[Answer.ACCEPTED]
        sound = (local for local, known in accepted.items() if not known.doubts)
        return max(sound, key=lambda local: accepted[local].last_at, default=None)

    def due(self, now: float, limit: int) -> list[str]:
        """Who should be asked about again: first those that are doubted, then the oldest of those that exist."""
        found = [
            (not known.doubts, known.answer is Answer.REJECTED, known.last_at, local)
            for side in self._sides.values()
            for local, known in side.items()
            if (at := known.due_at()) is not None and at <= now
        ]
        return [local for *_, local in sorted(found)[:limit]]

    def forget_old(self, until: float) -> None:
        """Let go what was not confirmed for too long; ``until``: the horizon."""
        old = [local for side in self._sides.values() for local, known in side.items() if not serves(known, until)]
        self._let_go(old)

    def _bound(self, answer: Answer, newcomer: str) -> None:
        side = self._sides[answer]
        if len(side) > MOST[answer]:
            order = sorted(side, key=lambda local: (local == newcomer, side[local].confirmations, side[local].last_at))
            self._let_go(order[: max(1, int(MOST[answer] * LET_GO))])

    def _let_go(self, locals_: list[str]) -> None:
        for local in locals_:
            self.put(local, None)
            self.changed[local] = None
