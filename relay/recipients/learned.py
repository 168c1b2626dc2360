"""What a primary's answers teach about a recipient, how sure that is, and what follows from it. Pure.

An acceptance counts at once. A rejection refuses mail for good only once it is sure: a primary that has just been
rebuilt refuses everybody until its directory is loaded. Times are POSIX seconds; an *age* runs only while the primary
could have been asked (see :func:`horizon`).
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from enum import StrEnum

from relay.appliances.facts import Health, HealthFact
from relay.appliances.model import NeverSeen
from relay.mail import Reply
from relay.recipients.verdict import Verdict

APART = 300.0
"""Seconds: an answer that comes sooner after the last one is the same answer again."""
SURE = 2
"""Rejections, each APART from the last, that make one sure."""
DOUBTS = 4
"""Rejections of somebody who was accepted before, until that is believed; DOUBT_APART: seconds between them."""
DOUBT_APART = 1200.0

DAY = 86400.0

WILDCARD = "wildcard"
"""The condition of the finding about a primary that accepts any address."""
WILDCARD_EVIDENCE = (
    "the primary accepts any address, also one that was made up: nothing can be learned from its answers, "
    "and mail for people who don't exist is taken"
)


class Answer(StrEnum):
    """What a primary says of a recipient; that it says nothing (4xx, silence, another matter) is None."""

    ACCEPTED = "accepted"
    REJECTED = "rejected"


SERVES = {Answer.ACCEPTED: 180 * DAY, Answer.REJECTED: 14 * DAY}
"""Seconds after which what was never confirmed again is forgotten."""
FRESH = {Answer.ACCEPTED: 7 * DAY, Answer.REJECTED: 3600.0}
"""Seconds for which a primary that is up needn't be asked again. A rejection is asked about soon: people join."""
FRESH_ONCE = 600.0
"""The same for a rejection that isn't sure yet."""
REFRESH = {Answer.ACCEPTED: DAY, Answer.REJECTED: 3 * DAY}
"""Seconds after which it is asked about in the background."""


@dataclass(frozen=True, slots=True)
class Known:
    """The answer for one recipient: since when, last confirmed when, how often. ``doubts``: of an acceptance, how often
    it was contradicted since ``doubted_at``."""

    answer: Answer
    first_at: float
    last_at: float
    confirmations: int = 1
    doubts: int = 0
    doubted_at: float | None = None

    @property
    def sure(self) -> bool:
        """Whether it may refuse mail for good, or take it, while nobody can be asked."""
        return self.answer is Answer.ACCEPTED or self.confirmations >= SURE

    def due_at(self) -> float | None:
        """When it should be asked about in the background; None: it isn't worth a question."""
        if self.doubted_at is not None:
            return self.doubted_at + self.doubts * DOUBT_APART
        return self.last_at + REFRESH[self.answer] if self.sure else None


def read(reply: Reply | None) -> Answer | None:
    """What a reply to RCPT says of whether the recipient exists.

    A 5xx that is about something else (5.7.1: our address is blocked; 5.2.2: the mailbox is full) says nothing; one
    without an enhanced status code is about the recipient where the code is (RFC 5321 4.2.3, RFC 3463 3.2).
    """
    if reply is None:
        return None
    if 200 <= reply.code < 300:
        return Answer.ACCEPTED
    if not reply.permanent:
        return None
    if not reply.enhanced:
        return Answer.REJECTED if reply.code in (550, 551, 553) else None
    subject, _, detail = reply.enhanced.partition(".")[2].partition(".")
    # 5.1.7 and 5.1.8 are about the sender; 5.4.1 and 5.0.0 are how some say that there is no such user.
    about_it = (subject == "1" and detail not in ("7", "8")) or reply.enhanced in ("5.0.0", "5.4.1")
    return Answer.REJECTED if about_it else None


def learn(known: Known | None, answer: Answer, now: float) -> Known:
    """What is known after one more answer that counts; ``known`` itself where that adds nothing.

    ============  =========  ==========================================================================
    known         answer     becomes
    ============  =========  ==========================================================================
    nothing       accepted   accepted: once is enough
    nothing       rejected   rejected, and not sure
    accepted      accepted   confirmed (if APART from the last time), and no longer doubted
    accepted      rejected   doubted; rejected at the fourth doubt, DOUBT_APART each: after an hour at least
    rejected      rejected   confirmed (if APART from the last time): sure at the second time
    rejected      accepted   accepted: somebody joined
    ============  =========  ==========================================================================

    Not every rejection counts: none in the time after a return, none while the primary refuses everybody.
    """
    if known is None or (known.answer is Answer.REJECTED and answer is Answer.ACCEPTED):
        return Known(answer, now, now)
    if known.answer is not answer:
        return _doubt(known, now)
    if now - known.last_at < APART and not known.doubts:
        return known
    apart = now - known.last_at >= APART
    return Known(answer, known.first_at, max(now, known.last_at), known.confirmations + apart)


def _doubt(known: Known, now: float) -> Known:
    since = now if known.doubted_at is None else known.doubted_at
    if now < since + known.doubts * DOUBT_APART:
        return known
    doubts = known.doubts + 1
    if doubts >= DOUBTS:
        return Known(Answer.REJECTED, since, now, doubts)
    return dataclasses.replace(known, doubts=doubts, doubted_at=since)


def horizon(health: HealthFact, now: float) -> float:
    """Until when the primary could be asked: ages run no further. In an outage nothing grows older."""
    return now if health.state is Health.UP else min(now, health.since)


def serves(known: Known | None, until: float) -> bool:
    """Whether it isn't too old to be remembered; ``until``: the horizon."""
    return known is not None and until - known.last_at < SERVES[known.answer]


def fresh(known: Known | None, now: float) -> bool:
    """Whether a primary that is up needn't be asked."""
    if known is None or known.doubts:
        return False
    return now - known.last_at < (FRESH[known.answer] if known.sure else FRESH_ONCE)


def decide(
    known: Known | None,
    told: Answer | None,
    never_seen: NeverSeen,
    *,
    counts: bool,
    up: bool,
    until: float,
) -> Verdict:
    """What a recipient meets. ``told``: what the primary said just now, which ``known`` has taken in if it ``counts``;
    ``up``: whether the primary is; ``until``: the horizon.

    ==========  ====================  ==============================================
    told        known                 verdict
    ==========  ====================  ==============================================
    accepted    any                   taken
    rejected    rejected for sure     unknown
    rejected    accepted              unverified if it counts, else taken
    rejected    else                  unknown if it counts, else unverified
    nothing     accepted              taken
    nothing     rejected for sure     unknown
    nothing     rejected, fresh       unknown while the primary is up
    nothing     else                  the rule for the never-seen; *reject* is unverified while the primary is up
    ==========  ====================  ==============================================
    """
    if told is Answer.ACCEPTED:
        return Verdict.TAKEN
    remembered = known.answer if known is not None and serves(known, until) else None
    if remembered is Answer.ACCEPTED:
        return Verdict.UNVERIFIED if told is not None and counts else Verdict.TAKEN
    if known is not None and remembered is Answer.REJECTED and (known.sure or (up and fresh(known, until))):
        return Verdict.UNKNOWN
    if told is Answer.REJECTED:
        return Verdict.UNKNOWN if counts else Verdict.UNVERIFIED
    if never_seen is NeverSeen.ACCEPT:
        return Verdict.TAKEN
    # That we didn't ask is no reason to refuse for good what the primary would take a minute later.
    return Verdict.UNKNOWN if never_seen is NeverSeen.REJECT and not up else Verdict.UNVERIFIED
