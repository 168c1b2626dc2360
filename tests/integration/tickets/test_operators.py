"""What people do with tickets, and what scripts read of them."""

from __future__ import annotations

from typing import Any

import pytest

from relay.appliances import store as appliances
from relay.errors import NotFound, Refused
from relay.hours import Calendar
from relay.tickets import operators, reading, store
from relay.tickets.plan import Terms
from relay.tickets.states import RELAY, Condition, Priority, Status
from tests.integration.tickets.conftest import START, Desk

pytestmark = pytest.mark.usefixtures("engine")

P1, P2, P3 = Priority.P1, Priority.P2, Priority.P3
MINUTE, HOUR = 60.0, 3600.0
OFFICE = Terms(Calendar.parse("Mon-Fri 09:00-18:00"))


@pytest.fixture
def ticket(office: Desk) -> int:
    opened = office.facts(P1)
    assert opened is not None
    return opened.id


def test_a_ticket_goes_from_open_to_resolved(office: Desk, ticket: int) -> None:
    """Acknowledged sets the assignee, the response is visible to the customer, the resolution has its time."""
    assert office.do(operators.acknowledge, ticket, "dana", START + 60).assignee == "dana"
    assert office.do(operators.respond, ticket, "dana", "we are on it", START + 120).status is Status.RESPONDED
    resolved = office.do(operators.resolve, ticket, "dana", "disk replaced", START + 180)
    assert (resolved.status, resolved.resolved_at) == (Status.RESOLVED, START + 180)
    lines = office.see(reading.history, ticket)
    assert [(line.event, line.visible) for line in lines[1:]] == [
        ("acknowledged", False),
        ("responded", True),
        ("resolved", True),
    ]
    assert [line.facts()["from"] for line in lines[1:]] == ["open", "acknowledged", "responded"]


def test_saying_it_twice_changes_nothing(office: Desk, ticket: int) -> None:
    """The same verb by the same person is fine and leaves no second line."""
    verbs: list[tuple[Any, tuple[Any, ...]]] = [
        (operators.acknowledge, ("dana", START)),
        (operators.wait, ("dana", "for their admin", START)),
        (operators.resume, ("dana", "", START)),
        (operators.set_priority, (P2, "dana", "not so bad", START)),
        (operators.resolve, ("dana", "done", START)),
    ]
    for verb, arguments in verbs:
        office.do(verb, ticket, *arguments)
        before = office.everything()
        office.do(verb, ticket, *arguments)
        assert office.everything() == before


def test_somebody_else_takes_over(office: Desk, ticket: int) -> None:
    """Acknowledging what another person has taken hands it over, and a responded ticket stays responded."""
    office.do(operators.acknowledge, ticket, "dana", START)
    office.do(operators.respond, ticket, "dana", "we are on it", START)
    taken = office.do(operators.acknowledge, ticket, "noa", START)
    assert (taken.assignee, taken.status) == ("noa", Status.RESPONDED)
    assert office.story(ticket)[-1] == "noa assigned noa"


def test_who_answers_has_taken_it(office: Desk, ticket: int) -> None:
    """A response to an open ticket acknowledges it too; a second response is a comment for the customer."""
    answered = office.do(operators.respond, ticket, "dana", "we are on it", START)
    assert (answered.status, answered.assignee) == (Status.RESPONDED, "dana")
    office.do(operators.comment, ticket, "dana", "nearly done", START, visible=True)
    assert office.story(ticket) == [
        "relay opened 1",
        "dana acknowledged acknowledged",
        "dana responded responded",
        "dana comment",
    ]


def test_a_comment_for_the_customer_is_a_response(office: Desk, ticket: int) -> None:
    """What a person writes for the customer to see counts as one; a note and the relay's words don't."""
    office.do(operators.comment, ticket, "dana", "odd, this one", START)
    office.do(operators.comment, ticket, RELAY, "12 messages wait", START, visible=True)
    assert office.see(store.get, ticket).status is Status.OPEN
    office.do(operators.comment, ticket, "dana", "we are on it", START, visible=True)
    assert office.see(store.get, ticket).status is Status.RESPONDED


