"""How an appliance is: decided from what the probes of its endpoints and the deliveries have shown.

Pure: every function takes ``now`` (POSIX seconds) and gives values back. Down after ``down_after`` failures in a row
at all of its primaries, up after ``up_after`` answers in a row at one, of which the first already sends the canary;
delayed while it answers but is slow, defers too much, leaves mail waiting, or refuses us. A 4xx is an answer: it makes
nobody down. It doesn't make anybody up either: an appliance that comes back with 4xx alone is delayed until it says
yes.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

from relay.appliances.evidence import SLICE, WINDOW, View
from relay.appliances.facts import REFUSED, Health, HealthFact
from relay.appliances.pulse import Reach
from relay.settings import Watch
from relay.smtp.dialogue import Offers
from relay.watch.probe import Answer, Said

SLOW_REPLY = 10.0
"""Seconds within which 95 % of the replies should come."""
SLOW_LEAST = 10
"""Replies in the window before their duration says anything."""
DEFERRED_LEAST = 20
"""Recipients in the window before the share of 4xx says anything; half of them is too much."""
UNWILLING = "unwilling"
"""How the reason of ``delayed`` begins when an appliance has come back and answers 4xx to everything."""
WAITING_LIMIT = 900.0
"""Seconds for which mail that is neither deferred nor held may wait for an appliance that is up."""
SLOW, DEFERRING, WAITING = "slow", "deferring", "waiting"
"""How the reason of ``delayed`` begins by what the last ten minutes have shown."""


@dataclass(frozen=True, slots=True)
class Seen:
    """What the probes of one endpoint have shown: ``failures`` and ``successes`` in a row (4xx counts with these), the
    first of either, whether one of the successes was a yes, the last failure, the last answer that was none, and what
    was last offered."""

    failures: int = 0
    successes: int = 0
    failing_since: float | None = None
    answering_since: float | None = None
    willing: bool = False
    failure: str = ""
    answer: Answer | None = None
    offers: Offers | None = None

    @property
    def answers(self) -> bool:
        return self.answer is not None and not self.failures


def note(seen: Seen, answer: Answer, now: float) -> Seen:
    """What is seen of an endpoint after one more ``answer``."""
    match answer.said:
        case Said.NOTHING:
            return seen
        case Said.FAILURE:
            failing_since = seen.failing_since or now
            return Seen(seen.failures + 1, 0, failing_since, None, False, answer.text, seen.answer, seen.offers)
        case Said.REFUSED:
            return Seen(0, 0, None, None, False, "", answer, seen.offers)
        case _:
            since, willing = seen.answering_since or now, seen.willing or answer.said is Said.OK
            return Seen(0, seen.successes + 1, None, since, willing, "", answer, answer.offers or seen.offers)


@dataclass(frozen=True, slots=True)
class Verdict:
    """``doubtful``: it would be down, if only it were certain that it isn't us who are cut off."""

    fact: HealthFact
    reach: Reach
    doubtful: bool = False


def judge(
    current: HealthFact,
    endpoints: Sequence[Seen],
    view: View,
    settings: Watch,
    now: float,
    *,
    began: float,
    found: HealthFact | None = None,
    cut_off: bool = False,
) -> Verdict:
    """The health of an appliance with these ``endpoints``, most preferred first.

    ``began``: when this node began to work for it; mail that waited before that says nothing about the primary.
    ``found``: its health as it was then, by evidence of another node or of this one before its restart.
    ``cut_off``: this node can't tell whether it is itself without a network: nothing is called down.
    """
    fact = _with_offers(current, endpoints)
    if endpoints and all(seen.failures >= settings.down_after for seen in endpoints):
        if current.state is Health.DOWN or cut_off:
            return Verdict(fact, Reach.NO, doubtful=cut_off and current.state is not Health.DOWN)
        since = max(seen.failing_since or now for seen in endpoints)
        reason = "; ".join(seen.failure for seen in endpoints)
        return Verdict(dataclasses.replace(fact, state=Health.DOWN, reason=reason, since=since), Reach.NO)

    flowing = current.state is Health.UP or (current.state is Health.DELAYED and not current.refuses)
    answering = [seen for seen in endpoints if seen.answers]
    if not answering:
        # Failing, but not for long enough, or not probed yet: as before, if mail has been seen to flow.
        known = any(seen.answer is not None for seen in endpoints)
        return Verdict(fact, Reach.YES if flowing and known else Reach.NO)

    willing = [seen for seen in answering if seen.answer and seen.answer.said is not Said.REFUSED]
    if not willing:
        return Verdict(_delayed(fact, REFUSED, _text(answering), now), Reach.NO)
    if not flowing and not any(seen.successes >= settings.up_after for seen in willing):
        return Verdict(fact, Reach.CANARY)
    since = now if flowing else _answering_since(current, willing, settings, now)

    if view.refusal:
        return Verdict(_delayed(fact, REFUSED, f"at MAIL: {view.refusal}", now), Reach.NO)
    busy = not any(seen.answer and seen.answer.said is Said.OK for seen in willing)
    if busy and flowing and not fact.reason.startswith(UNWILLING):
        return Verdict(fact, Reach.YES)  # too many connections, perhaps our own: what is deferred will tell
    if not any(seen.willing for seen in willing):
        return Verdict(_delayed(fact, UNWILLING, _text(willing), since), Reach.CANARY)
    if trouble := _trouble(view, now, began):
        return Verdict(_delayed(fact, *trouble, since), Reach.YES)
    if found is not None and _still_counts(found, fact, view, now, began):
        return Verdict(fact, Reach.YES)
    if current.state is Health.UP:
        return Verdict(fact, Reach.YES)
    return Verdict(dataclasses.replace(fact, state=Health.UP, reason=_text(willing), since=since), Reach.YES)


