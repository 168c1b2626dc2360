"""What a primary offers is understood, and it is asked for nothing else."""

from __future__ import annotations

import pytest

from relay.mail import Envelope, Recipient, Reply
from relay.smtp.dialogue import Lines, Offers, ReplyParser, command_line, mail_command, offers_of, rcpt_command, refusal

EVERYTHING = Offers(
    size=0,
    pipelining=True,
    eightbitmime=True,
    smtputf8=True,
    starttls=True,
    chunking=True,
    dsn=True,
    enhancedstatuscodes=True,
    xclient=("NAME", "ADDR"),
    xforward=("NAME", "PROTO"),
)
PLAIN = Envelope("a@b.example", (Recipient("c@d.example"),))

EHLO = {
    "250 mx.example": Offers(),
    # a greeting that looks like an offer is none
    "250 PIPELINING": Offers(),
    "250-mx.example\r\n250 SIZE 10240000": Offers(size=10240000),
    "250-mx.example\r\n250 SIZE": Offers(size=0),
    "250-mx.example\r\n250 SIZE 0": Offers(size=0),
    "250-mx.example\r\n250 size lots": Offers(size=0),
    f"250-mx.example\r\n250 SIZE {2**64 - 1}": Offers(size=0),
    f"250-mx.example\r\n250 SIZE {'9' * 5000}": Offers(size=0),
    "250-mx.example\r\n250-\r\n250 pipelining": Offers(pipelining=True),
    "250-mx.example\r\n250-SIZE\r\n250-PIPELINING\r\n250-8BITMIME\r\n250-SMTPUTF8\r\n250-STARTTLS\r\n250-CHUNKING\r\n"
    "250-DSN\r\n250-ENHANCEDSTATUSCODES\r\n250-AUTH PLAIN LOGIN\r\n250-XCLIENT name ADDR\r\n250-ETRN\r\n"
    "250 XFORWARD NAME PROTO": EVERYTHING,
}


@pytest.mark.parametrize(("spoken", "offers"), EHLO.items())
def test_reads_the_answer_to_ehlo(spoken: str, offers: Offers) -> None:
    """The keywords of EHLO count in any case, the first line is a greeting."""
    (heard,) = ReplyParser().feed(spoken.encode() + b"\r\n")
    assert isinstance(heard, Lines)
    assert offers_of(heard.lines) == offers


MAIL = [
    (PLAIN, EVERYTHING, 1000, "MAIL FROM:<a@b.example> SIZE=1000"),
    (PLAIN, EVERYTHING, None, "MAIL FROM:<a@b.example>"),
    (PLAIN, Offers(), 1000, "MAIL FROM:<a@b.example>"),
    (Envelope("", ()), EVERYTHING, None, "MAIL FROM:<>"),
    (Envelope("a@b", (), body="8BITMIME"), EVERYTHING, None, "MAIL FROM:<a@b> BODY=8BITMIME"),
    (Envelope("a@b", (), body="8BITMIME"), Offers(), None, "MAIL FROM:<a@b>"),
    (Envelope("ä@b", (), smtputf8=True), EVERYTHING, None, "MAIL FROM:<ä@b> SMTPUTF8"),
    (Envelope("a@b", (), ret="HDRS", envid="Q+3D1"), EVERYTHING, None, "MAIL FROM:<a@b> RET=HDRS ENVID=Q+3D1"),
    (Envelope("a@b", (), ret="HDRS", envid="Q+3D1"), Offers(), None, "MAIL FROM:<a@b>"),
    (Envelope('"a b>"@c', ()), Offers(), None, 'MAIL FROM:<"a b>"@c>'),
]


@pytest.mark.parametrize(("envelope", "offers", "size", "command"), MAIL)
def test_writes_mail(envelope: Envelope, offers: Offers, size: int | None, command: str) -> None:
    """MAIL carries what the message needs and the primary offers; what it doesn't offer is left out."""
    assert mail_command(envelope, offers, size) == command.encode() + b"\r\n"


RCPT = [
    (Recipient("c@d"), EVERYTHING, "RCPT TO:<c@d>"),
    (Recipient("postmaster"), EVERYTHING, "RCPT TO:<postmaster>"),
    (
        Recipient("c@d", "SUCCESS,DELAY", "rfc822;C@d"),
        EVERYTHING,
        "RCPT TO:<c@d> NOTIFY=SUCCESS,DELAY ORCPT=rfc822;C@d",
    ),
    (Recipient("c@d", "NEVER", "rfc822;C@d"), Offers(), "RCPT TO:<c@d>"),
]


@pytest.mark.parametrize(("recipient", "offers", "command"), RCPT)
def test_writes_rcpt(recipient: Recipient, offers: Offers, command: str) -> None:
    """RCPT carries the wishes for reports where the primary offers DSN."""
    assert rcpt_command(recipient, offers) == command.encode() + b"\r\n"


@pytest.mark.parametrize("character", "\r\n\0\x7f\t")
def test_never_writes_a_second_command(character: str) -> None:
    """An address with a control character is an error, not two commands."""
    with pytest.raises(ValueError, match="control character"):
        rcpt_command(Recipient(f"a@b>{character}DATA"), Offers())


def test_carries_bytes_of_an_address_as_they_came() -> None:
    """Octets that are no UTF-8 go out as the octets that came in."""
    assert (
        command_line("RCPT TO:<" + b"caf\xe9@d".decode("utf-8", "surrogateescape") + ">") == b"RCPT TO:<caf\xe9@d>\r\n"
    )


REFUSED = [
    (PLAIN, Offers(), 10**9, None),
    (PLAIN, Offers(size=0), 10**9, None),
    (PLAIN, Offers(size=1000), 1000, None),
    (PLAIN, Offers(size=1000), None, None),
    (PLAIN, Offers(size=1000), 1001, (552, "5.3.4")),
    (Envelope("a@b", (Recipient("c@d"),), body="8BITMIME"), Offers(), 1, None),
    (Envelope("a@b", (Recipient("c@d"),), smtputf8=True), Offers(smtputf8=True), 1, None),
    (Envelope("a@b", (Recipient("c@d"),), smtputf8=True), Offers(), 1, (550, "5.6.7")),
    (Envelope("ä@b", (Recipient("c@d"),)), Offers(), 1, (550, "5.6.7")),
    (Envelope("a@b", (Recipient("c@d"), Recipient("ö@d"))), Offers(), 1, (550, "5.6.7")),
]


@pytest.mark.parametrize(("envelope", "offers", "size", "expected"), REFUSED)
def test_refuses_what_the_primary_can_not_take(
    envelope: Envelope, offers: Offers, size: int | None, expected: tuple[int, str] | None
) -> None:
    """Too large, or SMTPUTF8 where there is none, is refused here; 8-bit content is tried all the same."""
    reply = refusal(envelope, offers, size)
    assert (reply and (reply.code, reply.enhanced)) == expected
    assert reply is None or isinstance(reply, Reply)
