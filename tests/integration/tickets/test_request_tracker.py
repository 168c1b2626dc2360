"""A real Request Tracker 5: our tickets are in its queue, whatever happens, and its people stop our clocks."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any, Self

import pytest

from relay.errors import HelpdeskDown
from relay.settings import Helpdesk as Settings
from relay.tickets import contact, operators, reading, store, telling
from relay.tickets.hearing import Hearing
from relay.tickets.helpdesks.rt.tracker import RequestTracker as Tracker
from relay.tickets.outbox import Outbox
from relay.tickets.states import Priority
from relay.tickets.ticket import Ticket
from tests.integration.tickets.conftest import Desk
from tests.integration.tickets.posting import ALWAYS, Posting
from tests.support.rt.tracker import RequestTracker, request_tracker
from tests.support.waiting import eventually

pytestmark = pytest.mark.real

P1, P2, P3 = Priority.P1, Priority.P2, Priority.P3
LONG_ENOUGH = 700.0


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RequestTracker]:
    with request_tracker(tmp_path_factory.mktemp("tracker")) as rt:
        yield rt


class Wire(Posting):
    """The relay's side: an outbox and an ear, a step at a time."""

    def __init__(self, office: Desk, rt: RequestTracker, **more: Any) -> None:
        self.office = office
        self.tracker = Tracker(Settings(**{**rt.settings, **more}), office.db, office.clock)
        super().__init__(Outbox(office.db, office.clock, self.tracker, ALWAYS))
        self.hearing = Hearing(office.db, office.clock, self.tracker, 1.0)

    async def __aenter__(self) -> Self:
        await self.hearing.listen()  # from here on
        return self

    async def tell(self) -> int:
        """All that is due; the number of the last ticket in RT."""
        await self.all()
        assert self.office.see(telling.waiting).messages == 0, self.office.see(telling.waiting)
        reference = self.office.rows("SELECT external_ref FROM tickets ORDER BY id DESC LIMIT 1")[0][0]
        return int(reference.removeprefix("RT#"))

    async def listen(self) -> list[str]:
        return [f"{word.actor} {word.act}" for word in await self.hearing.listen()]

    def ticket(self, number: int) -> Ticket:
        found: Ticket = self.office.see(store.get, number)
        return found


async def test_a_ticket_goes_its_way_in_rt(office: Desk, server: RequestTracker) -> None:
    """Created as P1, lowered with its evidence, commented on, resolved and opened again: one ticket, in order."""
    async with Wire(office, server) as wire:
        ours = office.facts(P1)
        assert ours is not None
        number = await wire.tell()
        shown = server.ticket(number)
        assert (shown["Priority"], shown["Status"], shown["Owner"]) == ("90", "new", "Nobody")
        assert shown["Subject"] == "[acme] P1 mailflow opened"
        assert shown["Fields"]["RelayIncident"].startswith(f"{ours.id}@")
        assert shown["Due"] == "2026-11-23T00:59:00Z"
        office.facts(P3, proof=("dns: fine",))
        office.do(operators.comment, ours.id, "relay", "1,000 of 5,000 handed back", office.now)
        office.do(operators.acknowledge, ours.id, "dana", office.now)
        assert await wire.tell() == number
        shown = server.ticket(number)
        assert (shown["Priority"], shown["Status"], shown["Owner"]) == ("30", "open", "dana")
        office.do(operators.wait, ours.id, "dana", "for their key", office.now)
        await wire.tell()
        assert (server.ticket(number)["Status"], server.ticket(number)["Due"]) == ("stalled", "1970-01-01T00:00:00Z")
        office.do(operators.resume, ours.id, "dana", "", office.now)
        office.facts(None)
        await wire.tell()
        assert server.ticket(number)["Status"] == "resolved"
        office.now += 600
        office.facts(P1, outage_id=2)
        assert await wire.tell() == number
        shown = server.ticket(number)
        assert (shown["Priority"], shown["Status"], shown["Owner"]) == ("90", "new", "dana")
        assert server.comments(number) == [
            "P1 → P3",
            "comment",
            "acknowledged by dana",
            "waiting by dana",
            "resumed by dana",
            "resolved",
            "P1 mailflow reopened",
        ]
        assert await wire.listen() == [], "what we did ourselves is nobody's word"