@pytest.mark.parametrize(
    ("verb", "arguments"),
    [
        (operators.acknowledge, ("dana", START)),
        (operators.respond, ("dana", "hello", START)),
        (operators.wait, ("dana", "", START)),
        (operators.resume, ("dana", "", START)),
        (operators.set_priority, (P2, "dana", "", START)),
    ],
)
def test_a_resolved_ticket_is_left_alone(office: Desk, ticket: int, verb: Any, arguments: tuple[Any, ...]) -> None:
    """What makes no sense on a resolved ticket is refused in one line, and writes nothing."""
    office.facts(None)
    before = office.everything()
    with pytest.raises(Refused, match=f"ticket {ticket} is resolved"):
        office.do(verb, ticket, *arguments)
    assert office.everything() == before


def test_a_resolved_ticket_can_still_be_commented_on(office: Desk, ticket: int) -> None:
    """The story of what went wrong may be told afterwards."""
    office.facts(None)
    office.do(operators.comment, ticket, "dana", "it was the switch", START, visible=True)
    assert office.story(ticket)[-1] == "dana comment"
    assert office.see(store.get, ticket).resolved


def test_what_does_not_exist_is_not_found(office: Desk) -> None:
    """A number or an appliance that isn't there is named."""
    with pytest.raises(NotFound, match="no ticket 7"):
        office.do(operators.acknowledge, 7, "dana", START)
    with pytest.raises(NotFound, match="no ticket 7"):
        office.see(reading.history, 7)
    with pytest.raises(NotFound, match="nowhere"):
        office.do(operators.open_ticket, "nowhere", Condition.MAILFLOW, P1, "dana", "", START)


@pytest.mark.parametrize("actor", ["relay", "", " "])
def test_nobody_speaks_as_the_relay(office: Desk, ticket: int, actor: str) -> None:
    """A person needs a name, and not the relay's: what the relay does stops no clock."""
    with pytest.raises(Refused, match="no person's name"):
        office.do(operators.acknowledge, ticket, actor, START)


def test_a_second_ticket_for_the_same_trouble_is_refused(office: Desk, ticket: int) -> None:
    """Opening by hand what is open already names the ticket; another appliance or condition is another matter."""
    with pytest.raises(Refused, match=f"ticket {ticket} is open for acme"):
        office.do(operators.open_ticket, "acme", Condition.MAILFLOW, P1, "dana", "down", START)
    other = office.do(operators.open_ticket, "acme", Condition.BACKUP, P3, "dana", "no backup", START)
    assert other.domains == ("acme.example", "acme.org.example")
    office.do(operators.open_ticket, "gold", Condition.MAILFLOW, P1, "dana", "down", START)


def test_waiting_moves_what_is_due(office: Desk) -> None:
    """A P3 that waits for the customer has no due time until it is resumed, and then a later one."""
    nine = START + 9 * HOUR
    ticket = office.do(operators.open_ticket, "acme", Condition.BACKUP, P3, "dana", "no backup", nine).id
    office.do(operators.wait, ticket, "dana", "for their admin", nine + HOUR)
    assert office.see(reading.get, ticket, OFFICE, nine + 2 * HOUR).facts()["respond_due"] is None
    office.do(operators.resume, ticket, "dana", "", nine + 2 * HOUR)
    assert office.see(reading.get, ticket, OFFICE, nine + 2 * HOUR).facts()["respond_due"] == "2026-11-23T18:00:00Z"


