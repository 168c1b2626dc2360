"""The desk: one ticket for each appliance and condition, which says what the facts say, and heeds what people say."""

from __future__ import annotations

import pytest
from sqlalchemy import insert
from sqlalchemy.exc import IntegrityError

from relay.errors import DatabaseError
from relay.tickets import operators, reading, store
from relay.tickets.states import RELAY, Condition, Priority, Status
from relay.tickets.tables import tickets
from tests.integration.tickets.conftest import START, Desk

pytestmark = pytest.mark.usefixtures("engine")

P1, P2, P3 = Priority.P1, Priority.P2, Priority.P3
MINUTE, HOUR = 60.0, 3600.0


def test_an_outage_of_two_domains_is_one_ticket(office: Desk) -> None:
    """The first facts open a P1 for the appliance with both its domains."""
    ticket = office.facts(P1)
    assert ticket is not None
    assert (ticket.priority, ticket.status, ticket.opened_by) == (P1, Status.OPEN, RELAY)
    assert ticket.domains == ("acme.example", "acme.org.example")
    assert office.story(ticket.id) == ["relay opened 1"]
    assert office.rows("SELECT count(*) FROM tickets") == [(1,)]


def test_the_same_facts_twice_write_nothing(office: Desk) -> None:
    """Reconciling what the desk knows leaves every table as it was, in each state of an outage."""
    for priority in (P1, P3, P1, None):
        office.facts(priority)
        before = office.everything()
        office.now += MINUTE
        office.facts(priority)
        assert office.everything() == before


def test_a_takeover_is_opened_as_p1_and_lowered_with_its_proof(office: Desk) -> None:
    """Also where the facts ask for P3 at once, the ticket was a P1 first, and the comment carries the proof."""
    ticket = office.facts(
        P3, problem="no primary answers", reason="mail is kept and handed back", proof=("dns: ok", "loop: ok")
    )
    assert ticket is not None
    history = [line.facts() for line in office.see(reading.history, ticket.id)]
    assert [(line["event"], line["from"], line["to"]) for line in history] == [("opened", None, 1), ("priority", 1, 3)]
    assert history[0]["reason"] == "no primary answers"
    assert history[1]["reason"] == "mail is kept and handed back\ndns: ok\nloop: ok"


def test_delays_and_findings_open_as_they_are(office: Desk) -> None:
    """A delay opens as P2, a finding as P3, and each condition has a ticket of its own."""
    delayed = office.facts(P2)
    certificate = office.facts(P3, condition=Condition.CERTIFICATE, outage_id=None)
    assert delayed is not None
    assert certificate is not None
    assert office.story(delayed.id) == ["relay opened 2"]
    assert office.story(certificate.id) == ["relay opened 3"]


def test_the_return_resolves_with_the_ledger(office: Desk) -> None:
    """When the facts ask for no ticket, it is resolved, and the text is in its history; a second time nothing is."""
    office.facts(P1)
    office.now += HOUR
    ticket = office.facts(None, reason="all is handed back", proof=("accepted 12 = delivered 12",))
    assert ticket is not None
    assert (ticket.status, ticket.resolved_at) == (Status.RESOLVED, office.now)
    assert office.see(reading.history, ticket.id)[-1].reason == "all is handed back\naccepted 12 = delivered 12"
    assert office.facts(None) is None


def test_raising_clears_the_acknowledgment(office: Desk) -> None:
    """A P3 of the night that becomes a P1 in the morning has to be taken anew."""
    ticket = office.facts(P3)
    assert ticket is not None
    office.do(operators.acknowledge, ticket.id, "dana", office.now)
    raised = office.facts(P1, reason="business hours begin")
    assert raised is not None
    assert (raised.status, raised.assignee) == (Status.OPEN, None)
    office.do(operators.acknowledge, ticket.id, "noa", office.now)
    lowered = office.facts(P3)
    assert lowered is not None
    assert (lowered.status, lowered.assignee) == (Status.ACKNOWLEDGED, "noa")


