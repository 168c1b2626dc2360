"""Webhooks over real connections: signed, in order, each told once, whatever the receiver does."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from pathlib import Path

import pytest
from standardwebhooks import Webhook as Signer
from standardwebhooks import WebhookVerificationError

from relay.clock import Clock
from relay.dns import Resolver
from relay.settings import Dns
from relay.settings import Helpdesk as Settings
from relay.tickets import contact, operators, telling
from relay.tickets.hearing import Hearing
from relay.tickets.helpdesks.webhook import Webhook
from relay.tickets.outbox import Outbox
from relay.tickets.states import Condition, Priority
from tests.integration.tickets.conftest import Desk
from tests.integration.tickets.posting import ALWAYS, Posting, once
from tests.support.certificates import certificate
from tests.support.dns_stub import DnsStub
from tests.support.receiver import CUT, DRIP, GARBAGE, HANG, LOST, Answer, Fault, receiver
from tests.support.waiting import eventually

P1, P2, P3 = Priority.P1, Priority.P2, Priority.P3
OLD, NEW = "whsec_" + "b2xk" * 11, "whsec_" + "bmV3" * 11
LONG_ENOUGH = 400.0
"""Seconds after which every pause of ours is over."""


def hook(url: str, *secrets: str, allow_private: bool = True, resolver: str = "127.0.0.1:9") -> Webhook:
    settings = Settings(kind="webhook", url=url, secret=secrets or (OLD,), allow_private=allow_private)
    return Webhook(settings, Clock(), Resolver(Dns(resolvers=[resolver], timeout=1)))


class Post(Posting):
    """An outbox that tells ``desk``."""

    def __init__(self, office: Desk, helpdesk: Webhook, patience: float = 20.0) -> None:
        self.office = office
        self.helpdesk = helpdesk
        super().__init__(Outbox(office.db, office.clock, helpdesk, ALWAYS, patience=patience))

    @property
    def waiting(self) -> telling.Waiting:
        found: telling.Waiting = self.office.see(telling.waiting)
        return found

    @property
    def contact(self) -> contact.Contact:
        found: contact.Contact = self.office.see(contact.load, "webhook", self.helpdesk.url)
        return found


async def tell(office: Desk, helpdesk: Webhook) -> None:
    """All that is due, by a node that starts for it and ends."""
    async with Post(office, helpdesk) as post:
        await post.all()


async def test_a_message_says_what_happened_and_how_the_ticket_stood(office: Desk) -> None:
    """The schema of deploy/helpdesk.md: the event, the comment, and the ticket as relayctl shows it, clocks and all."""
    ticket = office.facts(P1)
    assert ticket is not None
    office.now += 600
    office.do(operators.respond, ticket.id, "dana", "we are on it", office.now)
    async with receiver(OLD) as desk:
        await tell(office, hook(desk.url))
    assert desk.kinds == ["opened", "acknowledged", "responded"]
    opened, _, responded = desk.told
    assert opened["data"] == {
        "event": {
            "id": 1,
            "visible": True,
            "at": "2026-11-23T00:00:00Z",
            "actor": "relay",
            "event": "opened",
            "from": None,
            "to": 1,
        },
        "comment": "no primary answers",
        "ticket": {
            "id": ticket.id,
            "appliance": "acme",
            "customer": "Acme Ltd",
            "domains": ["acme.example", "acme.org.example"],
            "condition": "mailflow",
            "priority": 1,
            "status": "open",
            "waiting": False,
            "assignee": None,
            "opened_at": "2026-11-23T00:00:00Z",
            "acknowledge_due": "2026-11-23T00:59:00Z",
            "respond_due": "2026-11-23T00:59:00Z",
            "resolved_at": None,
            "external_ref": None,
        },
    }
    assert responded["data"]["comment"] == "we are on it"
    assert (responded["data"]["ticket"]["status"], responded["data"]["ticket"]["assignee"]) == ("responded", "dana")
    assert len(set(desk.tries)) == len(desk.tries) == 3


@pytest.mark.parametrize(
    "trouble",
    [
        Answer(500),
        Answer(404, body=b"<html>no such hook</html>"),
        Answer(302, {"Location": "http://127.0.0.1:9/"}),
        GARBAGE,
        CUT,
        HANG,
        LOST,
        DRIP,
    ],
    ids=str,
)
async def test_whatever_is_no_yes_is_told_again_until_it_is_one(office: Desk, trouble: Answer | Fault) -> None:
    """The same message with the same id and body; what follows for the ticket waits, and comes in order."""
    office.facts(P1)
    office.facts(P3)
    async with receiver(OLD) as desk, Post(office, hook(desk.url), patience=0.3) as post:
        desk.script = [trouble] * 3
        for _ in range(3):
            assert await post.once() == 1
            assert await post.once() == 0, "not before its time"
            assert post.waiting.messages == 2
            office.now += LONG_ENOUGH
        await post.all()
    assert desk.kinds == ["opened", "priority"]
    assert desk.tries[:4] == [desk.tries[0]] * 4
    assert all(len(bodies) == 1 for bodies in desk.bodies.values())
    assert post.waiting.messages == 0


async def test_a_stuck_message_holds_up_its_own_ticket_alone(office: Desk) -> None:
    """Another ticket's messages arrive while one of the first hangs, and while it is refused."""
    stuck = office.facts(P1)
    assert stuck is not None
    other = office.do(operators.open_ticket, "gold", Condition.MAILFLOW, P2, "dana", "slow", office.now)
    async with receiver(OLD) as desk:
        desk.on_ticket[stuck.id] = HANG
        running = asyncio.create_task(Post(office, hook(desk.url)).outbox.run())
        await eventually(lambda: len(desk.tries) == 2)
        office.do(operators.comment, other.id, "dana", "still slow", office.now)
        await eventually(lambda: desk.kinds == ["opened", "comment"])
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running
    assert {message["data"]["ticket"]["id"] for message in desk.told} == {other.id}