async def test_a_lost_reply_doubles_nothing(office: Desk, server: RequestTracker) -> None:
    """A node that dies after each call, before it has written that down, finds what is there already."""
    async with Wire(office, server) as wire:
        office.facts(P1)
        office.facts(P3)
        for _ in range(4):
            (message,) = office.see(telling.next_messages, office.now, ALWAYS, 1)
            first = await wire.tracker.deliver(message)
            again = Tracker(Settings(**server.settings), office.db, office.clock)
            assert await again.deliver(message) == first
            await again.close()
            await wire.once()
            if not office.see(telling.waiting).messages:
                break
        number = await wire.tell()
        assert server.comments(number) == ["P1 → P3"]
        incident = server.ticket(number)["Fields"]["RelayIncident"]
        assert [one["id"] for one in server.tickets() if one["Fields"].get("RelayIncident") == incident] == [number]


async def test_what_engineers_do_in_rt_drives_our_clocks(office: Desk, server: RequestTracker) -> None:
    """Taken, answered, given away, commented, stalled, raised and resolved there, each becomes that person's word here,
    once, and isn't told back."""
    async with Wire(office, server) as wire:
        ours = office.facts(P1)
        assert ours is not None
        number = await wire.tell()
        dana, erin = server.person("dana"), server.person("erin")
        dana.take(number)
        dana.reply(number, "We are on it.\nMore soon – grüße")
        assert await wire.listen() == ["dana acknowledge", "dana respond"]
        found = office.see(reading.get, ours.id, ALWAYS, office.now)
        assert (found.ticket.assignee, str(found.ticket.status)) == ("dana", "responded")
        assert found.present.respond.met_at == pytest.approx(office.now, abs=5)
        await wire.tell()
        assert server.ticket(number)["Due"] == "1970-01-01T00:00:00Z", "nothing is due any more"
        erin.set(number, Owner="erin")
        erin.comment(number, "their disk is full")
        erin.set(number, Status="stalled")
        erin.set(number, Status="open", Priority=60)
        assert await wire.listen() == [
            "erin acknowledge",
            "erin comment",
            "erin wait",
            "erin priority",
            "erin resume",
        ]
        assert (wire.ticket(ours.id).assignee, wire.ticket(ours.id).priority) == ("erin", P2)
        erin.set(number, Status="resolved")
        assert await wire.listen() == ["erin resolve"]
        assert wire.ticket(ours.id).resolved
        assert await wire.listen() == []
        await wire.tell()
        assert server.comments(number) == [], "RT isn't told what was said in RT"
        texts = [row[0] for row in office.rows("SELECT reason FROM ticket_events WHERE event = 'responded'")]
        assert texts == ["We are on it.\nMore soon – grüße"]


async def test_an_engineer_opens_a_resolved_ticket_again(office: Desk, server: RequestTracker) -> None:
    """Then it is open here too, with new clocks; where only the customer has written, and RT opened it, it isn't."""
    async with Wire(office, server) as wire:
        ours = office.facts(P3)
        assert ours is not None
        number = await wire.tell()
        dana = server.person("dana")
        dana.set(number, Status="resolved", Requestor="carol@acme.example")
        await wire.listen()
        server.person("carol").reply(number, "thank you!")
        await wire.listen()
        assert wire.ticket(ours.id).resolved
        dana.set(number, Status="resolved")
        dana.set(number, Status="open")
        await wire.listen()
        assert not wire.ticket(ours.id).resolved
        assert len(office.see(reading.get, ours.id, ALWAYS, office.now).cycles) == 2
        await wire.tell()
        assert server.ticket(number)["Status"] == "open", "RT isn't told what was said in RT"


async def test_what_was_done_before_the_adoption_outlives_a_crash(office: Desk, server: RequestTracker) -> None:
    """The process that adopted the ticket dies before it has heard; the next one hears it all, once."""
    theirs = server.person("erin").open("no mail since noon", Requestor="carol@acme.example")
    server.person("dana").take(theirs)
    server.person("dana").reply(theirs, "We are looking.")
    async with Wire(office, server) as dying:
        ours = office.facts(P1)
        assert ours is not None
        assert await dying.tell() == theirs
    story = ["relay opened 1", "dana acknowledged acknowledged", "dana responded responded"]
    for _ in range(2):
        async with Wire(office, server) as wire:
            await wire.listen()
            assert office.story(ours.id) == story