def test_the_evidence_is_told_where_a_person_was_first(office: Desk) -> None:
    """Adopted at the priority that it has, and where facts come to agree with a person: what fails is named all the
    same."""
    failing = ("failing dns: no MX", "failing space: full")
    own = office.do(operators.open_ticket, "acme", Condition.MAILFLOW, P1, "dana", "the customer rang", START)
    office.facts(P1, reason="not proven", proof=failing)
    assert office.see(reading.history, own.id)[-1].reason == "not proven\nfailing dns: no MX\nfailing space: full"
    office.facts(P3, reason="proven")
    office.do(operators.set_priority, own.id, P1, "dana", "their CEO is on the phone", office.now)
    office.facts(P1, reason="proven no longer", proof=failing)
    last = office.see(reading.history, own.id)[-1]
    assert (last.event, last.reason) == ("comment", "proven no longer\nfailing dns: no MX\nfailing space: full")


def test_a_persons_open_ticket_is_adopted(office: Desk) -> None:
    """The outage finds the ticket that a person opened: its number is kept, its priority follows the facts."""
    own = office.do(
        operators.open_ticket, "acme", Condition.MAILFLOW, P3, "dana", "the customer says mail is slow", START
    )
    office.facts(None)
    assert office.see(store.get, own.id).status is Status.OPEN, "the facts know nothing of it yet"
    office.now += MINUTE
    adopted = office.facts(P1)
    assert adopted is not None
    assert (adopted.id, adopted.priority, adopted.opened_by) == (own.id, P1, "dana")
    assert office.story(own.id) == ["dana opened 3", "relay adopted", "relay priority 1"]
    office.facts(None)
    assert office.story(own.id)[-1] == "relay resolved resolved"


def test_a_persons_priority_stands_until_the_facts_change(office: Desk) -> None:
    """What a person set is not set back by the same facts, and gives way to other facts."""
    ticket = office.facts(P3)
    assert ticket is not None
    office.do(operators.set_priority, ticket.id, P1, "dana", "their CEO is on the phone", office.now)
    for _ in range(2):
        same = office.facts(P3)
        assert same is not None
        assert same.priority is P1
    assert office.facts(P1) == office.facts(P1)
    back = office.facts(P3)
    assert back is not None
    assert back.priority is P3
    assert office.story(ticket.id)[1:] == [
        "relay priority 3",
        "dana priority 1",
        "relay comment",
        "relay priority 3",
    ]


def test_a_persons_resolution_stands_until_the_facts_change(office: Desk) -> None:
    """A ticket that a person resolved in the middle of an outage stays resolved until the facts say something new."""
    ticket = office.facts(P3)
    assert ticket is not None
    office.do(operators.resolve, ticket.id, "dana", "known, they move house", office.now)
    office.now += 10 * MINUTE
    same = office.facts(P3)
    assert same is not None
    assert same.resolved
    raised = office.facts(P1)
    assert raised is not None
    assert (raised.id, raised.priority, raised.status) == (ticket.id, P1, Status.OPEN)
    assert office.see(reading.history, ticket.id)[-1].data["since"] == office.now, "not since the night before"


def test_a_persons_resolution_ends_with_the_outage(office: Desk) -> None:
    """After the trouble is over the same facts are new ones: the next outage opens a ticket again."""
    ticket = office.facts(P1)
    assert ticket is not None
    office.do(operators.resolve, ticket.id, "dana", "known", office.now)
    office.now += 2 * HOUR
    assert office.facts(None) is None
    after = office.everything()
    assert office.facts(None) is None
    assert office.everything() == after
    second = office.facts(P1, started_at=office.now - 60, outage_id=2)
    assert second is not None
    assert second.id != ticket.id


def test_a_persons_resolution_ends_when_the_condition_is_cured(office: Desk) -> None:
    """A certificate that was renewed and runs out again is new, though the facts are the same as before."""
    about = {"condition": Condition.CERTIFICATE, "outage_id": None}
    ticket = office.facts(P3, **about)
    assert ticket is not None
    office.do(operators.resolve, ticket.id, "dana", "they know", office.now)
    office.now += 2 * HOUR
    office.facts(None, **about)
    office.now += 2 * HOUR
    second = office.facts(P3, **about, started_at=office.now)
    assert second is not None
    assert second.id != ticket.id


