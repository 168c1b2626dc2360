"""What a customer's own contacts read of an outage: plain words, in their own time."""

from __future__ import annotations

import re
from typing import Any

import pytest

from relay.appliances.facts import Continuity, ContinuityFact, Outage
from relay.continuity.letters import stages
from relay.tickets.people.letters import Letter, Stage, compose
from tests.support.clock import moment

AT = moment("2026-11-28 20:03", "Europe/Berlin")
JARGON = re.compile(r"\bP[123]\b|relay|MX|SMTP|queue|drain|primary|appliance|standby|failover|ledger|recipient|UTC")


def letter(stage: Stage, **more: Any) -> Letter:
    values = {"reason": "connection refused", "began_at": AT, **more}
    return Letter(stage, 5, 17, "acme", ("acme.example", "acme.org.example"), "Europe/Berlin", **values)


END = {"returned_at": AT + 7200, "kept": 60, "handed_over": 57, "still_kept": 2, "gone": 1}


@pytest.mark.parametrize("one", [letter(Stage.START), letter(Stage.TAKEOVER), letter(Stage.END, **END)])
def test_it_says_what_since_when_and_what_to_do_without_jargon(one: Letter) -> None:
    """Whoever reads it needs to know nothing of mail servers, and finds the ticket's number."""
    message = compose(one, "c0ffee00")
    assert not JARGON.search(message.title + message.text), message.text
    assert "acme.example, acme.org.example" in message.text
    assert "Saturday, 28 November 2026, 20:03 (Europe/Berlin)" in message.text
    assert "You need to do nothing" in message.text
    assert "ticket 17" in message.text
    assert message.title.endswith("(ticket 17)")


def test_the_start_says_that_nothing_is_lost() -> None:
    """Mail is kept safe and comes later; and why it doesn't come now."""
    text = compose(letter(Stage.START), "c").text
    assert "It could be reached, but its mail service was not running." in text
    assert "Nothing is lost" in text


def test_the_end_has_the_times_and_the_balance() -> None:
    """From, to, how many were kept and handed over, and what is still kept, which somebody looks after."""
    message = compose(letter(Stage.END, **END), "c")
    assert "20:03 (Europe/Berlin) to Saturday, 28 November 2026, 22:03 (Europe/Berlin)" in message.text
    assert "60 messages for you were kept in that time; 57 were handed over to your server, 2 are still kept" in (
        message.text
    )
    assert "What is still kept your server hasn't taken yet" in message.text
    assert message.title == "Your mail server is back (ticket 17)"
    clean = compose(letter(Stage.END, returned_at=AT + 60, kept=1, handed_over=1), "c")
    assert "1 message for you was kept in that time; 1 was handed over" in clean.text
    assert "still kept" not in clean.text
    assert "Nobody sent you any mail" in compose(letter(Stage.END, returned_at=AT + 60), "c").text


def outage(**more: Any) -> Outage:
    values: dict[str, Any] = dict.fromkeys(("taken_over_at", "returned_at", "drained_at", "ended_at"))
    return Outage(5, 1, AT, **{**values, **more}, reason="connection refused")


def fact(state: Continuity, priority: int | None, ready: bool = True) -> ContinuityFact:
    return ContinuityFact(state, AT, ready, priority=priority)


@pytest.mark.parametrize(
    ("after", "of", "expected"),
    [
        (fact(Continuity.STANDBY, None), outage(), ()),  # before ticket_after, or in a maintenance window
        (fact(Continuity.ACTIVE, None), outage(), ()),
        (fact(Continuity.STANDBY, 1), outage(), (Stage.START,)),
        (fact(Continuity.ACTIVE, 3), outage(), (Stage.START, Stage.TAKEOVER)),
        (fact(Continuity.ACTIVE, 1, ready=False), outage(), (Stage.START,)),
        (fact(Continuity.DRAINING, 3), outage(returned_at=AT + 60), ()),
        (fact(Continuity.STANDBY, None), outage(returned_at=AT + 60, ended_at=AT + 90), (Stage.END,)),
    ],
)
def test_when_each_is_due(after: ContinuityFact, of: Outage, expected: tuple[Stage, ...]) -> None:
    """With the ticket, with a takeover that is proven, with the outage's end."""
    assert stages(after, of) == expected