def test_scripts_find_the_keys_they_rely_on(office: Desk, ticket: int) -> None:
    """A ticket and its history have the promised keys, times in UTC, priorities as numbers."""
    office.do(operators.acknowledge, ticket, "dana", START + MINUTE)
    (facts,) = [found.facts() for found in office.see(reading.listing, OFFICE, START)]
    assert facts == {
        "id": ticket,
        "appliance": "acme",
        "customer": "Acme Ltd",
        "domains": ["acme.example", "acme.org.example"],
        "condition": "mailflow",
        "priority": 1,
        "status": "acknowledged",
        "waiting": False,
        "assignee": "dana",
        "opened_at": "2026-11-23T00:00:00Z",
        "acknowledge_due": "2026-11-23T00:59:00Z",
        "respond_due": "2026-11-23T00:59:00Z",
        "resolved_at": None,
        "external_ref": None,
        "plan": "gold",
    }
    assert office.see(reading.history, ticket)[1].facts() == {
        "at": "2026-11-23T00:01:00Z",
        "actor": "dana",
        "event": "acknowledged",
        "from": "open",
        "to": "acknowledged",
        "reason": "",
    }


def test_lists_are_in_the_order_of_urgency(office: Desk, ticket: int) -> None:
    """Open tickets come most urgent first; all of them include the resolved; status shows the most urgent each."""
    backup = office.do(operators.open_ticket, "acme", Condition.BACKUP, P3, "dana", "no backup", START)
    gold = office.do(operators.open_ticket, "gold", Condition.MAILFLOW, P2, "dana", "slow", START)

    def numbers(**options: bool) -> list[int]:
        return [found.ticket.id for found in office.see(reading.listing, OFFICE, START, **options)]

    assert numbers() == [ticket, gold.id, backup.id]
    assert {key: brief.id for key, brief in office.see(reading.most_urgent).items()} == {
        office.acme.id: ticket,
        office.gold.id: gold.id,
    }
    office.facts(None)
    assert numbers() == [gold.id, backup.id]
    assert numbers(everything=True) == [ticket, gold.id, backup.id]
    assert office.see(reading.most_urgent)[office.acme.id].facts() == {"id": backup.id, "priority": 3, "status": "open"}


def test_a_ticket_outlives_its_appliance(office: Desk) -> None:
    """Removing an appliance leaves its tickets with their names."""
    ticket = office.do(operators.open_ticket, "gold", Condition.MAILFLOW, P2, "dana", "slow", START)
    office.do(appliances.remove_domain, "gold.example")
    office.do(appliances.remove_appliance, "gold")
    left = office.see(store.get, ticket.id)
    assert (left.appliance_id, left.appliance, left.customer) == (None, "gold", "Gold Ltd")
    assert office.see(reading.most_urgent) == {}


def test_a_person_opens_a_resolved_ticket_again(office: Desk) -> None:
    """With its priority, new clocks, and nobody's; it stays until a person resolves it: the relay sees no trouble."""
    ticket = office.facts(P1)
    assert ticket is not None
    office.do(operators.acknowledge, ticket.id, "dana", office.now)
    office.facts(None)
    office.now += 7200
    again = office.do(operators.reopen, ticket.id, "erin", "it isn't", office.now)
    assert (str(again.status), again.assignee, again.resolved_at) == ("open", None, None)
    found = office.see(reading.get, ticket.id, OFFICE, office.now)
    assert [cycle.started_at for cycle in found.cycles][-1] == office.now
    office.facts(None)
    assert not office.see(store.get, ticket.id).resolved
    before = office.everything()
    office.do(operators.reopen, ticket.id, "erin", "it isn't", office.now)
    assert office.everything() == before, "said twice it changes nothing"


def test_a_ticket_isnt_opened_again_beside_another(office: Desk) -> None:
    """One open ticket for each appliance and condition; nor does the relay say this as a person."""
    first = office.facts(P1)
    assert first is not None
    office.facts(None)
    office.now += 7200
    second = office.facts(P1, outage_id=2, started_at=office.now)
    assert second is not None
    assert second.id != first.id
    with pytest.raises(Refused, match=f"ticket {second.id} is open for acme"):
        office.do(operators.reopen, first.id, "erin", "", office.now)
    with pytest.raises(Refused, match="no person's name"):
        office.do(operators.reopen, first.id, "relay", "", office.now)
