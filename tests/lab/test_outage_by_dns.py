"""The whole job on a network of its own: a primary is cut off, and the world's mail finds its way to us by DNS.

A real Postfix sends, a real Postfix is the primary, NSD serves the zone, and the only thing that points at our node is
the MX record. Off hours are all hours, so the takeover is at once.
"""

from __future__ import annotations

import smtplib
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.lab.letters import as_stored, below, letter, numbered
from tests.lab.world import ADDRESSES, COPY, GOLD, RELAY, SENDER, zones
from tests.support import postfix
from tests.support.netns import Host, network
from tests.support.nsd import name_server
from tests.support.relayctl import Relay
from tests.support.waiting import wait_until

pytestmark = [
    pytest.mark.lab,
    pytest.mark.timeout(300),
    pytest.mark.sqlite_only("the host in its namespace reaches no server outside"),
]

LETTERS = range(1, 201)
PROOFS = ("dns", "loop", "space", "expiry", "recipients", "tls")


def test_200_letters_find_the_relay_by_dns_and_come_home_unchanged(tmp_path: Path) -> None:
    """An outage of the primary costs no letter, none is changed or doubled, and the ticket goes P1, P3, resolved."""
    with (
        network(ADDRESSES, resolver=ADDRESSES["dns"]) as hosts,
        name_server(zones(), host=hosts["dns"]),
        postfix.primary(GOLD, host=hosts["primary"]) as primary,
        postfix.primary(COPY, host=hosts["copy"]) as copy,
        postfix.sender(SENDER, host=hosts["sender"]) as sender,
    ):
        relay = gold_relay(tmp_path, hosts["relay"])
        with relay.serving():
            wait_until(lambda: relay.domain()["health"] == "up", timeout=60, every=0.5)
            submit(hosts["sender"], [0])
            wait_until(lambda: primary.messages(GOLD), timeout=60)
            assert relay.ask("ledger", GOLD)["accepted"] == 0

            hosts["primary"].link_down()
            submit(hosts["sender"], LETTERS)
            wait_until(lambda: relay.domain()["queued"] == len(LETTERS), timeout=120, every=0.5)
            wait_until(lambda: (relay.domain()["ticket"] or {}).get("priority") == 3, timeout=60, every=0.5)
            during = relay.domain()
            assert (during["health"], during["continuity"], during["ready"]) == ("down", "active", True)
            assert len(primary.messages(GOLD)) == 1

            hosts["primary"].link_up()
            wait_until(lambda: relay.domain()["ticket"] is None, timeout=120, every=0.5)
            after = relay.domain()
            assert (after["health"], after["continuity"], after["queued"]) == ("up", "standby", 0)
            check_ticket(relay, during["ticket"]["id"])
            check_ledger(relay.ask("ledger", GOLD))

        wait_until(lambda: len(copy.messages(COPY)) == len(LETTERS) and not primary.queued(), timeout=60)
        arrived, copies = numbered(primary.messages(GOLD)), numbered(copy.messages(COPY))
        assert {number: len(messages) for number, messages in arrived.items()} == dict.fromkeys([0, *LETTERS], 1)
        for number in LETTERS:
            handed_over = below(arrived[number][0], RELAY)
            assert handed_over == below(copies[number][0], f"mail.{COPY}"), f"letter {number} was changed on its way"
            assert below(handed_over, SENDER) == as_stored(letter(number))
        assert not sender.queued()


def gold_relay(folder: Path, host: Host) -> Relay:
    """A relay for the Gold domain on port 25 of its host, known to the world by its MX record alone."""
    listen = f"{ADDRESSES['relay']}:25"
    settings: Mapping[str, Mapping[str, object]] = {
        "node": {
            "hostname": RELAY,
            "postmaster": "postmaster@relay.example",
            "mx_names": [RELAY],
            "mx_addresses": [ADDRESSES["relay"]],
        },
        "smtp": {"listen": [listen]},
        "watch": {"interval": 1.0, "down_interval": 0.5, "connect_timeout": 1.0},
        "continuity": {"ticket_after": 1, "settle": 2},
        "dns": {"resolvers": [ADDRESSES["dns"]]},
    }
    relay = Relay(folder, settings, host=host)
    relay.tell("domain", "add", GOLD, "--primary", f"mail.{GOLD}", "--business-hours", "none")
    return relay


def submit(host: Host, letters: range | list[int]) -> None:
    """Hand the letters to the sending Postfix, each for a user of the Gold domain and for the bystander."""
    with host.inside():
        client = smtplib.SMTP(host.address, 25, timeout=60)
    with client:
        for number in letters:
            recipients = [f"user{number}@{GOLD}"] + ([f"user{number}@{COPY}"] if number else [])
            client.sendmail("sender@world.example", recipients, letter(number))


def check_ticket(relay: Relay, ticket: int) -> None:
    """It was opened as P1, lowered to P3 with every proof named, and resolved."""
    shown = relay.ask("ticket", "show", str(ticket))
    assert (shown["condition"], shown["status"], shown["domains"]) == ("mailflow", "resolved", [GOLD])
    priorities = [entry for entry in shown["history"] if entry["event"] in ("opened", "reopened", "priority")]
    assert [entry["to"] for entry in priorities] == [1, 3]
    assert [proof for proof in PROOFS if proof not in priorities[1]["reason"]] == []
    assert [entry["event"] for entry in shown["history"]].count("resolved") == 1
    assert relay.ask("ticket", "list") == []


def check_ledger(ledger: dict[str, int]) -> None:
    """All that was accepted was delivered."""
    assert (ledger["accepted"], ledger["delivered"]) == (len(LETTERS), len(LETTERS))
    assert sum(ledger[fate] for fate in ("bounced", "expired", "dropped", "queued", "held")) == 0
