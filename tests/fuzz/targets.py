"""What is fuzzed of the pure parts: each target takes any octets, and asserts what must hold whatever they are.

A target fails by AssertionError, or by whatever else the code under it raises that it doesn't promise to.
"""

from __future__ import annotations

import email.parser
import email.policy
import ipaddress
import re
from collections.abc import Callable, Iterator, Mapping
from typing import TypeAlias

from relay.edge import proxy
from relay.edge.addresses import Path, parse_recipient, parse_sender
from relay.edge.chunks import Chunks
from relay.edge.content import Content
from relay.edge.header import MESSAGE_ID_LIMIT, survey
from relay.edge.lines import Lines
from relay.edge.parameters import mail_parameters, recipient_parameters
from relay.edge.received import received_line
from relay.errors import Rejected
from relay.mail import Client
from relay.queue.content import RECEIVED_ROOM
from relay.smtp.content import stuffed
from relay.smtp.dialogue import Garbage, Offers, ReplyParser, offers_of
from tests.fuzz.reports import policy, report, signature
from tests.unit.edge.test_chunks import mended

Target: TypeAlias = Callable[[bytes], None]

_CLIENT = Client("192.0.2.1", 25, "client.example", "ESMTP")
_BARE = re.compile(rb"\r(?!\n)|(?<!\r)\n")


def segments(octets: bytes) -> Iterator[bytes]:
    """``octets`` cut into small pieces, of another size for each length."""
    size = 1 + len(octets) % 5
    return (octets[at : at + size] for at in range(0, len(octets), size))


def lines(octets: bytes) -> None:
    """A command has no NUL, CR or LF in it, and segments make no difference to what is one."""

    def heard(pieces: Iterator[bytes]) -> list[bytes | str]:
        said, found = Lines(), list[bytes | str]()
        for piece in pieces:
            said.feed(piece)
            while True:
                try:
                    command = said.command()
                except Rejected as refusal:
                    found.append(f"{refusal.reply.code} {refusal.reply.enhanced}")
                    continue
                if command is None:
                    break
                assert not re.search(rb"[\0\r\n]", command)
                found.append(command)
        return found

    assert heard(iter([octets])) == heard(segments(octets))


def content(octets: bytes) -> None:
    """Segments, and when pieces are taken out, make no difference; nothing bare is left; it comes home as it is."""
    whole = Content()
    if not whole.feed(octets):
        octets += b"\r\n.\r\n"
        whole = Content()
        assert whole.feed(octets)
    text, behind = whole.rest()
    assert not _BARE.search(text)
    assert octets.endswith(behind)

    cut, found = Content(), b""
    pieces = segments(octets)
    for piece in pieces:
        if cut.feed(piece):
            break
        found += cut.piece()
    rest, more = cut.rest()
    assert found + rest == text
    assert more + b"".join(pieces) == behind
    assert cut.bare == whole.bare

    primary = Content()
    assert primary.feed(b"".join(stuffed(text)))
    assert primary.rest() == (text or b"", b"")


def chunks(octets: bytes) -> None:
    """What comes in counted chunks is mended and nothing else, however it is cut."""
    cut, found = Chunks(), b""
    for piece in segments(octets):
        assert not cut.feed(piece)
        found += cut.piece()
    assert found + cut.rest()[0] == mended(octets)


def addresses(octets: bytes) -> None:
    """An address stands in the command as it was read; a recipient has no second address in it; all else is 5xx."""
    text = octets.decode("utf-8", "replace")
    for parse, keyword in ((parse_sender, "FROM:"), (parse_recipient, "TO:")):
        for argument in (text, keyword + text, f"{keyword}<{text}>"):
            try:
                path = parse(argument)
                _check_path(path, argument)
                if parse is parse_sender:
                    mail_parameters(path.parameters)
                else:
                    assert not re.search(r"[@%!]", path.local)
                    assert path.domain or path.local.lower() == "postmaster"
                    recipient_parameters(path.parameters)
            except Rejected as refusal:
                assert refusal.reply.permanent
                assert str(refusal.reply).isascii()


def _check_path(path: Path, argument: str) -> None:
    assert f"<{path.address}>" in argument
    assert path.address.isprintable() or not path.address.isascii()
    assert not re.search(r"[\x00-\x1f\x7f<>]", path.domain)
    assert path.address.startswith(path.local)


def parameters(octets: bytes) -> None:
    """Whatever stands behind an address is understood or refused."""
    text = octets.decode("utf-8", "replace")
    for parse, take, argument in (
        (parse_sender, mail_parameters, f"FROM:<> {text}"),
        (parse_recipient, recipient_parameters, f"TO:<a@b.example> {text}"),
    ):
        try:
            asked = take(parse(argument).parameters)  # type: ignore[operator]
        except Rejected as refusal:
            assert refusal.reply.permanent
        else:
            assert all(value is None or not re.search(r"[\x00-\x20\x7f]", str(value)) for value in asked)


def header(octets: bytes) -> None:
    """Any header is looked at, and what is kept of it is short and one line."""
    found = survey(octets, frozenset({"relay.example"}))
    assert len(found.message_id) <= MESSAGE_ID_LIMIT
    assert not re.search(r"[\0\r\n]", found.message_id)


def received(octets: bytes) -> None:
    """Whatever a client calls itself, our line is one header field that a parser reads, and short."""
    name = octets.decode("utf-8", "replace").strip(" \t")
    if not name or not name.isprintable():
        return
    client = Client("2001:db8::1", 25, name.encode("ascii", "replace").decode(), "UTF8SMTPS")
    line = received_line(client, "mx.relay.example", 2**32, 4e9)
    assert len(line) <= RECEIVED_ROOM
    assert not _BARE.search(line)
    parsed = email.parser.BytesParser(policy=email.policy.SMTP).parsebytes(line + b"\r\nbody")
    assert parsed.keys() == ["Received"]
    assert parsed.get_payload() == "body"


def replies(octets: bytes) -> None:
    """What a primary says is a reply or garbage, whatever the segments, and safe to show in one line."""

    def heard(pieces: Iterator[bytes]) -> list[object]:
        parser, found = ReplyParser(), list[object]()
        for piece in pieces:
            found += parser.feed(piece)
            if found and isinstance(found[-1], Garbage):
                break
        return found

    whole = heard(iter([octets]))
    assert whole == heard(segments(octets))
    for one in whole:
        if isinstance(one, Garbage):
            assert one.text.isprintable()
        else:
            assert str(one.reply).isprintable()  # type: ignore[attr-defined]
            assert isinstance(offers_of(one.lines), Offers)  # type: ignore[attr-defined]


def proxy_header(octets: bytes) -> None:
    """A header is found when its last octet is there, and not before; nothing but Malformed is raised."""
    try:
        found = proxy.parse(octets)
    except proxy.Malformed:
        return
    if found is None:
        assert len(octets) < proxy.V2_LIMIT
        return
    assert 0 < found.size <= len(octets)
    assert not found.ip or ipaddress.ip_address(found.ip)
    assert 0 <= found.port <= 65535
    assert proxy.parse(octets[: found.size]) == found
    assert proxy.parse(octets[: found.size - 1]) is None


PURE: Mapping[str, Target] = {
    target.__name__: target
    for target in (
        *(lines, content, chunks, addresses, parameters, header, received, replies, proxy_header),
        *(report, policy, signature),
    )
}