async def test_opening_it_is_an_acknowledgment_where_nobody_has_it(office: Desk, server: RequestTracker) -> None:
    """An engineer who sets it to open has taken it; another who does so later takes it from nobody."""
    async with Wire(office, server) as wire:
        ours = office.facts(P1)
        assert ours is not None
        number = await wire.tell()
        server.person("erin").set(number, Status="open")
        assert await wire.listen() == ["erin opened"]
        assert wire.ticket(ours.id).assignee == "erin"
        office.facts(P3)
        office.facts(P1)
        await wire.tell()
        assert server.ticket(number)["Status"] == "new", "raised: somebody has to take it anew"
        assert wire.ticket(ours.id).assignee is None
        server.person("dana").take(number)
        server.person("erin").set(number, Status="open")
        await wire.listen()
        assert wire.ticket(ours.id).assignee == "dana"


async def test_what_a_customer_writes_stops_no_clock(office: Desk, server: RequestTracker) -> None:
    """It is kept as a comment, and ends waiting; the response is still owed."""
    async with Wire(office, server) as wire:
        ours = office.facts(P3)
        assert ours is not None
        number = await wire.tell()
        server.person("dana").set(number, Status="stalled", Requestor="carol@acme.example")
        await wire.listen()
        assert wire.ticket(ours.id).waiting
        server.person("carol").reply(number, "here is the key")
        assert await wire.listen() == ["carol comment", "carol resume"]
        assert not wire.ticket(ours.id).waiting
        assert office.see(reading.get, ours.id, ALWAYS, office.now).present.respond.met_at is None


async def test_a_persons_ticket_is_adopted_not_doubled(office: Desk, server: RequestTracker) -> None:
    """The customer wrote before any probe failed, and dana took it: we go on there, and it is hers here too."""
    theirs = server.person("erin").open("no mail since noon", Requestor="carol@acme.example")
    elsewhere = server.person("erin").open("another customer", Requestor="joe@bolt.example")
    server.person("dana").take(theirs)
    server.person("dana").reply(theirs, "We are looking.")
    before = len(server.tickets())
    async with Wire(office, server) as wire:
        ours = office.facts(P1)
        assert ours is not None
        assert await wire.tell() == theirs
        assert len(server.tickets()) == before
        shown = server.ticket(theirs)
        assert (shown["Priority"], shown["Owner"], shown["Status"]) == ("90", "dana", "open")
        assert server.comments(theirs) == ["P1 mailflow opened"]
        assert server.ticket(elsewhere)["Fields"] == {}
        assert await wire.listen() == ["dana acknowledge", "dana respond", "dana acknowledge"]
        assert office.story(ours.id) == ["relay opened 1", "dana acknowledged acknowledged", "dana responded responded"]
        assert await wire.listen() == []
        office.facts(None)
        await wire.tell()
        assert server.ticket(theirs)["Status"] == "resolved"


async def test_the_customers_name_may_be_in_a_field_of_its_own(office: Desk, server: RequestTracker) -> None:
    """Adopted by it, whatever characters it has; and filled in where we create the ticket."""
    theirs = server.person("dana").open("they rang", CustomFields={"Customer": "O'Neil \\ Sons [Gold]"})
    async with Wire(office, server, customer_field="Customer", priorities={"P1": 100}) as wire:
        office.facts(P1, customer="O'Neil \\ Sons [Gold]")
        assert await wire.tell() == theirs
        assert server.ticket(theirs)["Priority"] == "100"
        office.facts(P1, appliance_id=office.gold.id, appliance="gold", customer="Gold Ltd", outage_id=2)
        number = await wire.tell()
        assert server.ticket(number)["Fields"]["Customer"] == "Gold Ltd"


async def test_rt_stopped_for_a_whole_outage_ends_in_the_same_state_and_order(
    office: Desk, server: RequestTracker
) -> None:
    """The outage begins, is lowered, raised and resolved while RT is off; when it is back it knows it all."""
    async with Wire(office, server) as wire:
        server.stop()
        ours = office.facts(P1)
        assert ours is not None
        for priority in (P3, P1, P3, None):
            office.now += LONG_ENOUGH
            await wire.once()
            office.facts(priority)
        office.do(operators.comment, ours.id, "dana", "rang them", office.now)
        at = office.see(contact.load, "rt", server.url)
        assert "can't be reached" in at.trouble
        server.start()
        office.now += LONG_ENOUGH
        number = await wire.tell()
        assert server.ticket(number)["Status"] == "resolved"
        assert server.ticket(number)["Priority"] == "30"
        assert server.comments(number) == ["P1 → P3", "P3 → P1", "P1 → P3", "resolved", "comment by dana"]
        server.person("dana").comment(number, "well done")
        assert await wire.listen() == ["dana comment"]


