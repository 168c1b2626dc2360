"""Who is told of what: one table of rules and happenings, and the hours."""

from __future__ import annotations

from typing import Any, get_args

import pytest

from relay import settings
from relay.hours import Calendar
from relay.tickets.people.rules import Happening, News, Rule, ends_for, happening, tellings
from relay.tickets.states import Condition, Event, Priority
from tests.support.clock import moment

P1, P2, P3 = Priority.P1, Priority.P2, Priority.P3
NIGHT = moment("2026-11-28 20:00")  # a Saturday
MONDAY = moment("2026-11-30 09:00")
OFFICE = Calendar.parse("Mon-Fri 09:00-18:00")
EVERYTHING = frozenset(Happening)


def rule(name: str = "oncall", *priorities: Priority, **more: Any) -> Rule:
    values = {"targets": (name,), "happenings": EVERYTHING, **more}
    return Rule(name, priorities=frozenset(priorities or Priority), **values)


def news(what: Happening, priority: Priority = P1, before: Priority | None = None, **more: Any) -> News:
    values = {
        "at": NIGHT,
        "condition": Condition.MAILFLOW,
        "customer": "Acme Ltd",
        "appliance": "acme",
        "domains": ("acme.example",),
        **more,
    }
    return News(what, before=before or priority, priority=priority, **values)


def who(rules: list[Rule], happened: News, *told: str) -> list[str]:
    return [telling.target for telling in tellings(rules, happened, set(told))]


OPENED, RAISED, LOWERED = Happening.OPENED, Happening.RAISED, Happening.LOWERED
RESOLVED, BREACH, COMMENT = Happening.RESOLVED, Happening.BREACH, Happening.COMMENT


@pytest.mark.parametrize(
    ("happened", "told", "expected"),
    [
        (news(OPENED, P1), (), True),
        (news(OPENED, P3), (), False),
        (news(LOWERED, P3, P1), ("oncall",), True),  # they may sleep on
        (news(LOWERED, P3, P2), (), False),
        (news(RAISED, P1, P3), (), True),
        (news(RAISED, P2, P3), (), False),
        (news(COMMENT, P3), ("oncall",), False),  # of a P3 they want to hear nothing
        (news(RESOLVED, P3), ("oncall",), True),  # what they were told of is over
        (news(RESOLVED, P3), (), False),
        (news(RESOLVED, P1), (), True),
        (news(BREACH, P1), (), True),
        (news(BREACH, P3), (), False),
    ],
)
def test_who_wants_p1_hears_of_it_and_of_its_end(happened: News, told: tuple[str, ...], expected: bool) -> None:
    """Opened, raised, lowered from P1, resolved after that; nothing else of a ticket that is a P3."""
    assert who([rule("oncall", P1)], happened, *told) == (["oncall"] if expected else [])


@pytest.mark.parametrize(
    ("scope", "expected"),
    [
        ({}, True),
        ({"customers": frozenset({"Acme Ltd"})}, True),
        ({"customers": frozenset({"Other"})}, False),
        ({"appliances": frozenset({"acme"})}, True),
        ({"appliances": frozenset({"gold"})}, False),
        ({"domains": frozenset({"acme.example", "x.example"})}, True),
        ({"domains": frozenset({"x.example"})}, False),
        ({"conditions": frozenset({Condition.MAILFLOW})}, True),
        ({"conditions": frozenset({Condition.BACKUP})}, False),
        ({"customers": frozenset({"Acme Ltd"}), "appliances": frozenset({"gold"})}, False),
        ({"happenings": frozenset({RESOLVED})}, False),
    ],
)
def test_a_rule_is_about_what_it_names(scope: dict[str, Any], expected: bool) -> None:
    """Customers, appliances, domains, conditions and events each narrow it; none of them means all."""
    assert bool(who([rule(**scope)], news(OPENED))) is expected


def test_outside_of_the_hours_it_waits_until_they_begin() -> None:
    """Of a Saturday's P3 the desk hears on Monday at nine, of its P1 at once; hours that never begin tell nobody."""
    office, always = rule("desk", P3, hours=OFFICE), rule("oncall", P1)
    (telling,) = tellings([office, always], news(OPENED, P3), ())
    assert (telling.target, telling.due_at) == ("desk", MONDAY)
    (telling,) = tellings([office, always], news(OPENED, P1), ())
    assert (telling.target, telling.due_at) == ("oncall", NIGHT)
    assert tellings([rule(hours=Calendar.parse("none"))], news(OPENED), ()) == ()


def test_two_rules_for_the_same_person_tell_once_and_by_the_earlier() -> None:
    """Who is in the rule for nights and in that for the office gets one message, at once."""
    found = tellings([rule("a", hours=OFFICE, targets=("dana",)), rule("b", targets=("dana",))], news(OPENED), ())
    assert [(one.target, one.due_at) for one in found] == [("dana", NIGHT)]


def test_contacts_hear_by_rule_of_all_but_mail_flow() -> None:
    """Of outages they are written to by themselves; of a backup that is old only where a rule says so."""
    theirs = rule("customers", targets=(), contacts=True)
    backup = news(OPENED, P3, condition=Condition.BACKUP, contacts=("ops@elsewhere.example",))
    assert who([theirs], backup) == ["contact ops@elsewhere.example"]
    assert who([theirs], news(OPENED, contacts=("ops@elsewhere.example",))) == []


def test_an_incident_ends_where_it_is_no_concern_of_theirs_any_more() -> None:
    """Resolved, or lowered below all that they are told of: so much is closed in a pager."""
    rules = [rule("oncall", P1, P2), rule("desk")]
    assert ends_for(rules, news(RESOLVED, P3), "oncall")
    assert ends_for(rules, news(LOWERED, P3, P1), "oncall")
    assert not ends_for(rules, news(LOWERED, P2, P1), "oncall")
    assert not ends_for(rules, news(LOWERED, P3, P1), "desk")
    assert not ends_for(rules, news(OPENED, P3), "oncall")


@pytest.mark.parametrize(
    ("event", "before", "after", "data", "expected"),
    [
        (Event.OPENED, None, 1, {}, OPENED),
        (Event.REOPENED, 3, 1, {}, OPENED),
        (Event.PRIORITY, 1, 3, {}, LOWERED),
        (Event.PRIORITY, 3, 1, {}, RAISED),
        (Event.WARNING, None, None, {"percent": 50}, Happening.WARNING_50),
        (Event.WARNING, None, None, {"percent": 75}, Happening.WARNING_75),
        (Event.BREACH, None, None, {"percent": 100}, BREACH),
        (Event.COMMENT, None, None, {}, COMMENT),
        (Event.COMMENT, None, None, {"about": "drained"}, Happening.DRAINED),
        (Event.COMMENT, None, None, {"people": True}, None),
        (Event.ASSIGNED, None, None, {}, Happening.ACKNOWLEDGED),
        (Event.DOMAINS, None, None, {}, None),
        (Event.ADOPTED, None, None, {}, None),
    ],
)
def test_what_a_line_of_the_history_is_to_people(
    event: Event, before: int | None, after: int | None, data: dict[str, Any], expected: Happening | None
) -> None:
    """That somebody couldn't be told is told to nobody: it would go round for ever."""
    assert happening(event, before, after, data) is expected


def test_the_settings_know_the_same_words() -> None:
    """What relay.toml may ask for is what rules understand."""
    assert set(get_args(settings.Happening)) == {str(one) for one in Happening}
