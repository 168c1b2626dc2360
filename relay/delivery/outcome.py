"""What an answer means for its recipient: delivered, to be tried again, or held. Pure.

- 2xx to the dot: delivered.
- 4xx, and every code without a meaning: tried again after minutes, more each time; what is greylisting
  (relay.delivery.greylisting) after the time that it asks for. Where the connection broke, or we
  were sent away (421), after seconds, more each time. A reply to the dot that never came is *unknown* (RFC 1047).
- 5xx: held as ``failed``; while the return of the primary is recent, provisionally as ``breaker``.
- A message at whose sending this program itself broke down three times: held as ``poison``.

What the primary never turned to is none of this: it goes back to where it was, and no attempt is counted.
"""

from __future__ import annotations

from dataclasses import dataclass

from relay.delivery import greylisting
from relay.mail import Reply
from relay.queue.model import Outcome
from relay.queue.states import Reason, State
from relay.smtp.failure import Stage
from relay.smtp.transaction import Answer

MINUTES = (1, 2, 5, 10, 15, 20, 30)
"""After the first, second … deferral; the last one from then on."""
BROKEN = 2.0
"""Seconds until the next attempt after the first broken connection; doubled each time, up to the last of MINUTES."""
JITTER = 0.2
"""A wait is up to so much longer, so that what was deferred together doesn't come back together."""
POISON = 3
"""Breakdowns of our own after which a message is held."""
TOO_MANY = (452, 552)
"""RFC 5321 4.5.3.1.10: too many recipients, which the older code says as if it were for good."""


@dataclass(frozen=True, slots=True)
class Circumstances:
    """What an outcome depends on besides the answer.

    ``attempts``: how often this recipient was tried before. ``provisional``: the primary came back a short while ago.
    ``others``: recipients of the same transaction were accepted. ``only_us``: 5xx to MAIL may be about us and not
    about the sender. ``chance``: a random number in [0, 1).
    """

    attempts: int
    provisional: bool
    others: bool
    only_us: bool
    chance: float


def decide(
    answer: Answer, message_id: int, recipient_id: int, seen: Circumstances, now: float, remote: str = ""
) -> Outcome:
    """The outcome of an attempt that was made; ``remote``: at which host."""
    reply, remote = answer.reply, "" if answer.local else remote
    if answer.delivered:
        return Outcome(message_id, recipient_id, State.DELIVERED, reply, now)
    if is_final(answer, seen):
        reason = Reason.BREAKER if seen.provisional else Reason.FAILED
        return Outcome(message_id, recipient_id, State.HELD, reply, now, reason, remote=remote)
    greylisted = greylisting.wait(answer, seen.attempts)
    if greylisted is not None:
        wait = greylisted * (1 + JITTER * seen.chance)
    else:
        wait = retry_after(seen.attempts, seen.chance, broken=_broken(answer, seen))
    return Outcome(message_id, recipient_id, State.QUEUED, reply, now, None, now + wait, answer.unknown, remote)


def is_final(answer: Answer, seen: Circumstances) -> bool:
    """Whether the answer is a no for good: the code says so, and it is about this recipient or this message."""
    if not answer.reply.permanent:
        return False
    if answer.stage is Stage.MAIL and not answer.local:
        return not seen.only_us
    return not _too_many(answer, seen)


def broken_down(message_id: int, recipient_id: int, times: int, chance: float, now: float) -> Outcome:
    """The outcome of a message at which this program itself broke down, so far ``times`` times."""
    reply = Reply(451, "4.3.0", f"this relay broke down at the message, {times} times so far")
    if times >= POISON:
        return Outcome(message_id, recipient_id, State.HELD, reply, now, Reason.POISON)
    wait = retry_after(times, chance, broken=True)
    return Outcome(message_id, recipient_id, State.QUEUED, reply, now, next_attempt_at=now + wait)


def retry_after(attempts: int, chance: float, *, broken: bool = False) -> float:
    """Seconds until the next attempt of a recipient that was tried ``attempts`` times before this one."""
    longest = MINUTES[-1] * 60.0
    if broken:
        wait = min(BROKEN * 2.0 ** min(attempts, 20), longest)
    else:
        wait = MINUTES[min(attempts, len(MINUTES) - 1)] * 60.0
    return wait * (1 + JITTER * chance)


def _broken(answer: Answer, seen: Circumstances) -> bool:
    """Nothing was said about the recipient itself, so that there is no reason to wait for long."""
    return answer.local or answer.reply.code == 421 or _too_many(answer, seen)


def _too_many(answer: Answer, seen: Circumstances) -> bool:
    return answer.stage is Stage.RCPT and answer.reply.code in TOO_MANY and seen.others
