"""Mail to people, through a real SMTP connection: what is written to whom, and to whom nothing is written."""

from __future__ import annotations

import email
import email.policy
from email.message import EmailMessage
from pathlib import Path
from typing import cast

from relay.appliances import facts as known
from relay.appliances import store as appliances
from relay.appliances.facts import Continuity, ContinuityFact, Health, HealthFact, Outage
from relay.continuity import letters
from relay.mail import Reply
from relay.tickets.people import store
from relay.tickets.states import Condition, Priority
from tests.integration.tickets.conftest import START, Desk
from tests.integration.tickets.people.calls import Calls, outcomes, rule
from tests.support.primary import ScriptedPrimary

P1, P3 = Priority.P1, Priority.P3
OPS, CHIEF = "ops@elsewhere.example", "chief@home.example"


def mail_by(server: ScriptedPrimary, to: str = "") -> str:
    return f"mailto://127.0.0.1:{server.port}?from=relay@desk.example{f'&to={to}' if to else ''}"


def read(server: ScriptedPrimary) -> list[EmailMessage]:
    taken = [email.message_from_bytes(one.content, policy=email.policy.default) for one in server.messages]
    return cast(list[EmailMessage], taken)


def add_contacts(office: Desk, *contacts: str) -> None:
    office.do(appliances.set_appliance, "acme", contacts=contacts)


def outage(office: Desk, state: Continuity, priority: Priority | None, **times: float) -> None:
    """What carries a decision out says of the outage, in the same transaction as the ticket's change."""
    with office.db.write() as connection:
        acme = appliances.get_appliance(connection, "acme")
        of = Outage(
            5, acme.id, START - 60, *map(times.get, ("taken", "back", "drained", "ended")), "connection refused"
        )
        fact = ContinuityFact(state, office.now, True, priority=priority)
        letters.write(connection, acme, ("acme.example",), fact, of, office.now)


async def test_an_engineer_gets_a_mail_that_says_everything_in_its_subject(office: Desk, tmp_path: Path) -> None:
    """Plain text, no answers wanted from machines, and all mails of a ticket in one thread."""
    async with ScriptedPrimary() as server:
        calls = Calls(office, tmp_path, f'[notify]\nurls = ["{mail_by(server, "dana@desk.example")}"]')
        office.facts(P1)
        await calls.drain()
        office.facts(None)
        await calls.drain()
        opened, resolved = read(server)
    assert server.messages[0].recipients == ("dana@desk.example",)
    assert opened["Subject"] == "P1 opened Acme Ltd: no mail flow (acme.example, acme.org.example)"
    assert opened.get_content_type() == "text/plain"
    assert opened.get_content().startswith("P1 opened: Acme Ltd, no mail flow (acme.example, acme.org.example), Mon 23")
    assert "relayctl ticket show 1" in opened.get_content()
    assert opened["Auto-Submitted"] == "auto-generated"
    assert opened["References"] == resolved["References"]
    assert opened["X-Relay-Notice"] != resolved["X-Relay-Notice"]


async def test_contacts_get_three_letters_each_once(office: Desk, tmp_path: Path) -> None:
    """At the start, the takeover and the end, however often it is said again."""
    async with ScriptedPrimary() as server:
        calls = Calls(office, tmp_path, f'[notify]\nmail = "{mail_by(server)}"')
        add_contacts(office, OPS, CHIEF)
        office.facts(P1)
        for _ in range(2):
            outage(office, Continuity.STANDBY, P1)
            outage(office, Continuity.ACTIVE, P3)
            await calls.drain()
        add_contacts(office, OPS, CHIEF, "late@home.example")
        for _ in range(2):
            outage(office, Continuity.STANDBY, None, back=START + 60, ended=START + 90)
            await calls.drain()
        letters_ = [
            (one.recipients[0], mail["Subject"]) for one, mail in zip(server.messages, read(server), strict=True)
        ]
    assert {to for to, _ in letters_} == {OPS, CHIEF}
    assert [subject for to, subject in letters_ if to == OPS] == [
        "Your mail server can't be reached; your mail is being kept safe (ticket 1)",
        "The continuity service keeps your mail while your mail server is away (ticket 1)",
        "Your mail server is back, and your mail has been handed over (ticket 1)",
    ]