async def test_retry_after_is_obeyed_for_the_whole_receiver(office: Desk) -> None:
    """Nothing is sent before the time that it asked for; then one message, and after its yes all the others."""
    office.facts(P1)
    for condition in (Condition.MX, Condition.BACKUP, Condition.QUOTA):
        office.facts(P3, condition=condition, outage_id=None)
    async with receiver(OLD) as desk, Post(office, hook(desk.url)) as post:
        desk.otherwise = Answer(429, {"Retry-After": "900"})
        await post.all()
        asked = len(desk.tries)
        assert "answers 429" in post.contact.trouble
        office.now += 899
        assert await post.once() == 0
        office.now += 1
        assert await post.once() == 1, "one message tries it"
        assert len(desk.tries) == asked + 1
        office.now += 900
        desk.otherwise = Answer(204)
        assert await post.once() == 1
        assert await post.once() == 3
    assert post.contact.trouble == ""
    assert post.waiting.messages == 0


async def test_a_receiver_that_is_down_for_hours_misses_nothing(office: Desk) -> None:
    """A whole outage happens meanwhile; afterwards it is told from the first line to the last, each once."""
    async with receiver(OLD) as desk, Post(office, hook(desk.url)) as post:
        await desk.stop()
        office.facts(P1)
        for priority in (P3, P1, P3, None):
            for _ in range(20):
                office.now += LONG_ENOUGH
                await post.once()
            office.facts(priority)
        assert "can't be reached" in post.contact.trouble
        assert post.contact.trouble_since is not None
        await desk.start()
        office.now += LONG_ENOUGH
        await post.all()
    assert desk.kinds == ["opened", "priority", "priority", "priority", "resolved"]
    assert len(desk.tries) == 5


async def test_a_refused_signature_is_said_and_tried_slowly(office: Desk) -> None:
    """401: the trouble names what to look at, and ten minutes pass before the next try."""
    office.facts(P1)
    async with receiver(NEW) as desk, Post(office, hook(desk.url, OLD)) as post:
        await post.once()
        assert "401" in post.contact.trouble
        assert post.contact.retry_at == office.now + 600
        assert desk.told == []


async def test_only_the_receivers_yes_ends_its_trouble(office: Desk) -> None:
    """Listening for what people did says nothing of a helpdesk that isn't asked."""
    office.facts(P1)
    async with receiver(OLD) as desk, Post(office, hook(desk.url)) as post:
        desk.otherwise = Answer(503)
        await post.once()
        office.now += LONG_ENOUGH
        assert await Hearing(office.db, office.clock, post.helpdesk, 1.0).listen() == []
        assert "503" in post.contact.trouble


async def test_each_secret_signs_while_keys_are_changed(office: Desk) -> None:
    """The receiver may believe the old one, the new one or both; never one that isn't ours."""
    office.facts(P1)
    async with receiver(OLD) as desk:
        await tell(office, hook(desk.url, NEW, OLD))
        desk.secrets = [NEW]
        office.facts(P3)
        await tell(office, hook(desk.url, NEW, OLD))
    assert desk.kinds == ["opened", "priority"]
    with pytest.raises(WebhookVerificationError):
        Signer("whsec_" + "aGF0" * 11).verify(next(iter(desk.bodies[desk.tries[0]])), {})


