"""Where webhooks may go, how long helpdesks may ask us to wait, and what a report has to say."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from standardwebhooks import Webhook as Signer

from relay.errors import HelpdeskDown, HelpdeskError
from relay.tickets.helpdesks.addresses import is_public
from relay.tickets.helpdesks.helpdesk import Act, Word
from relay.tickets.helpdesks.http import Answer, refusal, retry_after
from relay.tickets.helpdesks.report import Malformed, Unsigned, read_report

SECRET = Signer("whsec_" + "bmV3" * 11)
OTHER = Signer("whsec_" + "b2xk" * 11)


OWN = """
    127.0.0.1 10.1.2.3 172.16.0.1 192.168.1.1 169.254.169.254 0.0.0.0 100.64.0.1 224.0.0.1 255.255.255.255 192.0.2.1
    ::1 :: fe80::1 fe80::1%eth0 fc00::1 fec0::1 ff02::1 ::ffff:10.0.0.1 ::10.0.0.1 64:ff9b::7f00:1 2002:7f00:1::
    2001:0:0:0:0:0:80ff:fffe
"""


@pytest.mark.parametrize("address", OWN.split())
def test_an_address_of_somebodys_own_network_is_not_public(address: str) -> None:
    """Loopback, private, link-local, shared, multicast and reserved ones, also inside an address of IPv6."""
    assert not is_public(address)


@pytest.mark.parametrize("address", ["9.9.9.9", "2620:fe::fe", "::ffff:9.9.9.9", "64:ff9b::909:909", "2002:909:909::"])
def test_an_address_of_the_internet_is_public(address: str) -> None:
    """Also where an address of IPv6 stands for one of IPv4."""
    assert is_public(address)


def test_retry_after_is_seconds_or_a_date() -> None:
    """RFC 9110 10.2.3; what is neither is as if it weren't there."""
    assert retry_after("120", 0.0) == 120
    assert retry_after("Thu, 01 Jan 1970 00:05:00 GMT", 60.0) == 240
    assert retry_after("Thu, 01 Jan 1970 00:00:00 GMT", 60.0) == 0
    assert [retry_after(text, 0.0) for text in ("", "soon", "-5", "1.5e3", "²")] == [None] * 5


def test_what_a_no_means() -> None:
    """Some say that nothing is taken now, the others only that this wasn't."""
    assert isinstance(refusal(Answer(503, {}, b""), 0.0), HelpdeskDown)
    assert isinstance(refusal(Answer(500, {"retry-after": "7"}, b""), 0.0), HelpdeskDown)
    assert not isinstance(refusal(Answer(500, {}, b""), 0.0), HelpdeskDown)
    unauthorised = refusal(Answer(401, {}, b"no"), 0.0)
    assert isinstance(unauthorised, HelpdeskDown)
    assert unauthorised.wait == 600
    moved = refusal(Answer(301, {"location": "https://new.example/"}, b""), 0.0)
    assert "set [helpdesk] url" in str(moved)
    with pytest.raises(HelpdeskError, match="no JSON"):
        Answer(200, {}, b"<html>").json()


def signed(report: Any, signer: Signer = SECRET, *, age: float = 0.0) -> tuple[bytes, dict[str, str]]:
    body = report if isinstance(report, bytes) else json.dumps(report).encode()
    at = datetime.now(UTC) - timedelta(seconds=age)
    return body, {
        "webhook-id": "r-1",
        "webhook-timestamp": str(int(at.timestamp())),
        "webhook-signature": signer.sign("r-1", at, body.decode("latin-1")),
    }


GOOD = {"ticket": 3, "action": "respond", "actor": "dana", "text": "on it", "at": "2026-11-23T00:10:00Z"}


def test_a_report_is_a_persons_word() -> None:
    """Any of our secrets may have signed it; its id is its own, and its time is what it says."""
    for signer in (SECRET, OTHER):
        word = read_report(*signed(GOOD, signer), [SECRET, OTHER])
        assert word == Word("webhook r-1", 3, Act.RESPOND, "dana", "on it", 1795392600.0)


def test_a_report_that_nobody_signed_lately_is_nobodys() -> None:
    """Another's signature, an old or a future one, a changed body and strange headers are all refused alike."""
    body, headers = signed(GOOD)
    broken = [
        signed(GOOD, OTHER),
        signed(GOOD, age=301),
        signed(GOOD, age=-301),
        (body + b" ", headers),
        (body, {**headers, "webhook-id": "r-2"}),
        (body, {}),
        (body, {**headers, "webhook-signature": "v1"}),
        (body, {**headers, "webhook-signature": "v1,\xff v1a,xx"}),
        (body, {**headers, "webhook-timestamp": "nan"}),
        (b"\xff\xfe", headers),
    ]
    for attempt in broken:
        with pytest.raises(Unsigned):
            read_report(*attempt, [SECRET])


@pytest.mark.parametrize(
    ("report", "said"),
    [
        (b"{", "should be JSON"),
        (b"[" * 100_000, "should be JSON"),
        ([], "should be an object"),
        ({**GOOD, "stauts": "x"}, "'stauts' isn't known here"),
        ({**GOOD, "ticket": "3"}, "ticket should be a number"),
        ({**GOOD, "ticket": True}, "ticket should be a number"),
        ({**GOOD, "ticket": 2**40}, "ticket should be a number"),
        ({**GOOD, "action": "close"}, "action should be one of acknowledge, opened"),
        ({**GOOD, "action": None}, "action should be one of"),
        ({**GOOD, "actor": " "}, "actor should say something"),
        ({**GOOD, "actor": "d" * 201}, "actor should be text of at most 200"),
        ({**GOOD, "text": ""}, "text should say something"),
        ({**GOOD, "text": "\ud800"}, "text should be text"),
        ({**GOOD, "text": "a\0b"}, "text should be text"),
        ({**GOOD, "at": "yesterday"}, "at should be a time"),
        ({**GOOD, "at": 5}, "at should be a time"),
        ({**GOOD, "action": "priority"}, "priority should be a number from 1 to 3"),
    ],
)
def test_a_report_that_says_something_else_is_told_what_is_wrong(report: Any, said: str) -> None:
    """One sentence names the key and what it should be."""
    with pytest.raises(Malformed, match=said.replace("(", r"\(")):
        read_report(*signed(report), [SECRET])
