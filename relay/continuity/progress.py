"""How far the return of the mail has come, told often enough to be seen and seldom enough to be read. Pure.

Every tenth of what waited, but not within a minute of the last word; after five minutes, any progress, and also that
there is none.
"""

from __future__ import annotations

from dataclasses import dataclass

STEP = 0.1
NOT_WITHIN = 60.0
AT_LEAST_EVERY = 300.0


@dataclass(frozen=True, slots=True)
class Told:
    """What the ticket was told last: at ``at``, that of ``total`` recipients ``left`` had not been tried."""

    at: float
    total: int
    left: int


def progress(told: Told, left: int, now: float) -> tuple[Told, str] | None:
    """What to tell now, and what will have been told then; None for nothing."""
    total = max(told.total, left)
    passed = now - told.at
    big_step = told.left - left >= STEP * total and passed >= NOT_WITHIN
    if left == 0 or not (big_step or passed >= AT_LEAST_EVERY):
        return None
    done = f"{total - left} of {total} recipients have been tried ({(total - left) / total:.0%})"
    text = f"Handing back: {done}." if left != told.left else f"Handing back stands still: {done}."
    return Told(now, total, left), text
