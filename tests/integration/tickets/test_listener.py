"""What a helpdesk reports back: signed, carried out once, like a person's own word; and strangers get nowhere."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

from standardwebhooks import Webhook as Signer

from relay.clock import Clock
from relay.dns import Resolver
from relay.settings import Dns
from relay.settings import Helpdesk as Settings
from relay.tickets import heard, reading, telling
from relay.tickets.helpdesks.helpdesk import Act, Word
from relay.tickets.helpdesks.listener import AT_ONCE, LARGEST, Listener
from relay.tickets.helpdesks.webhook import Webhook
from relay.tickets.outbox import Outbox
from relay.tickets.reading import Reading
from relay.tickets.states import Priority
from tests.integration.tickets.conftest import START, Desk
from tests.integration.tickets.posting import ALWAYS, drain
from tests.support.receiver import receiver

OLD, NEW = "whsec_" + "b2xk" * 11, "whsec_" + "bmV3" * 11
P1, P3 = Priority.P1, Priority.P3
MINUTE = 60.0


@asynccontextmanager
async def listening(office: Desk, *secrets: str) -> AsyncIterator[Listener]:
    listener = Listener(office.db, office.clock, lambda: ALWAYS)
    settings = Settings(kind="webhook", url="https://x.example", secret=secrets or (OLD,), listen="127.0.0.1:0")
    await listener.start(settings)
    try:
        yield listener
    finally:
        await listener.close()


async def speak(listener: Listener, text: bytes) -> tuple[int, dict[str, Any]]:
    """Send these octets, and read the answer to its end."""
    reader, writer = await asyncio.open_connection("127.0.0.1", listener.port)
    writer.write(text)
    answer = await reader.read()
    writer.close()
    head, _, body = answer.partition(b"\r\n\r\n")
    return int(head.split()[1]), json.loads(body)


def request(report: Any, *, key: str = "r-1", secret: str = OLD) -> bytes:
    body = json.dumps(report)
    at = datetime.now(UTC)
    headers = {
        "Host": "relay.example",
        "Content-Length": str(len(body)),
        "webhook-id": key,
        "webhook-timestamp": str(int(at.timestamp())),
        "webhook-signature": Signer(secret).sign(key, at, body),
    }
    lines = ["POST / HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items()), "", body]
    return "\r\n".join(lines).encode()


def clocks(office: Desk, number: int) -> Reading:
    found: Reading = office.see(reading.get, number, ALWAYS, office.now)
    return found


async def test_reports_drive_the_clocks_as_a_person_does(office: Desk) -> None:
    """Acknowledged and responded at the time at which the helpdesk says it was; resolved at last."""
    ticket = office.facts(P1)
    assert ticket is not None
    office.now += 40 * MINUTE
    async with listening(office) as listener:
        dana = {"ticket": ticket.id, "actor": "dana"}
        took = {**dana, "action": "acknowledge", "at": "2026-11-23T00:10:00Z"}
        status, answer = await speak(listener, request(took))
        assert (status, answer["new"], answer["ticket"]["status"]) == (200, True, "acknowledged")
        wrote = {**dana, "action": "respond", "text": "on it", "at": "2026-11-23T00:30:00Z"}
        await speak(listener, request(wrote, key="r-2"))
        found = clocks(office, ticket.id)
        assert (found.ticket.assignee, str(found.ticket.status)) == ("dana", "responded")
        assert found.present.acknowledge.met_at == START + 10 * MINUTE
        assert found.present.respond.met_at == START + 30 * MINUTE
        end = {**dana, "action": "resolve", "text": "their disk"}
        assert (await speak(listener, request(end, key="r-3")))[1]["ticket"]["status"] == "resolved"
    assert office.story(ticket.id)[1:] == [
        "dana acknowledged acknowledged",
        "dana responded responded",
        "dana resolved resolved",
    ]


async def test_a_report_that_comes_again_is_carried_out_once(office: Desk) -> None:
    """Its id tells: the helpdesk that missed our answer gets it again, and nothing is doubled."""
    ticket = office.facts(P1)
    assert ticket is not None
    said = {"ticket": ticket.id, "action": "comment", "actor": "dana", "text": "they rang"}
    async with listening(office) as listener:
        assert (await speak(listener, request(said)))[1]["new"] is True
        for _ in range(3):
            status, answer = await speak(listener, request(said))
            assert (status, answer["new"]) == (200, False)
        assert (await speak(listener, request(said, key="r-2")))[1]["new"] is True
    assert office.story(ticket.id) == ["relay opened 1", "dana comment", "dana comment"]


async def test_the_helpdesk_isnt_told_what_it_said_itself(office: Desk) -> None:
    """What came from there doesn't go back, or two systems would talk for ever; everything else does."""
    ticket = office.facts(P1)
    assert ticket is not None
    async with listening(office) as listener:
        said = {"ticket": ticket.id, "action": "respond", "actor": "dana", "text": "on it"}
        await speak(listener, request(said))
    office.facts(P3)
    async with receiver(OLD) as desk:
        settings = Settings(kind="webhook", url=desk.url, secret=(OLD,), allow_private=True)
        helpdesk = Webhook(settings, Clock(), Resolver(Dns(resolvers=["127.0.0.1:9"], timeout=1)))
        posting = Outbox(office.db, office.clock, helpdesk, ALWAYS)
        await drain(posting)
        await posting.close()
        assert desk.kinds == ["opened", "priority"]
        assert desk.told[1]["data"]["ticket"]["status"] == "responded"
    assert office.see(telling.waiting, ticket.id).messages == 0


