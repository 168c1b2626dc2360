"""What engineers read at three in the morning."""

from __future__ import annotations

from typing import Any
from zoneinfo import ZoneInfo

from relay.tickets.people.facts import Told
from relay.tickets.people.rules import Happening
from relay.tickets.people.words import LONGEST, compose, plain
from relay.tickets.states import Condition
from tests.support.clock import moment

BERLIN = ZoneInfo("Europe/Berlin")
AT = moment("2026-11-28 20:03", "Europe/Berlin")


def told(happening: Happening = Happening.OPENED, **more: Any) -> Told:
    values: dict[str, Any] = {
        "number": 204,
        "at": AT,
        "actor": "relay",
        "reason": "acme is down since 2026-11-28T19:02:00Z: connection refused.",
        "ticket": 17,
        "before": 1,
        "priority": 1,
        "condition": Condition.MAILFLOW,
        "customer": "Acme Ltd",
        "appliance": "acme",
        "domains": ("acme.example",),
        "assignee": None,
        "acknowledge_due": AT + 3600,
        "respond_due": AT + 3600,
        **more,
    }
    return Told(happening=happening, **values)


def first_line(*things: Told) -> str:
    return compose(things, BERLIN, "c0ffee00").text.partition("\n")[0]


def test_the_first_line_says_everything() -> None:
    """Customer, what, priority, by when, in the desk's own time; then why, and the commands that look further."""
    message = compose([told()], BERLIN, "c0ffee00")
    first, _, rest = message.text.partition("\n\n")
    assert first == (
        "P1 opened: Acme Ltd, no mail flow (acme.example), Sat 28 Nov 20:03 CET. "
        "Acknowledge by Sat 28 Nov 21:03 CET, respond by Sat 28 Nov 21:03 CET. Ticket 17."
    )
    assert rest == (
        "acme is down since 2026-11-28T19:02:00Z: connection refused.\n\n"
        "relayctl ticket show 17\nrelayctl status acme\nrelayctl ticket ack 17\nrelayctl doctor acme"
    )
    assert message.title == "P1 opened Acme Ltd: no mail flow (acme.example)"
    assert (message.key, message.thread, message.pages, message.ends) == (
        "c0ffee00-17-204",
        "c0ffee00-17",
        True,
        False,
    )


def test_each_thing_has_its_words() -> None:
    """A priority that changes, a clock that runs out, somebody who took it, the end."""
    lowered = told(Happening.LOWERED, priority=3, ends=True)
    assert first_line(lowered).startswith("P1 → P3: Acme Ltd, no mail flow, the relay has taken over (acme.example)")
    assert first_line(told(Happening.WARNING_75)).startswith("P1 75 % of its time have passed: Acme Ltd")
    assert first_line(told(Happening.BREACH)).startswith("P1 target missed: Acme Ltd")
    taken = told(Happening.ACKNOWLEDGED, actor="dana", assignee="dana", acknowledge_due=None)
    assert first_line(taken).startswith("P1 acknowledged by dana: Acme Ltd")
    assert "Acknowledge by" not in first_line(taken)
    assert ". Respond by Sat 28 Nov 21:03 CET." in first_line(taken)
    over = told(Happening.RESOLVED, priority=3)
    assert (
        first_line(over) == "P3 resolved: Acme Ltd, mail flows again (acme.example), Sat 28 Nov 20:03 CET. Ticket 17."
    )
    backup = told(priority=3, condition=Condition.BACKUP, domains=())
    assert first_line(backup).startswith("P3 opened: Acme Ltd, backup of the mail server, ")


def test_many_things_are_one_message_that_begins_with_how_it_stands() -> None:
    """What waited for the morning: the first line is the end, the lines below are the way there."""
    night = [
        told(),
        told(Happening.LOWERED, priority=3, at=AT + 60),
        told(Happening.RESOLVED, priority=3, at=AT + 7200),
    ]
    message = compose(night, BERLIN, "c")
    first, story, _ = message.text.split("\n\n")
    assert first.startswith("P3 resolved: Acme Ltd, mail flows again (acme.example), Sat 28 Nov 22:03 CET, 3 things")
    assert [line.split("  ")[0] for line in story.splitlines()] == [
        "Sat 28 Nov 20:03 CET",
        "Sat 28 Nov 20:04 CET",
        "Sat 28 Nov 22:03 CET",
    ]
    assert message.title.startswith("Resolved Acme Ltd: mail flows again")


def test_how_it_stands_decides_whether_anybody_is_woken() -> None:
    """Opened and ended is no page; ended and raised again is one."""
    end, again = told(Happening.LOWERED, priority=3, ends=True), told(Happening.RAISED, before=3)
    for things, pages, ends in (([told(), end], False, True), ([told(), end, again], True, False)):
        message = compose(things, BERLIN, "c")
        assert (message.pages, message.ends) == (pages, ends)


def test_a_story_is_cut_and_many_domains_are_counted() -> None:
    """The message stays readable on a telephone; the ticket has the rest."""
    message = compose([told(reason="x" * 9000, domains=tuple(f"{n}.example" for n in range(9)))], BERLIN, "c")
    assert "0.example, 1.example, 2.example and 6 more" in message.text
    assert len(message.text) < LONGEST + 600


def test_contacts_read_no_commands() -> None:
    """What a rule tells a customer's own people has what is wrong and the ticket's number, and no jargon of ours."""
    backup = told(
        priority=3, condition=Condition.BACKUP, reason="the last backup of acme is 9 days old; it should be 7 at most"
    )
    message = plain([backup], BERLIN, "c")
    assert "backup of the mail server" in message.text
    assert "9 days old" in message.text
    assert "ticket 17" in message.text
    assert "relayctl" not in message.text
    assert "P3" not in message.text
