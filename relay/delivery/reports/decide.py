"""What becomes of recipients who have failed or waited too long, and whether their sender is told. Pure.

- Who asked for no report of failures (NOTIFY without FAILURE, RFC 3461 4.1) gets none: bounced, or expired.
- A sender who is vouched for is told: bounced or expired, with a report.
- Nobody else is: neither the null sender nor one for whom nobody vouches. Held as quarantined, for a person to look at.
- Where the DNS doesn't say who vouches it is asked again, some 80 times in three days; then it is quarantined too.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum

from relay.delivery.reports.vouch import Verdict, Vouching
from relay.mail import NULL_SENDER, wants_failure
from relay.queue.cases import Case, Concerned
from relay.queue.settling import Fate
from relay.queue.states import Reason, State

ASK_AGAIN = (60.0, 120.0, 300.0, 600.0, 1200.0, 1800.0)
"""Seconds after a question that got no answer, and after the next …; then ASK_AT_LAST."""
ASK_AT_LAST = 3600.0
ASK_FOR = 3 * 86400.0
"""Seconds after which nobody is asked any more, if each question was asked in time: over a long weekend."""
WARN_AFTER = 4 * 3600.0
"""Seconds of waiting after which a delay is reported, to who asked for that."""

REPORTED = "reported to its sender"
NOT_WANTED = "not reported: no report was wanted"
NULL = Vouching(Verdict.UNVOUCHED, "the null sender is never answered")


class Telling(Enum):
    """What the sender is told of a recipient."""

    NOTHING = "they wanted no report"
    REPORT = "a report goes to them"
    NEVER = "nobody knows that it was them"
    LATER = "that isn't known yet"


@dataclass(frozen=True, slots=True)
class Decision:
    """``fates``: what is to be carried out now, ``reported`` being those of whom a report tells; ``later``: recipients
    that are judged another time."""

    fates: tuple[Fate, ...]
    reported: tuple[Concerned, ...]
    later: tuple[Concerned, ...]


def needs_vouching(case: Case) -> bool:
    """Whether it makes a difference who vouches for the sender."""
    return case.sender != NULL_SENDER and any(wants_failure(one.notify) for one in case.recipients)


def known(case: Case) -> Vouching | None:
    """What is known of the sender without asking; None where somebody has to be asked."""
    if case.sender == NULL_SENDER:
        return NULL
    if case.verdict is not None:
        return Vouching(Verdict(case.verdict), case.evidence or "")
    return None


def ask_again(asked: int) -> float | None:
    """Seconds until the next question, ``asked`` having been asked in vain; None: never again."""
    if asked <= 0:
        return 0.0
    if asked <= len(ASK_AGAIN):
        return ASK_AGAIN[asked - 1]
    spent = sum(ASK_AGAIN) + (asked - len(ASK_AGAIN)) * ASK_AT_LAST
    return ASK_AT_LAST if spent <= ASK_FOR else None


def decide(case: Case, vouching: Vouching | None, *, expired: bool) -> Decision:
    """``vouching``: None where nobody was asked, because it makes no difference."""
    exhausted = ask_again(case.asked + 1) is None
    fates, reported, later = [], [], []
    for one in case.recipients:
        telling = _telling(one, vouching, exhausted)
        if telling is Telling.LATER:
            later.append(one)
            continue
        if telling is Telling.REPORT:
            reported.append(one)
        fates.append(_fate(one, telling, expired))
    return Decision(tuple(fates), tuple(reported), tuple(later))


def _telling(one: Concerned, vouching: Vouching | None, exhausted: bool) -> Telling:
    if not wants_failure(one.notify):
        return Telling.NOTHING
    if vouching is None or (vouching.verdict is Verdict.UNKNOWN and not exhausted):
        return Telling.LATER
    return Telling.REPORT if vouching.verdict is Verdict.VOUCHED else Telling.NEVER


def _fate(one: Concerned, telling: Telling, expired: bool) -> Fate:
    reply = one.reply or "never tried"
    why = ["it waited too long"] if expired else []
    if telling is Telling.NEVER:
        return Fate(one.id, State.HELD, _with(reply, why), Reason.QUARANTINED)
    why.append(REPORTED if telling is Telling.REPORT else NOT_WANTED)
    return Fate(one.id, State.EXPIRED if expired else State.BOUNCED, _with(reply, why))


def _with(reply: str, why: Iterable[str]) -> str:
    said = "; ".join(why)
    return f"{reply} ({said})" if said else reply
