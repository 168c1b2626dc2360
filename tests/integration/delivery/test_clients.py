"""Primaries hear who brought a message, where they want to: each its own client, and no message suffers from it."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from relay.appliances.facts import Health
from relay.delivery.flaws import ENOUGH
from relay.mail import Client, Reply
from relay.queue.states import Reason, State
from relay.smtp.dialogue import Extension
from tests.integration.delivery.house import house
from tests.integration.delivery.test_returns import finding, make_known
from tests.support.dns_stub import DnsStub
from tests.support.primary import Script, ScriptedPrimary, Taken
from tests.support.waiting import eventually

XFORWARD = "XFORWARD NAME ADDR PROTO HELO SOURCE PORT IDENT"
XCLIENT = "XCLIENT NAME ADDR PROTO HELO REVERSE_NAME PORT"
ANN = Client("192.0.2.1", 1001, "mail.ann.example", "ESMTPS")
BOB = Client("2001:db8::2", 1002, "bob", "SMTP")
CYD = Client("192.0.2.3", 1003, "mail cyd+")
WHO = {"ann": ANN, "bob": BOB, "cyd": CYD}
NOT_HIM = Reply(554, "5.7.1", "Your address is listed")


def wanting(*offers: str, once: bool = False) -> ScriptedPrimary:
    primary = ScriptedPrimary()
    primary.offers += offers
    primary.xclient_once = once
    return primary


def by_name(primary: ScriptedPrimary) -> dict[str, Taken]:
    return {taken.recipients[0].partition("@")[0]: taken for taken in primary.messages}


async def test_xforward_tells_each_message_s_own_client(tmp_path: Path) -> None:
    """Address, port, protocol, name and our number of the message stand at the primary, each with its own message."""
    async with wanting(XFORWARD) as primary, house(tmp_path, primary, health=Health.UP, max_connections=1) as home:
        numbers = [await home.accept(name, client=client) for name, client in WHO.items()]
        await home.up()
        await eventually(lambda: home.waiting() == 0)
        assert primary.connections == 1
        common = {"NAME": "[UNAVAILABLE]", "SOURCE": "REMOTE"}
        said = [taken.said_client for taken in by_name(primary).values()]
        assert said == [
            {
                "ADDR": "192.0.2.1",
                "PORT": "1001",
                "PROTO": "ESMTPS",
                "HELO": "mail.ann.example",
                "IDENT": str(numbers[0]),
            }
            | common,
            {"ADDR": "IPV6:2001:db8::2", "PORT": "1002", "PROTO": "SMTP", "HELO": "bob", "IDENT": str(numbers[1])}
            | common,
            {"ADDR": "192.0.2.3", "PORT": "1003", "PROTO": "ESMTP", "HELO": "mail?cyd+", "IDENT": str(numbers[2])}
            | common,
        ]
        assert primary.violations == []


async def test_nothing_of_a_client_is_left_behind(tmp_path: Path) -> None:
    """A message that is refused at MAIL leaves nothing of its client at the primary."""
    async with wanting(XFORWARD) as primary, house(tmp_path, primary, health=Health.UP, max_connections=1) as home:
        primary.on_mail = lambda sender: Reply(450, "4.7.1", "Later") if sender.startswith("bad") else None
        await home.accept("ann", client=ANN, sender="bad@b.example")
        await home.up()
        await eventually(lambda: "RSET" in primary.commands)


@pytest.mark.parametrize("refusal", [Reply(550, "5.7.0", "Not you"), Reply(451, "4.3.0", "Not now")])
async def test_a_no_to_xforward_costs_nothing(refusal: Script, tmp_path: Path) -> None:
    """Mail goes on without, and the primary isn't asked again and again: servers count errors."""
    async with wanting(XFORWARD) as primary, house(tmp_path, primary, health=Health.UP, max_connections=1) as home:
        primary.on_xforward = refusal
        for _ in range(4):
            for name, client in WHO.items():
                await home.accept(name, client=client)
        await home.up()
        await eventually(lambda: home.waiting() == 0)
        assert len(primary.messages) == 12
        assert primary.connections == 1
        assert sum(command.startswith("XFORWARD") for command in primary.commands) <= 3  # those that were under way


