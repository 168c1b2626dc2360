"""Did this mail get through? The sentence, for every end that a message can have."""

from __future__ import annotations

import pytest

from cli.verdict import ENDED, HELD, Home, Verdict, answer, summary, verdict
from relay.appliances.facts import Health, HealthFact
from relay.queue.states import Reason, State
from relay.queue.trace import Traced, TracedRecipient

NOW = 1_800_000_000.0
UP = Home("acme", HealthFact(Health.UP, "", NOW - 9000))
DOWN = Home("acme", HealthFact(Health.DOWN, "connection refused", NOW - 7200))


def recipient(
    name: str, state: State, reply: str = "", reason: Reason | None = None, again: float | None = None
) -> TracedRecipient:
    at = NOW - 60 if reply else None
    return TracedRecipient(f"{name}@acme.example", "acme.example", state, reason, int(bool(reply)), at, reply, again)


def message(*recipients: TracedRecipient) -> Traced:
    return Traced(7, 1, "a@b.example", "<1@b>", 99, NOW - 300, None, "192.0.2.1", "b.example", recipients)


def test_what_was_delivered_got_through() -> None:
    """When, and what the primary said."""
    one = message(recipient("ann", State.DELIVERED, "250 2.0.0 queued as 4711"))
    assert verdict(one) is Verdict.YES
    assert answer(one, UP, NOW) == (
        "Yes: acme took it for ann@acme.example at 2027-01-15 07:59:00Z, 4m after it came (250 2.0.0 queued as 4711)."
    )
    two = message(*(recipient(name, State.DELIVERED, "250 Ok") for name in ("ann", "bob")))
    assert "for all 2 recipients at" in answer(two, UP, NOW)


@pytest.mark.parametrize(
    ("home", "waiting", "words"),
    [
        (DOWN, recipient("ann", State.QUEUED), "acme is down (since 2027-01-15 06:00:00Z); it goes there when that"),
        (UP, recipient("ann", State.QUEUED), "its turn has not come; acme is up"),
        (Home("acme", None), recipient("ann", State.QUEUED), "its turn has not come; acme is not known"),
        (
            UP,
            recipient("ann", State.QUEUED, "451 4.7.1 greylisted", again=NOW + 240),
            "acme put it off (451 4.7.1 greylisted); it is tried again in 4m",
        ),
        (UP, recipient("ann", State.QUEUED, "451 4.7.1 greylisted", again=NOW - 1), "it is tried again as soon as"),
    ],
)
def test_what_waits_says_what_for(home: Home, waiting: TracedRecipient, words: str) -> None:
    """The primary, its retry time, or its turn."""
    one = message(waiting)
    assert verdict(one) is Verdict.NOT_YET
    assert answer(one, home, NOW).startswith("Not yet: for ann@acme.example it waits here, since ")
    assert words in answer(one, home, NOW)


@pytest.mark.parametrize("reason", Reason)
def test_what_is_held_says_why_and_how_it_goes_on(reason: Reason) -> None:
    """Every reason has its words."""
    one = message(recipient("ann", State.HELD, "550 5.1.1 no such user", reason))
    assert verdict(one) is Verdict.HELD
    assert answer(one, UP, NOW) == (
        f"No, it is held here: for ann@acme.example {HELD[reason]} (550 5.1.1 no such user); "
        "'relayctl queue release --id 7' lets it go on."
    )


@pytest.mark.parametrize("state", [State.BOUNCED, State.EXPIRED, State.DROPPED])
def test_what_ended_otherwise_did_not_get_through(state: State) -> None:
    """And whether its sender knows."""
    one = message(recipient("ann", state, "550 5.7.1 no"))
    assert verdict(one) is Verdict.NO
    assert answer(one, UP, NOW) == f"No: for ann@acme.example it {ENDED[state]} (550 5.7.1 no)."


def test_a_message_for_several_may_get_through_in_part() -> None:
    """Each end is named with how many it is about."""
    one = message(
        recipient("ann", State.DELIVERED, "250 Ok"),
        recipient("bob", State.DELIVERED, "250 Ok"),
        recipient("eve", State.HELD, "550 no", Reason.FAILED),
    )
    assert verdict(one) is Verdict.IN_PART
    said = answer(one, UP, NOW)
    assert said.startswith("In part: acme took it for 2 of 3 recipients at ")
    assert "; for eve@acme.example the primary refused it (550 no); 'relayctl" in said


def test_of_several_messages_the_ends_are_counted() -> None:
    """In the order of how good they are."""
    got, waits = message(recipient("ann", State.DELIVERED, "250 Ok")), message(recipient("bob", State.QUEUED))
    assert summary([waits, got, got], more=False) == "Of 3 messages: 2 got through, 1 not yet."
    assert summary([waits, got], more=True) == "Of the newest 2 messages: 1 got through, 1 not yet."
