"""Our Received line: parseable, whatever the client calls itself."""

from __future__ import annotations

import email
import email.policy
import re
from email.utils import parsedate_to_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.edge.received import received_line
from relay.mail import Client
from relay.queue.content import RECEIVED_ROOM

AT = 1795457429.0


def test_the_line_says_who_where_how_and_when() -> None:
    """One folded field with from, by, with, id and a date."""
    line = received_line(Client("192.0.2.7", 4711, "mail.client.example", "ESMTPS"), "relay.example", 42, AT)
    assert line == (
        b"Received: from mail.client.example ([192.0.2.7])\r\n"
        b"\tby relay.example with ESMTPS id 6B048195.2A;\r\n"
        b"\tMon, 23 Nov 2026 18:10:29 +0000\r\n"
    )


@pytest.mark.parametrize("ip", ["192.0.2.7", "2001:db8::7"])
@given(name=st.text(min_size=1, max_size=400))
def test_no_name_breaks_the_line(ip: str, name: str) -> None:
    """Whatever stands in EHLO, the message has one more field, in short lines, and nothing else is changed."""
    line = received_line(Client(ip, 1, name, "ESMTP"), "relay.example", 1, AT)
    assert re.fullmatch(rb"Received: [ -~]+(\r\n\t[ -~]+)*\r\n", line)
    assert len(line) <= RECEIVED_ROOM
    message = email.message_from_bytes(line + b"Subject: x\r\n\r\nbody\r\n", policy=email.policy.SMTP)
    assert message.keys() == ["Received", "Subject"]
    assert parsedate_to_datetime(message["Received"].rpartition(";")[2]).timestamp() == AT
    assert f"{ip}])" in message["Received"]


def test_the_longest_names_take_no_more_than_their_room() -> None:
    """A client and a host whose names are as long as names can be."""
    client = Client("2001:0db8:aaaa:bbbb:cccc:dddd:255.255.255.255", 1, "a" * 255, "UTF8SMTPS")
    assert len(received_line(client, "b" * 253, 2**63, AT)) <= RECEIVED_ROOM


def test_a_long_name_is_folded() -> None:
    """Lines stay under 79 octets where words allow it."""
    line = received_line(Client("192.0.2.7", 1, "a" * 52 + ".example", "SMTP"), "relay.example", 1, AT)
    assert all(len(part) <= 78 for part in line.split(b"\r\n"))