NO_IPV6 = Reply(501, "5.5.4", "Bad ADDR syntax")


@pytest.mark.parametrize("verb", ["XFORWARD", "XCLIENT"])
async def test_a_primary_that_knows_no_ipv6(verb: str, tmp_path: Path) -> None:
    """Clients by IPv6 aren't named any more to a primary that can't read their addresses; the others still are."""
    async with wanting(XFORWARD if verb == "XFORWARD" else XCLIENT, once=True) as primary:
        primary.on_xforward = primary.on_xclient = lambda said: NO_IPV6 if "IPV6" in said["ADDR"] else None
        async with house(tmp_path, primary, health=Health.UP, max_connections=1) as home:
            for number in range(5):
                await home.accept("bob", client=dataclasses.replace(BOB, helo=f"bob{number}"))
            await home.accept("ann", client=ANN)
            await home.accept("bob", client=BOB)
            await home.up()
            await eventually(lambda: home.waiting() == 0)
        said = [(taken.recipients[0][:3], taken.said_client.get("ADDR")) for taken in primary.messages]
        assert sorted(said, key=str) == [("ann", "192.0.2.1")] + [("bob", None)] * 6
        refused = [command for command in primary.commands if command.startswith(verb) and "IPV6" in command]
        assert len(refused) <= (3 if verb == "XFORWARD" else 1)  # those that were under way


async def test_xclient_makes_the_primary_judge_the_client(tmp_path: Path) -> None:
    """A session speaks for one client at a time: EHLO is that client's, its names are those that the DNS proves."""
    records = {"1.2.0.192.in-addr.arpa PTR": ["mail.ann.example."], "mail.ann.example A": ["192.0.2.1"]}
    async with DnsStub(records) as dns, wanting(XCLIENT, XFORWARD) as primary:
        async with house(tmp_path, primary, health=Health.UP, max_connections=1, resolver=dns.address) as home:
            for name in ("ann", "bob", "ann", "cyd", "ann"):
                await home.accept(name, client=WHO[name])
            await home.up()
            await eventually(lambda: home.waiting() == 0)
        ann = ("mail.ann.example", asked("192.0.2.1", "ESMTP", "mail.ann.example", "mail.ann.example"))
        assert [(taken.helo, taken.said_client) for taken in primary.messages] == [
            ann,
            ann,
            ann,
            ("mail?cyd+", asked("192.0.2.3", "ESMTP", "mail?cyd+", "[UNAVAILABLE]")),  # every fourth is the newest
            ("bob", asked("IPV6:2001:db8::2", "SMTP", "bob", "[UNAVAILABLE]")),
        ]
        assert primary.connections == 1
        assert sum(command.startswith("XCLIENT") for command in primary.commands) == 3
        assert not any(command.startswith("XFORWARD") for command in primary.commands)


def asked(ip: str, protocol: str, helo: str, name: str) -> dict[str, str]:
    return {"ADDR": ip, "PORT": "[UNAVAILABLE]", "PROTO": protocol, "HELO": helo, "NAME": name, "REVERSE_NAME": name}


async def test_a_name_that_cannot_be_looked_up_now(tmp_path: Path) -> None:
    """Without an answer of the DNS the client's names are said to be unknown for now, never ours."""
    async with wanting(XCLIENT) as primary, house(tmp_path, primary, health=Health.UP) as home:
        await home.accept("ann", client=ANN)
        await home.up()
        await eventually(lambda: home.waiting() == 0)
        (taken,) = primary.messages
        assert taken.said_client == asked("192.0.2.1", "ESMTP", "mail.ann.example", "[TEMPUNAVAIL]")