def test_another_outage_is_new_facts_even_if_nobody_saw_the_first_end(office: Desk) -> None:
    """A resolution by a person is about one outage, not about the next with the same priority."""
    ticket = office.facts(P1)
    assert ticket is not None
    office.do(operators.resolve, ticket.id, "dana", "known", office.now)
    office.now += 20 * MINUTE
    reopened = office.facts(P1, outage_id=2, started_at=office.now - 60)
    assert reopened is not None
    assert (reopened.id, reopened.status, reopened.outage_id) == (ticket.id, Status.OPEN, 2)


def test_a_new_outage_within_the_hour_reopens_the_ticket(office: Desk) -> None:
    """59 minutes after the resolution the ticket is reopened as a P1 that nobody has taken; clocks start anew."""
    ticket = office.facts(P3)
    assert ticket is not None
    office.do(operators.acknowledge, ticket.id, "dana", office.now)
    office.facts(None)
    office.now += 60 * MINUTE
    again = office.facts(P3, outage_id=2, started_at=office.now - 60)
    assert again is not None
    assert (again.id, again.status, again.assignee, again.resolved_at) == (ticket.id, Status.OPEN, None, None)
    assert office.story(ticket.id)[-3:] == ["relay resolved resolved", "relay reopened 1", "relay priority 3"]
    assert office.see(reading.history, ticket.id)[-2].data["since"] == office.now - 60


def test_a_new_outage_after_the_hour_opens_another_ticket(office: Desk) -> None:
    """An outage that begins an hour after the resolution has a ticket of its own."""
    first = office.facts(P1)
    office.facts(None)
    office.now += 61 * MINUTE
    second = office.facts(P1, outage_id=2, started_at=office.now - 60)
    assert first is not None
    assert second is not None
    assert second.id != first.id


def test_a_flapping_appliance_keeps_its_ticket(office: Desk) -> None:
    """A ticket that is to be kept open is not resolved before that moment, whatever the facts say."""
    ticket = office.facts(P1)
    quiet = office.now + 30 * MINUTE
    kept = office.facts(None, keep_open_until=quiet)
    assert kept == ticket
    office.now = quiet
    resolved = office.facts(None, keep_open_until=quiet)
    assert resolved is not None
    assert resolved.resolved


def test_domains_follow_the_appliance(office: Desk) -> None:
    """A domain that is added during an outage is added to the ticket, and the history says so."""
    ticket = office.facts(P1, domains=("acme.example",))
    assert ticket is not None
    more = office.facts(P1)
    assert more is not None
    assert more.domains == ("acme.example", "acme.org.example")
    assert office.story(ticket.id)[-1] == "relay domains acme.example, acme.org.example"


def test_the_database_itself_refuses_a_second_open_ticket(office: Desk) -> None:
    """One open ticket for each appliance and condition is an index, not a habit."""
    ticket = office.facts(P1)
    assert ticket is not None
    with pytest.raises(IntegrityError), office.db.write() as connection:
        row = connection.execute(tickets.select()).mappings().one()
        connection.execute(insert(tickets).values({**row, "id": 99}))
    with office.db.write() as connection:
        connection.execute(insert(tickets).values({**row, "id": 99, "status": "resolved"}))


@pytest.mark.parametrize("statement", ["UPDATE ticket_events SET reason = ''", "DELETE FROM ticket_events"])
def test_history_is_only_appended_to(office: Desk, statement: str) -> None:
    """Changing or deleting a line of the history is refused by the database."""
    office.facts(P1)
    before = office.everything()
    with pytest.raises((DatabaseError, IntegrityError)), office.db.write() as connection:
        connection.exec_driver_sql(statement)
    assert office.everything() == before


def test_a_transaction_that_fails_leaves_no_trace(office: Desk) -> None:
    """State, history row and message are one transaction: all of them or none."""
    before = office.everything()
    with pytest.raises(RuntimeError), office.db.write() as connection:
        operators.open_ticket(connection, "acme", Condition.MAILFLOW, P1, "dana", "down", START)
        raise RuntimeError
    assert office.everything() == before


def test_every_line_of_the_history_is_in_the_outbox(office: Desk) -> None:
    """Each thing that happens becomes exactly one message, in the same order."""
    office.facts(P3)
    office.facts(P1)
    office.facts(None)
    events = office.rows("SELECT id, event FROM ticket_events ORDER BY id")
    assert office.rows("SELECT event_id, kind FROM outbox ORDER BY id") == events
    assert len(events) == 4