async def test_what_was_said_while_the_relay_was_off_is_heard_later_with_its_time(
    office: Desk, server: RequestTracker
) -> None:
    """The cursor is kept: a relay that starts again hears what it missed, and the clock stops at when it was said."""
    async with Wire(office, server) as wire:
        ours = office.facts(P1)
        assert ours is not None
        number = await wire.tell()
    server.person("dana").reply(number, "on it")
    server.backdate(number, minutes=20)
    office.now += 1800
    async with Wire(office, server):
        pass
    found = office.see(reading.get, ours.id, ALWAYS, office.now)
    assert found.present.respond.met_at == pytest.approx(office.now - 1200, abs=5)


async def test_a_wrong_set_up_is_said_in_words(office: Desk, server: RequestTracker) -> None:
    """A token that isn't taken, a queue that isn't there, a field that is missing: nothing is created anywhere."""
    before = len(server.tickets())
    token = str(server.settings["token"])
    wrong = token[:-1] + ("0" if token[-1] != "0" else "1")
    office.facts(P1)
    for more, said in (
        ({"token": wrong}, "(401)"),
        ({"queue": "Silver"}, "has no queue Silver that we may see"),
        ({"field": "Nope"}, "its queue Gold has no custom field Nope"),
        ({"token": server.person("carol").token}, "has no custom field RelayIncident that we may see"),
    ):
        tracker = Tracker(Settings(**{**server.settings, **more}), office.db, office.clock)
        with pytest.raises(HelpdeskDown, match=said.replace("(", r"\(").replace(")", r"\)")):
            await tracker.check()
        with pytest.raises(HelpdeskDown):
            await tracker.deliver(office.see(telling.next_messages, office.now, ALWAYS, 1)[0])
        await tracker.close()
    assert len(server.tickets()) == before
    right = Tracker(Settings(**server.settings), office.db, office.clock)
    assert "takes our token, and has the queue Gold" in await right.check()
    await right.close()


async def test_a_ticket_that_was_thrown_away_gets_another(office: Desk, server: RequestTracker) -> None:
    """RT knows the number no longer: what follows makes a new one, with how it stands now."""
    async with Wire(office, server) as wire:
        office.facts(P1)
        await wire.tell()
        with office.db.write() as connection:
            connection.exec_driver_sql("UPDATE tickets SET external_ref = 'RT#99999'")
        office.facts(P3)
        number = await wire.tell()
        assert server.ticket(number)["Priority"] == "30"


async def test_strange_text_is_carried_as_it_is(office: Desk, server: RequestTracker) -> None:
    """Letters of any script, quotes, brackets and percent signs, from us to RT and back."""
    strange = "Zoë said: 100 % [sic] 'ok' \\ \"fine\" – добрый день 🙂"
    async with Wire(office, server) as wire:
        ours = office.facts(P1, reason=strange)
        assert ours is not None
        number = await wire.tell()
        office.do(operators.comment, ours.id, "Zoë [x]", strange, office.now)
        await wire.tell()
        assert server.comments(number) == ["comment by Zoë [x]"]
        server.person("dana").comment(number, strange)
        await wire.listen()
        said = office.rows("SELECT reason FROM ticket_events WHERE actor = 'dana'")
        assert said == [(strange,)]


async def test_rts_own_service_levels_may_be_used_instead_of_due(office: Desk, server: RequestTracker) -> None:
    """Each priority has its level there, and RT works out what is due."""
    async with Wire(office, server, sla={"P1": "gold-p1", "P3": "gold-p3"}) as wire:
        office.facts(P1)
        number = await wire.tell()
        assert server.ticket(number)["SLA"] == "gold-p1"
        office.facts(P3)
        await wire.tell()
        assert server.ticket(number)["SLA"] == "gold-p3"


async def test_a_token_that_was_taken_away_is_seen_though_nothing_is_to_be_told(
    office: Desk, server: RequestTracker
) -> None:
    """The ear finds it out as well as the outbox, and says so where status and doctor look."""
    token = str(server.settings["token"])
    wrong = token[:-1] + ("0" if token[-1] != "0" else "1")
    tracker = Tracker(Settings(**{**server.settings, "token": wrong}), office.db, office.clock)
    running = asyncio.create_task(Hearing(office.db, office.clock, tracker, 0.05).run())
    await eventually(lambda: "(401)" in office.see(contact.load, "rt", server.url).trouble)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    await tracker.close()
    office.now += LONG_ENOUGH
    async with Wire(office, server):
        pass
    assert office.see(contact.load, "rt", server.url).trouble == ""