async def test_gone_is_for_good_until_somebody_has_looked_after_it(office: Desk) -> None:
    """410 ends deliveries, over days and restarts; the messages stay, and go when the settings are read again."""
    office.facts(P1)
    async with receiver(OLD) as desk, Post(office, hook(desk.url)) as post:
        desk.otherwise = Answer(410)
        await post.once()
        assert post.contact.disabled
        office.now += 5 * 86400
        await tell(office, hook(desk.url))
        assert len(desk.tries) == 1
        desk.otherwise = Answer(204)
        post.outbox.reconfigure(hook(desk.url), ALWAYS)
        await post.all()
        assert desk.kinds == ["opened"]
        assert not post.contact.disabled


async def test_another_address_begins_anew(office: Desk) -> None:
    """What was wrong with the old receiver doesn't count against the new one."""
    office.facts(P1)
    async with receiver(OLD) as old, receiver(OLD) as new:
        old.otherwise = Answer(410)
        await tell(office, hook(old.url))
        await tell(office, hook(new.url))
        assert new.kinds == ["opened"]


async def test_a_node_that_dies_in_the_middle_of_a_call_tells_it_again(office: Desk) -> None:
    """The receiver has it and the relay doesn't know: the same id comes again, and it is one message."""
    office.facts(P1)
    async with receiver(OLD) as desk, Post(office, hook(desk.url)) as first:
        desk.script = [LOST]
        await first.outbox.begin_due()
        await eventually(lambda: desk.kinds == ["opened"])
        await first.outbox.close()  # nothing of it was recorded
        assert first.waiting == telling.Waiting(1, office.now, 0, None, office.now)
        await tell(office, hook(desk.url))
    assert desk.kinds == ["opened"]
    assert desk.tries == [desk.tries[0]] * 2


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost.example", "[::1]", "2130706433.example"])
async def test_private_addresses_are_not_called(office: Desk, host: str) -> None:
    """By number or by name: nothing is even connected to, and the line says what would allow it."""
    office.facts(P1)
    names = {"localhost.example A": ["127.0.0.1"], "2130706433.example AAAA": ["::ffff:127.0.0.1"]}
    async with receiver(OLD) as desk, DnsStub(names) as dns:
        url = desk.url.replace("127.0.0.1", host)
        async with Post(office, hook(url, allow_private=False, resolver=dns.address)) as post:
            await post.once()
        assert desk.connections == 0
    assert "which isn't public; [helpdesk] allow_private = true allows it" in post.contact.trouble


async def test_the_address_that_was_judged_is_the_one_that_is_called(office: Desk) -> None:
    """A name is looked up once for a message: nobody can answer with another address between judging and calling."""
    office.facts(P1)
    async with receiver(OLD) as desk, DnsStub({"desk.example A": ["127.0.0.1"]}, ttl=0) as dns:
        await tell(office, hook(desk.url.replace("127.0.0.1", "desk.example"), resolver=dns.address))
        assert desk.kinds == ["opened"]
        assert sorted(dns.queries) == ["desk.example A", "desk.example AAAA"]


async def test_the_certificate_has_to_be_the_names(
    office: Desk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The connection goes to an address, and the certificate is checked against the name all the same."""
    made = certificate(tmp_path, "desk.example")
    monkeypatch.setenv("SSL_CERT_FILE", str(made.certificate))
    names = {"desk.example A": ["127.0.0.1"], "other.example A": ["127.0.0.1"]}
    office.facts(P1)
    async with receiver(OLD, tls=made.context()) as desk, DnsStub(names) as dns:
        other = hook(desk.url.replace("127.0.0.1", "other.example"), resolver=dns.address)
        async with Post(office, other) as wrong:
            await wrong.once()
        assert desk.told == []
        assert "certificate" in wrong.contact.trouble
        await tell(office, hook(desk.url.replace("127.0.0.1", "desk.example"), resolver=dns.address))
        assert desk.kinds == ["opened"]


async def test_another_node_delivers_only_what_is_its_turn(office: Desk) -> None:
    """The outbox of a node that doesn't hold its lease stands still."""
    office.facts(P1)
    turn: list[bool] = [False]
    async with receiver(OLD) as desk:
        idle = Outbox(office.db, office.clock, hook(desk.url), ALWAYS, may=lambda: turn[0])
        assert await once(idle) == 0
        turn[0] = True
        await once(idle)
        assert desk.kinds == ["opened"]
        await idle.close()
