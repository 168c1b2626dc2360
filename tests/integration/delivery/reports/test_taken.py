"""Reports as a real mail server takes them, one that refuses what isn't in order."""

from __future__ import annotations

import smtplib
from dataclasses import replace
from email import message_from_bytes
from email.message import Message

import pytest

from relay.delivery.reports.compose import About, Original, report
from tests.support import postfix
from tests.support.processes import free_port
from tests.support.waiting import eventually

pytestmark = pytest.mark.real

STRICT = {
    "strict_mime_encoding_domain": "yes",
    "strict_8bitmime_body": "yes",
    "strict_rfc821_envelopes": "yes",
    "smtputf8_enable": "yes",
}
ORIGINAL = Original("alice@world.example", "x+2By", "FULL", 1_790_000_000.0, "<1@world.example>", True, 4000)
ABOUT = [
    About(
        "bob@gold.example", "rfc822;bob@gold.example", "failed", "550 5.1.1 nobody", "mail.gold.example", 1.79e9, None
    ),
    About("zoë@gold.example", None, "delayed", "451 4.3.0 não há", "192.0.2.25", 1.79e9, 1.791e9),
]
HEADER = "Received: from a by b\r\nSubject: grüße\r\nX-Long: ".encode() + b"y" * 5000 + b"\r\n"


def made(original: Original) -> bytes:
    return report(
        original,
        ABOUT,
        hostname="mx.relay.example",
        postmaster="postmaster@relay.example",
        header=HEADER,
        at=1_790_000_000.0,
        report_id="r1",
    )


def kinds(message: Message) -> list[str]:
    parts = message.get_payload()
    assert isinstance(parts, list)
    return [part.get_content_type() for part in parts if isinstance(part, Message)]


async def test_postfix_takes_it() -> None:
    """To a sender in ASCII, and by SMTPUTF8 to one beyond; each arrives as it was, and one out of order wouldn't."""
    narrow, wide = made(ORIGINAL), made(replace(ORIGINAL, sender="jürgen@world.example"))
    with postfix.primary("world.example", port=free_port(), **STRICT) as primary:
        with smtplib.SMTP("127.0.0.1", primary.port, timeout=30) as client:
            client.sendmail("", ["alice@world.example"], narrow)
            client.sendmail("", ["jürgen@world.example"], wide, ["SMTPUTF8", "BODY=8BITMIME"])
            with pytest.raises(smtplib.SMTPDataError):
                client.sendmail("", ["jürgen@world.example"], wide.replace(b": 8bit", b": 7bit"), ["SMTPUTF8"])
        await eventually(lambda: len(primary.messages("world.example")) == 2, timeout=60)
        arrived = sorted(message[message.index(b"From: M") :] for message in primary.messages("world.example"))
    assert arrived == sorted(sent.replace(b"\r\n", b"\n") for sent in (narrow, wide))
    assert [kinds(message_from_bytes(came)) for came in arrived] == [
        ["text/plain", "message/delivery-status", "text/rfc822-headers"],
        ["text/plain", "message/global-delivery-status", "text/rfc822-headers"],
    ]