async def test_a_word_from_before_a_raise_stops_no_clock_after_it(office: Desk) -> None:
    """Raised to P1, somebody has to take it anew; an older acknowledgment that is heard late is kept as a comment."""
    ticket = office.facts(P3)
    assert ticket is not None
    office.now += 30 * MINUTE
    office.facts(P1)
    office.now += MINUTE
    office.do(heard.take, Word("a", ticket.id, Act.ACKNOWLEDGE, "dana", at=START + 20 * MINUTE), office.now)
    assert clocks(office, ticket.id).present.acknowledge.met_at is None
    office.do(heard.take, Word("b", ticket.id, Act.ACKNOWLEDGE, "dana", at=office.now), office.now)
    assert clocks(office, ticket.id).present.acknowledge.met_at == office.now


async def test_what_a_resolved_ticket_doesnt_take_any_more_is_kept_as_a_comment(office: Desk) -> None:
    """It was said, so it isn't lost."""
    ticket = office.facts(P1)
    assert ticket is not None
    office.facts(None)
    office.do(heard.take, Word("a", ticket.id, Act.WAIT, "dana", "for their key"), office.now)
    assert office.story(ticket.id)[-1] == "dana comment"
    assert office.rows("SELECT reason FROM ticket_events ORDER BY id DESC LIMIT 1")[0][0].startswith(
        "wait: for their key (ticket 1 is resolved"
    )


async def test_strangers_and_mistakes_get_one_line_and_change_nothing(office: Desk) -> None:
    """Unsigned, wrongly signed, replaced, too large, no HTTP, no such ticket, nobody's name."""
    ticket = office.facts(P1)
    assert ticket is not None
    before = office.everything()
    good = {"ticket": ticket.id, "action": "acknowledge", "actor": "dana"}
    async with listening(office) as listener:
        for text, wanted in (
            (request(good, secret=NEW), 401),
            (request(good).replace(b"dana", b"erin"), 401),
            (b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}", 401),
            (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", 405),
            (b"EHLO mail.example\r\n\r\n", 400),
            (b"POST / HTTP/1.1\r\nHost: x\r\nX: " + b"y" * 200_000, 431),
            (b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % (LARGEST + 1) + b"x" * (LARGEST + 1), 413),
            (request({**good, "ticket": 99}), 404),
            (request({**good, "actor": "relay"}), 409),
            (request({**good, "action": "close"}), 400),
        ):
            status, answer = await speak(listener, text)
            assert status == wanted, answer
            assert answer["error"]
    assert office.everything() == before


async def test_a_full_house_turns_away_and_goes_on(office: Desk) -> None:
    """Connections that say nothing take no more than their number, and a signed report comes through afterwards."""
    ticket = office.facts(P1)
    assert ticket is not None
    async with listening(office) as listener:
        idle = [await asyncio.open_connection("127.0.0.1", listener.port) for _ in range(AT_ONCE)]
        reader, writer = await asyncio.open_connection("127.0.0.1", listener.port)
        assert await reader.read() == b""
        for _, other in [*idle, (reader, writer)]:
            other.close()
            await other.wait_closed()
        report = request({"ticket": ticket.id, "action": "acknowledge", "actor": "dana"})
        assert (await speak(listener, report))[0] == 200


async def test_keys_are_changed_without_a_restart(office: Desk) -> None:
    """The new secret is believed beside the old one, and then alone."""
    ticket = office.facts(P1)
    assert ticket is not None
    said = {"ticket": ticket.id, "action": "acknowledge", "actor": "dana"}
    async with listening(office, OLD, NEW) as listener:
        assert (await speak(listener, request(said, secret=NEW)))[0] == 200
        assert (await speak(listener, request(said, secret=OLD)))[0] == 200
        listener.reconfigure([NEW])
        assert (await speak(listener, request(said, secret=OLD)))[0] == 401


def test_waiting_is_a_persons_word_too(office: Desk) -> None:
    """A helpdesk where the ticket waits for the customer, and goes on, says so here."""
    ticket = office.facts(P3)
    assert ticket is not None
    for number, act in enumerate((Act.WAIT, Act.RESUME)):
        office.do(heard.take, Word(f"w{number}", ticket.id, act, "dana", "for them"), office.now)
    assert office.story(ticket.id)[-2:] == ["dana waiting", "dana resumed"]