async def test_what_is_over_when_the_mail_server_is_back_is_one_letter(office: Desk, tmp_path: Path) -> None:
    """The last one alone, which tells all."""
    async with ScriptedPrimary() as server:
        server.on_mail = Reply(451, "4.3.0", "Not now")
        calls = Calls(office, tmp_path, f'[notify]\nmail = "{mail_by(server)}"')
        add_contacts(office, OPS)
        office.facts(P1)
        outage(office, Continuity.ACTIVE, P3)
        await calls.drain()
        outage(office, Continuity.STANDBY, None, back=START + 60, ended=START + 90)
        assert office.see(store.load_lane, store.CONTACTS).trouble.startswith("answers 451")
        server.on_mail = None
        await calls.later()
        (letter,) = read(server)
    assert letter["Subject"].startswith("Your mail server is back")
    assert outcomes(office) == [("letter", "sent")] * 3


async def test_an_address_that_is_refused_holds_up_no_other(office: Desk, tmp_path: Path) -> None:
    """One contact's mailbox is gone: the others are told, and the mail server is in no trouble for it."""
    async with ScriptedPrimary() as server:
        server.on_rcpt = lambda address: Reply(550, "5.1.1", "Nobody") if address == OPS else None
        calls = Calls(office, tmp_path, f'[notify]\nmail = "{mail_by(server)}"')
        add_contacts(office, OPS, CHIEF)
        office.facts(P1)
        outage(office, Continuity.STANDBY, P1)
        await calls.drain()
        assert [one.recipients for one in server.messages] == [(CHIEF,)]
        assert office.see(store.load_lane, store.CONTACTS).trouble == ""
    (error,) = office.rows("SELECT last_error FROM notices WHERE ended_at IS NULL")
    assert error[0].startswith("the mail server refuses the address: 550")


async def test_nothing_is_written_to_a_domain_that_is_down(office: Desk, tmp_path: Path) -> None:
    """Neither to the ticket's own, nor to another appliance's that is down too: the ticket says so, once, and why."""
    async with ScriptedPrimary() as server:
        rules = rule("a", [mail_by(server, "ops@sub.acme.example")]) + rule("b", [mail_by(server, "x@gold.example")])
        calls = Calls(office, tmp_path, rules)
        office.do(known.set_health, office.gold.id, HealthFact(Health.DOWN, "connection refused", START))
        ticket = office.facts(P1)
        assert ticket is not None
        await calls.drain()
        assert server.messages == []
        office.do(known.set_health, office.gold.id, HealthFact(Health.UP, "", START))
        office.facts(P3)
        await calls.drain()
        assert [one.recipients for one in server.messages] == [("x@gold.example",)]
    said = office.rows("SELECT reason FROM ticket_events WHERE event = 'comment' ORDER BY 1")
    assert said == [
        ("a was not told: ops@sub.acme.example gets no mail while acme.example is down",),
        ("b was not told: x@gold.example gets no mail while gold.example is down",),
    ]


async def test_without_a_mail_server_of_ours_contacts_get_nothing_and_the_ticket_no_noise(
    office: Desk, tmp_path: Path
) -> None:
    """``doctor`` says it; a ticket is no place for what is missing in the settings."""
    calls = Calls(office, tmp_path, '[notify]\nurls = ["json://127.0.0.1:1/"]')
    add_contacts(office, OPS)
    office.facts(P1)
    outage(office, Continuity.STANDBY, P1)
    await calls.drain()
    assert outcomes(office, f"contact {OPS}") == [("letter", "skipped")]
    assert office.rows("SELECT count(*) FROM ticket_events WHERE event = 'comment'") == [(0,)]


async def test_a_rule_tells_contacts_what_is_wrong_in_their_set_up(office: Desk, tmp_path: Path) -> None:
    """A P3 about a backup reaches the customer's own people, in words without commands."""
    async with ScriptedPrimary() as server:
        text = f'[notify]\nmail = "{mail_by(server)}"\n' + rule("customers", [], contacts=True, events=["opened"])
        calls = Calls(office, tmp_path, text)
        add_contacts(office, OPS)
        office.facts(P3, condition=Condition.BACKUP, outage_id=None, reason="the last backup is 9 days old")
        office.facts(P1)
        await calls.drain()
        (mail,) = read(server)
    assert mail["Subject"] == "Your mail service: backup of the mail server, ticket 1"
    assert "relayctl" not in mail.get_content()
