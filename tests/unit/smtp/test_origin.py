"""What a primary is told of a message's client: all that it wants to know and we know, and nothing else."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.mail import Client
from relay.smtp.origin import MAX_COMMAND, MAX_VALUE, TEMPUNAVAIL, Origin, xclient_command, xforward_command

XFORWARD = ("NAME", "ADDR", "PROTO", "HELO", "SOURCE", "PORT", "IDENT")
XCLIENT = ("NAME", "ADDR", "PROTO", "HELO", "REVERSE_NAME", "PORT", "LOGIN", "DESTADDR", "DESTPORT")
PLAIN = Origin(Client("192.0.2.1", 4321, "mail.b.example", "ESMTPS"), "17")
NAMED = Origin(Client("2001:db8::1", 0, "b", "SMTP"), name="mail.b.example", reverse_name="mail.b.example")

FORWARDED = [
    (
        PLAIN,
        XFORWARD,
        "NAME=[UNAVAILABLE] ADDR=192.0.2.1 PROTO=ESMTPS HELO=mail.b.example SOURCE=REMOTE PORT=4321 IDENT=17",
    ),
    (PLAIN, ("ADDR",), "ADDR=192.0.2.1"),
    (PLAIN, ("ADDR", "SHOE_SIZE", "ADDR"), "ADDR=192.0.2.1"),
    (
        NAMED,
        ("NAME", "ADDR", "PORT", "IDENT"),
        "NAME=mail.b.example ADDR=IPV6:2001:db8::1 PORT=[UNAVAILABLE] IDENT=[UNAVAILABLE]",
    ),
    (Origin(Client("192.0.2.1", 1, "[192.0.2.1]")), ("HELO",), "HELO=[192.0.2.1]"),
    (Origin(Client("192.0.2.1", 1, "a+b=c")), ("HELO",), "HELO=a+2Bb+3Dc"),
    (Origin(Client("192.0.2.1", 1, 'a b\tc<d>"e;@é')), ("HELO",), "HELO=a?b?c?d??e???"),
    (Origin(Client("192.0.2.1", 1, "x" * 256)), ("HELO",), "HELO=[UNAVAILABLE]"),
    (Origin(Client("192.0.2.1", 1, "=" * 100)), ("HELO",), "HELO=[UNAVAILABLE]"),
]


@pytest.mark.parametrize(("origin", "offered", "said"), FORWARDED)
def test_xforward(origin: Origin, offered: tuple[str, ...], said: str) -> None:
    """XFORWARD carries what is offered, in xtext; what isn't known is said to be unavailable."""
    assert xforward_command(origin, offered) == f"XFORWARD {said}\r\n".encode()


def test_nothing_to_say() -> None:
    """Without an offer that we know, or without an origin, there is no command."""
    assert xforward_command(PLAIN, ()) == b""
    assert xforward_command(PLAIN, ("SHOE_SIZE",)) == b""
    assert xforward_command(None, XFORWARD) == b""


CLIENTS = [
    (
        PLAIN,
        "NAME=[UNAVAILABLE] ADDR=192.0.2.1 PROTO=ESMTP HELO=mail.b.example REVERSE_NAME=[UNAVAILABLE] PORT=4321",
    ),
    (
        NAMED,
        "NAME=mail.b.example ADDR=IPV6:2001:db8::1 PROTO=SMTP HELO=b REVERSE_NAME=mail.b.example PORT=[UNAVAILABLE]",
    ),
    (
        Origin(Client("192.0.2.1", 1, "h"), name=TEMPUNAVAIL, reverse_name=TEMPUNAVAIL),
        "NAME=[TEMPUNAVAIL] ADDR=192.0.2.1 PROTO=ESMTP HELO=h REVERSE_NAME=[TEMPUNAVAIL] PORT=1",
    ),
]


@pytest.mark.parametrize(("origin", "said"), CLIENTS)
def test_xclient(origin: Origin, said: str) -> None:
    """XCLIENT says of names what is known, and of the protocol what Postfix understands; never a login."""
    assert xclient_command(origin, XCLIENT) == f"XCLIENT {said}\r\n".encode()


@given(st.text(max_size=300), st.text("abc.-", max_size=253), st.text("abc.-", max_size=253))
def test_any_names_make_one_sound_command(helo: str, name: str, reverse_name: str) -> None:
    """Whatever a client calls itself, the command is one line of printable ASCII within the limits, and so is EHLO."""
    origin = Origin(Client("2001:db8::1", 4321, helo or "x", "UTF8SMTPS"), "9" * 20, name, reverse_name)
    for command in (xclient_command(origin, XCLIENT), xforward_command(origin, XFORWARD)):
        assert re.fullmatch(rb"[A-Z]+(?: [A-Z_]+=[!-~]+)+\r\n", command)
        assert len(command) <= MAX_COMMAND
        assert all(len(word.partition(b"=")[2]) <= MAX_VALUE for word in command.split())
        assert b"ADDR=IPV6:2001:db8::1" in command
    assert re.fullmatch(r"[!-~]{1,255}", origin.greeting)