def _answering_since(current: HealthFact, willing: Sequence[Seen], settings: Watch, now: float) -> float:
    """When an appliance came back: with the first of the answers in a row, not with the one that proved it. The canary
    went out in between, and what it was told is what this return has brought."""
    begun = (seen.answering_since or now for seen in willing if seen.successes >= settings.up_after)
    return min((since for since in begun if since > current.since), default=now)


def _trouble(view: View, now: float, began: float) -> tuple[str, str] | None:
    """In which way an appliance that answers is slow: a word, and the sentence for people."""
    if view.p95_reply is not None and view.p95_reply > SLOW_REPLY and view.replies >= SLOW_LEAST:
        return SLOW, f"5 % of {view.replies} replies in 10 minutes took longer than {SLOW_REPLY:g} s"
    if view.recipients >= DEFERRED_LEAST and 2 * view.deferred >= view.recipients:
        return DEFERRING, f"{view.deferred} of {view.recipients} recipients in 10 minutes got 4xx"
    if view.oldest_since is not None and now - max(view.oldest_since, began) >= WAITING_LIMIT:
        return WAITING, "mail has waited for 15 minutes though the primary answers"
    return None


def _still_counts(found: HealthFact, fact: HealthFact, view: View, now: float, began: float) -> bool:
    """Whether an appliance is slow still by what was known when this node began: evidence counts for ten minutes,
    whoever gathered it, unless this node has enough of its own before. Mail that waited long enough for somebody else
    waits still; that it waits no more is known as soon as it was looked. A refusal at MAIL is no such thing: this node
    may have another address."""
    if fact.state is not Health.DELAYED or (fact.since, fact.reason) != (found.since, found.reason):
        return False
    word = fact.reason.partition(":")[0]
    if word == WAITING and view.looked:
        return view.oldest_since is not None and now - view.oldest_since >= WAITING_LIMIT
    unseen = {SLOW: view.replies < SLOW_LEAST, DEFERRING: view.recipients < DEFERRED_LEAST, WAITING: True}
    return unseen.get(word, False) and now - began < WINDOW * SLICE


def _delayed(fact: HealthFact, word: str, text: str, since: float) -> HealthFact:
    """``fact`` as delayed, ``since`` then if it wasn't before. While the kind of trouble is the same, so is the text:
    figures that move are no news."""
    if fact.state is Health.DELAYED:
        if fact.reason.startswith(f"{word}: "):
            return fact
        return dataclasses.replace(fact, reason=f"{word}: {text}")
    return dataclasses.replace(fact, state=Health.DELAYED, reason=f"{word}: {text}", since=since)


def _text(endpoints: Sequence[Seen]) -> str:
    return "; ".join(seen.answer.text for seen in endpoints if seen.answer)


def _with_offers(fact: HealthFact, endpoints: Sequence[Seen]) -> HealthFact:
    """``fact`` with what the most preferred primary that ever answered offers; a SIZE of 0 is no limit (RFC 1870 4)."""
    offers = next((seen.offers for seen in endpoints if seen.offers is not None), None)
    if offers is None:
        return fact
    offered = (offers.size or None, offers.smtputf8, offers.eightbitmime)
    if offered == (fact.offered_size, fact.offered_smtputf8, fact.offered_8bitmime):
        return fact
    size, smtputf8, eightbitmime = offered
    return dataclasses.replace(fact, offered_size=size, offered_smtputf8=smtputf8, offered_8bitmime=eightbitmime)
