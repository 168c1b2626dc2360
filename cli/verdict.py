"""Did this mail get through? One sentence for whoever asks, from what is known of the message. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from cli.render import clock_time, plural, span
from relay.appliances.facts import Health, HealthFact
from relay.queue.states import Reason, State
from relay.queue.trace import Traced, TracedRecipient


class Verdict(StrEnum):
    """Of a message, for all of its recipients."""

    YES = "yes"
    IN_PART = "in part"
    """Some have it, and some will not, or not yet."""
    NOT_YET = "not yet"
    """It waits here, and goes on by itself."""
    HELD = "held"
    """It waits here for a person's word, or for a primary that comes to its senses."""
    NO = "no"


@dataclass(frozen=True, slots=True)
class Home:
    """The appliance that a message is for, and what is known of it."""

    name: str
    health: HealthFact | None


HELD = {
    Reason.OPERATOR: "an operator held it",
    Reason.FAILED: "the primary refused it",
    Reason.BREAKER: "the primary that had just returned refused it, as it did others",
    Reason.QUARANTINED: "the primary refused it, and nobody vouches for its sender, who can't be told",
    Reason.POISON: "handing it on broke this program three times",
}
ENDED = {
    State.BOUNCED: "was refused for good, and its sender was told",
    State.EXPIRED: "waited too long, and its sender was told",
    State.DROPPED: "was dropped here, and nobody was told",
}


def verdict(message: Traced) -> Verdict:
    """The worst that is the same for all, or that it is mixed."""
    states = {one.state for one in message.recipients}
    if states == {State.DELIVERED}:
        return Verdict.YES
    if State.DELIVERED in states:
        return Verdict.IN_PART
    if State.QUEUED in states:
        return Verdict.NOT_YET
    return Verdict.HELD if State.HELD in states else Verdict.NO


def answer(message: Traced, home: Home, now: float) -> str:
    """The sentence."""
    beginning = {
        Verdict.YES: "Yes",
        Verdict.IN_PART: "In part",
        Verdict.NOT_YET: "Not yet",
        Verdict.HELD: "No, it is held here",
        Verdict.NO: "No",
    }[verdict(message)]
    groups: dict[tuple[State, Reason | None], list[TracedRecipient]] = {}
    for one in message.recipients:
        groups.setdefault((one.state, one.reason), []).append(one)
    told = [_group(message, group, home, now) for group in groups.values()]
    return f"{beginning}: {'; '.join(told)}."


def summary(messages: Sequence[Traced], more: bool) -> str:
    """Of several: how many got through, and how many not."""
    counts = Counter(verdict(one) for one in messages)
    words = {
        Verdict.YES: "got through",
        Verdict.IN_PART: "in part",
        Verdict.NOT_YET: "not yet",
        Verdict.HELD: "held here",
        Verdict.NO: "did not",
    }
    told = ", ".join(f"{counts[one]} {words[one]}" for one in Verdict if counts[one])
    which = f"Of the newest {len(messages)} messages" if more else f"Of {plural(len(messages), 'message')}"
    return f"{which}: {told}."


def _group(message: Traced, group: Sequence[TracedRecipient], home: Home, now: float) -> str:
    """What is the same for these recipients."""
    last = max(group, key=lambda one: one.at or 0.0)
    who = _who(message, group)
    said = f" ({last.reply})" if last.reply else ""
    if last.state is State.DELIVERED:
        when = "" if last.at is None else f" at {clock_time(last.at)}, {_later(last.at - message.received_at)}"
        return f"{home.name} took it for {who}{when}{said}"
    if last.state is State.HELD:
        why = HELD[last.reason] if last.reason else "it is held"
        return f"for {who} {why}{said}; 'relayctl queue release --id {message.id}' lets it go on"
    if last.state is State.QUEUED:
        return f"for {who} it waits here, since {_waits(last, home, now)}"
    return f"for {who} it {ENDED.get(last.state, str(last.state))}{said}"


def _who(message: Traced, group: Sequence[TracedRecipient]) -> str:
    if len(group) == 1:
        return group[0].address
    every = len(group) == len(message.recipients)
    return f"all {len(group)} recipients" if every else f"{len(group)} of {len(message.recipients)} recipients"


def _later(seconds: float) -> str:
    return "at once" if seconds < 1 else f"{span(seconds)} after it came"


def _waits(last: TracedRecipient, home: Home, now: float) -> str:
    health = home.health
    if health is not None and health.state is Health.DOWN:
        return f"{home.name} is down (since {clock_time(health.since)}); it goes there when that answers again"
    if last.next_attempt_at is not None and last.next_attempt_at > now:
        return f"{home.name} put it off ({last.reply}); it is tried again in {span(last.next_attempt_at - now)}"
    if last.reply:
        return f"{home.name} did not take it yet ({last.reply}); it is tried again as soon as that can be"
    return f"its turn has not come; {home.name} is {health.state if health else 'not known'}"
