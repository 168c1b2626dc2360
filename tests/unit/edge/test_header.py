"""What is read in a header: the Message-ID, and whether the message goes round in circles."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.edge.header import LIMIT, survey

OURS = {"relay.example", "mx.relay.example"}


@pytest.mark.parametrize(
    ("header", "message_id"),
    [
        (b"Message-ID: <a@b>\r\n", "<a@b>"),
        (b"Subject: x\r\nmessage-id:<a@b>\r\nTo: y\r\n", "<a@b>"),
        (b"Message-ID:\r\n <a@b>\r\n\t(folded)\r\nTo: y\r\n", "<a@b> (folded)"),
        (b"X-Message-ID: <a@b>\r\n", ""),
        (b"Message-ID: \xff\0<a@b>\r\n", "\N{REPLACEMENT CHARACTER} <a@b>"),
        (b"Message-ID: " + b"x" * 2000 + b"\r\n", "x" * 500),
        (b"\r\nMessage-ID: <in@body>\r\n", ""),
        (b"", ""),
    ],
)
def test_the_message_id_is_that_of_the_header(header: bytes, message_id: str) -> None:
    """Folded, odd or missing; what stands in the body isn't one."""
    assert survey(header + b"\r\nMessage-ID: <body@b>\r\n", OURS).message_id == message_id


def hops(count: int, by: str) -> bytes:
    return b"".join(b"Received: from a by %s with SMTP;\r\n\tdate\r\n" % by.encode() for _ in range(count))


@pytest.mark.parametrize(
    ("header", "loops"),
    [
        (hops(100, "other.example"), False),
        (hops(101, "other.example"), True),
        (hops(3, "relay.example") + hops(50, "other.example"), False),
        (hops(4, "relay.example"), True),
        (hops(2, "other.example") + hops(2, "MX.Relay.Example.") + hops(2, "relay.example"), True),
        (hops(4, "notrelay.example"), False),
        (hops(4, "x\r\n\trelay.example"), False),
        (hops(4, "\r\n\trelay.example"), True),
        (b"Subject: x\r\n\r\n" + hops(200, "relay.example"), False),
    ],
)
def test_too_many_hops_are_a_loop(header: bytes, loops: bool) -> None:
    """Over 100 Received fields, or four of ours; the body doesn't count."""
    assert survey(header + b"\r\nbody\r\n", OURS).loops is loops


def test_only_the_beginning_of_a_huge_header_is_read() -> None:
    """A header without end costs no more than its first part."""
    assert survey(b"X: " + b"x" * LIMIT + b"\r\nMessage-ID: <late@b>\r\n", OURS).message_id == ""


@given(st.binary(max_size=200))
def test_nothing_in_a_header_breaks_it(octets: bytes) -> None:
    """Any octets are a header."""
    survey(b"Received:" + octets + b"\r\nreceived: by" + octets + b"\r\nMessage-ID:" + octets, OURS)