async def test_a_session_that_may_speak_for_one_client_alone(tmp_path: Path) -> None:
    """Where XCLIENT is offered once a session, as by Postfix, another client's mail gets another session."""
    async with wanting(XCLIENT, once=True) as primary:
        async with house(tmp_path, primary, health=Health.UP, max_connections=1) as home:
            for name in ("ann", "ann", "bob", "ann"):
                await home.accept(name, client=WHO[name])
            await home.up()
            await eventually(lambda: home.waiting() == 0)
            assert all(not row.attempts for row in home.rows())
        said = [(taken.connection, taken.recipients[0][:3], taken.said_client["ADDR"]) for taken in primary.messages]
        assert said == [
            (1, "ann", "192.0.2.1"),
            (1, "ann", "192.0.2.1"),
            (1, "ann", "192.0.2.1"),
            (2, "bob", "IPV6:2001:db8::2"),
        ]


@pytest.mark.parametrize("answer", [Reply(550, "5.7.0", "Not you"), NOT_HIM, Reply(421, "4.7.0", "Bye")])
async def test_a_no_to_xclient_costs_nothing(answer: Reply, tmp_path: Path) -> None:
    """Mail goes on in a session of our own, and a primary that never lets us isn't asked for ever."""
    async with wanting(XCLIENT) as primary, house(tmp_path, primary, health=Health.UP, max_connections=1) as home:
        primary.on_xclient = answer
        for number in range(6):
            await home.accept(f"r{number}", client=Client(f"192.0.2.{number}", 1, f"h{number}.example"))
        await home.up()
        await eventually(lambda: home.waiting() == 0, timeout=30)
        assert len(primary.messages) == 6
        assert all(taken.said_client == {} for taken in primary.messages)
        assert sum(command.startswith("XCLIENT") for command in primary.commands) == ENOUGH[Extension.XCLIENT]


async def test_a_no_to_one_client_alone(tmp_path: Path) -> None:
    """A client whom the primary won't have a session for is passed on in our own name; the others still as theirs."""
    async with wanting(XCLIENT, once=True) as primary:
        primary.on_xclient = lambda said: NOT_HIM if said["HELO"] == "bob" else None
        async with house(tmp_path, primary, health=Health.UP, max_connections=1) as home:
            for name in ("ann", "bob", "cyd", "bob"):
                await home.accept(name, client=WHO[name])
            await home.up()
            await eventually(lambda: home.waiting() == 0)
        said = [(taken.recipients[0][:3], taken.said_client.get("ADDR")) for taken in primary.messages]
        assert said == [("ann", "192.0.2.1"), ("bob", None), ("cyd", "192.0.2.3"), ("bob", None)]


@pytest.mark.parametrize(("setting", "verbs"), [("auto", {"XCLIENT"}), ("xforward", {"XFORWARD"}), ("none", set())])
async def test_an_operator_says_how_much_is_told(setting: str, verbs: set[str], tmp_path: Path) -> None:
    """[delivery] client: as the primary offers, for its log alone, or not at all."""
    settings: dict[str, Any] = {"client": setting}
    async with wanting(XCLIENT, XFORWARD) as primary, house(tmp_path, primary, health=Health.UP, **settings) as home:
        await home.accept("ann", client=ANN)
        await home.up()
        await eventually(lambda: home.waiting() == 0)
        said = {command.split()[0] for command in primary.commands}
        assert said & {"XCLIENT", "XFORWARD"} == verbs


async def test_a_client_that_is_refused_says_nothing_of_recipients(tmp_path: Path) -> None:
    """Spam that the appliance refuses in its client's name neither stops the drain nor makes anybody unknown; that a
    recipient is unknown still does."""
    names = [f"r{number}" for number in range(5)]
    async with wanting(XCLIENT, once=True) as primary, house(tmp_path, primary) as home:
        await make_known(home, *names, "gone")
        home.heard.clear()
        primary.on_rcpt = lambda address: Reply(550, "5.1.1", "Gone") if address.startswith("gone") else NOT_HIM
        for name in (*names, "gone"):
            await home.accept(name)
        await home.returns()
        await eventually(lambda: home.addresses(State.HELD, Reason.BREAKER) == ["gone", *names])
        assert finding(home) is None
        assert home.heard == []
        primary.on_rcpt = Reply(550, "5.1.1", "No such user")
        for name in names:
            await home.accept(name)
        await eventually(lambda: finding(home) is not None)
