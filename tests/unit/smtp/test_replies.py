"""Bytes from a primary become replies, however they are cut, and nonsense is seen as nonsense."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from relay.mail import Reply
from relay.smtp.dialogue import MAX_REPLY, MAX_TEXT, Garbage, Lines, ReplyParser

REPLIES = {
    b"250 Ok\r\n": Reply(250, "", "Ok"),
    b"250\r\n": Reply(250, "", ""),
    b"250 \r\n": Reply(250, "", ""),
    b"250 2.1.0 Sender ok\r\n": Reply(250, "2.1.0", "Sender ok"),
    b"550 5.1.1\r\n": Reply(550, "5.1.1", ""),
    b"550 5.1.1    <x@y>: no such user\r\n": Reply(550, "5.1.1", "<x@y>: no such user"),
    b"354 End data with <CR><LF>.<CR><LF>\r\n": Reply(354, "", "End data with <CR><LF>.<CR><LF>"),
    # a class that isn't the code's is no enhanced status code (RFC 2034 4), nor is a number in a name
    b"550 2.1.1 odd\r\n": Reply(550, "", "2.1.1 odd"),
    b"220 2.1.0.example ready\r\n": Reply(220, "", "2.1.0.example ready"),
    # several lines: the code of the last one, one line of text, the enhanced code once
    b"550-5.7.1 Not from here.\r\n550-5.7.1\r\n550 5.7.1 See https://x.example/\r\n": Reply(
        550, "5.7.1", "Not from here. See https://x.example/"
    ),
    b"250-a\r\n451 b\r\n": Reply(451, "", "a b"),
    # line ends as some have them
    b"250 Ok\n": Reply(250, "", "Ok"),
    b"250-a\n250 b\r\n": Reply(250, "", "a b"),
    b"250 a\rb\r\n": Reply(250, "", "a b"),
    b"250 Ok\r\r\n": Reply(250, "", "Ok"),
    # what a person shall read has no control characters, and is no longer than it need be
    b"450 4.2.0 a\x1b[31mb\x00c\td\r\n": Reply(450, "4.2.0", "a [31mb c d"),
    "550 Empfänger unbekannt\r\n".encode(): Reply(550, "", "Empfänger unbekannt"),
    b"550 caf\xe9\r\n": Reply(550, "", "caf\N{REPLACEMENT CHARACTER}"),
    b"550 " + b"x" * 5000 + b"\r\n": Reply(550, "", "x" * (MAX_TEXT - 1) + "…"),
    # codes that mean nothing: temporary, by Reply's own rule
    b"150 Hm\r\n": Reply(150, "", "Hm"),
    b"777 Luck\r\n": Reply(777, "", "Luck"),
}

NONSENSE = [
    b"HTTP/1.1 400 Bad Request\r\n",
    b"SSH-2.0-OpenSSH_9.2\r\n",
    b"\x16\x03\x01\x02\x00\x01\r\n",
    b"\r\n",
    b"25 Ok\r\n",
    b"2500 Ok\r\n",
    b"250_Ok\r\n",
    b" 250 Ok\r\n",
    b"250-Ok\r\nand more\r\n250 Ok\r\n",
    "٢٥٠ Ok\r\n".encode(),
]


@pytest.mark.parametrize(("spoken", "reply"), REPLIES.items())
def test_reads_a_reply(spoken: bytes, reply: Reply) -> None:
    """A reply is its code, its enhanced status code if there is one, and one line of text."""
    (heard,) = ReplyParser().feed(spoken)
    assert isinstance(heard, Lines)
    assert heard.reply == reply


@pytest.mark.parametrize("spoken", NONSENSE)
def test_sees_nonsense(spoken: bytes) -> None:
    """What is no SMTP is said to be none, in printable words."""
    heard = ReplyParser().feed(spoken)[-1]
    assert isinstance(heard, Garbage)
    assert heard.text.isprintable()


@given(st.lists(st.sampled_from(list(REPLIES)), max_size=6), st.data())
def test_cuts_do_not_matter(spoken: list[bytes], data: st.DataObject) -> None:
    """However the bytes are cut into segments, the replies are the same."""
    stream = b"".join(spoken)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)))))
    parser = ReplyParser()
    heard = []
    for begin, end in zip([0, *cuts], [*cuts, len(stream)], strict=True):
        heard += parser.feed(stream[begin:end])
    assert [lines.reply for lines in heard if isinstance(lines, Lines)] == [REPLIES[reply] for reply in spoken]
    assert not parser.partial


@given(st.binary(max_size=300), st.integers(1, 7))
@example(b"250-a\r\n\xff\r\n", 1)
def test_any_bytes_are_heard_the_same_in_pieces(stream: bytes, size: int) -> None:
    """Arbitrary bytes give the same replies, and the same complaint, whole or in pieces."""

    def heard(pieces: list[bytes]) -> list[Lines | Garbage]:
        parser = ReplyParser()
        found: list[Lines | Garbage] = []
        for piece in pieces:
            found += parser.feed(piece)
            if found and isinstance(found[-1], Garbage):
                break
        return found

    assert heard([stream]) == heard([stream[at : at + size] for at in range(0, len(stream), size)])


@pytest.mark.parametrize(
    "piece",
    [
        b"250-" + b"x" * 60 + b"\r\n",
        b"x" * 1000,
        b"250 " + b"x" * (2 * MAX_REPLY) + b"\r\n",
        b"250-" + b"x" * MAX_REPLY + b"\r\n250 Ok\r\n",
    ],
    ids=["endless lines", "an endless line", "one line at once", "several lines at once"],
)
def test_bounds_a_reply(piece: bytes) -> None:
    """A reply of more than 64 KiB is given up, whether it comes at once or never ends."""
    parser = ReplyParser()
    found: list[Lines | Garbage] = []
    fed = 0
    while not found:
        assert fed <= MAX_REPLY
        found = parser.feed(piece)
        fed += len(piece)
    assert found == [Garbage(f"a reply of more than {MAX_REPLY} octets")]


def test_knows_that_a_reply_has_begun() -> None:
    """Half a line, or lines without their last, are a reply that is under way."""
    parser = ReplyParser()
    assert not parser.partial
    for piece in (b"2", b"50-a\r\n", b"250"):
        assert parser.feed(piece) == []
        assert parser.partial
    assert len(parser.feed(b" b\r\n")) == 1
    assert not parser.partial
