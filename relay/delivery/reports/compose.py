"""A report to a sender: multipart/report in three parts (RFC 6522): words for people, fields for programs (RFC 3464),
and the header of the original.

Pure. Of the original there is never more than its header, also where RET=FULL asked for all of it: RFC 3461 4.3 lets
an MTA say less, and a report that goes astray shouldn't carry somebody's mail. Whatever strangers wrote (addresses,
replies, the original's header) can neither add a field nor end a part. A report is in 7 bits, any server takes it;
only where the sender's own address isn't ASCII, it needs SMTPUTF8, as any mail to that sender does (RFC 6533).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Literal

from relay.delivery.reports import words
from relay.delivery.reports.fields import address, date, field, folded, host, plain, quoted_printable, status, unquoted

HEADER_LIMIT = 64 * 1024
"""Octets of the original's header that are given back."""
LINE_LIMIT = 998
"""Octets of a line (RFC 5322 2.1.1)."""

_MESSAGE_ID = re.compile(r"<[!-;=?-~]{1,700}>")
_TYPE = re.compile(r"[A-Za-z0-9-]{1,40}")


@dataclass(frozen=True, slots=True)
class Original:
    """The message that is reported on. ``envid`` and ``ret`` as they came (RFC 3461); ``size``: of its content, in
    bytes; ``received_at``: POSIX seconds."""

    sender: str
    envid: str | None
    ret: str | None
    received_at: float
    message_id: str
    smtputf8: bool
    size: int


@dataclass(frozen=True, slots=True)
class About:
    """What became of one recipient. ``reply``: the last one, as text; ``remote``: the host that said it, empty for us;
    times in POSIX seconds, None where there is none. ``retry_until``: of what is delayed."""

    address: str
    orcpt: str | None
    action: Literal["failed", "delayed"]
    reply: str
    remote: str
    tried_at: float | None
    retry_until: float | None


def report(
    original: Original,
    about: Sequence[About],
    *,
    hostname: str,
    postmaster: str,
    header: bytes,
    at: float,
    report_id: str,
) -> bytes:
    """The whole report, lines ending in CRLF; to be sent from the null sender to ``original.sender``.

    ``postmaster``: the address that it comes from; ``header``: of the original; ``report_id``: what its Message-ID
    begins with, and different for each. Raises ValueError for the null sender, who is never answered, and where it
    would be about nobody.
    """
    if not original.sender or not about:
        raise ValueError("a report needs a sender to go to, and a recipient to be about")
    wide = not original.sender.isascii()
    parts = [
        _part("text/plain", words.explain(original, about, hostname), wide=wide, charset=True),
        _part(
            f"message/{'global-' if wide else ''}delivery-status", _fields(original, about, hostname, wide), wide=wide
        ),
        _part(*_header(header, wide), wide=wide),
    ]
    boundary = _boundary(report_id, parts)
    head = [
        field("From", f"MAILER-DAEMON <{_sender(postmaster, hostname)}>"),
        field("To", f"<{plain(original.sender, wide=wide)}>"),
        field("Subject", words.subject(about)),
        field("Date", date(at)),
        field("Message-ID", f"<{_token(report_id)}@{host(hostname)}>"),
        *_thread(original.message_id),
        field("Auto-Submitted", "auto-replied"),
        field("MIME-Version", "1.0"),
        f'Content-Type: multipart/report; report-type=delivery-status;\r\n\tboundary="{boundary}"\r\n',
        *(["Content-Transfer-Encoding: 8bit\r\n"] if wide else []),
        "\r\nThis is a report on mail, in the form of RFC 3464.\r\n",
    ]
    edge = f"--{boundary}"
    body = b"".join(f"{edge}\r\n".encode() + part for part in parts)
    return "".join(head).encode() + b"\r\n" + body + f"{edge}--\r\n".encode()


def _part(kind: str, content: str | bytes, *, wide: bool, charset: bool = False) -> bytes:
    """A part with its own header, in as few bits as it needs and may have."""
    octets = content.encode() if isinstance(content, str) else content
    encoding = "7bit"
    if not _short(octets) or not (octets.isascii() or wide):
        encoding, octets = "quoted-printable", quoted_printable(octets)
    elif not octets.isascii():
        encoding = "8bit"
    if charset:
        kind += f"; charset={'us-ascii' if encoding == '7bit' else 'utf-8'}"
    return f"Content-Type: {kind}\r\nContent-Transfer-Encoding: {encoding}\r\n\r\n".encode() + octets + b"\r\n"


def _fields(original: Original, about: Sequence[About], hostname: str, wide: bool) -> str:
    """The fields of the message, and a group for each recipient (RFC 3464 2.2, 2.3)."""
    groups = [[field("Reporting-MTA", f"dns; {host(hostname)}")]]
    if original.envid:
        groups[0].append(field("Original-Envelope-Id", plain(unquoted(original.envid))))
    groups[0].append(field("Arrival-Date", date(original.received_at)))
    groups += [_recipient(one, wide) for one in about]
    return "\r\n".join("".join(group) for group in groups)


def _recipient(one: About, wide: bool) -> list[str]:
    lines = []
    if one.orcpt:
        kind, _, said = one.orcpt.partition(";")
        if _TYPE.fullmatch(kind):
            lines.append(field("Original-Recipient", address(unquoted(said), wide=wide, kind=kind)))
    lines.append(field("Final-Recipient", address(one.address, wide=wide)))
    lines.append(field("Action", one.action))
    lines.append(field("Status", status(one.reply, one.action)))
    if one.remote:
        lines.append(field("Remote-MTA", f"dns; {host(one.remote)}"))
    if one.reply:
        lines.append(folded("Diagnostic-Code", f"{'smtp' if one.remote else 'X-Relay'}; {plain(one.reply)}"))
    if one.tried_at is not None:
        lines.append(field("Last-Attempt-Date", date(one.tried_at)))
    if one.action == "delayed" and one.retry_until is not None:
        lines.append(field("Will-Retry-Until", date(one.retry_until)))
    return lines


def _header(header: bytes, wide: bool) -> tuple[str, bytes]:
    """The type and the octets of the original's header: nothing of its body, and no more than HEADER_LIMIT."""
    end = header.find(b"\r\n\r\n")
    if header.startswith(b"\r\n"):
        header = b""
    elif end >= 0:
        header = header[: end + 2]
    if len(header) > HEADER_LIMIT:
        whole = header.rfind(b"\r\n", 0, HEADER_LIMIT - 2)
        header = header[: whole + 2 if whole >= 0 else HEADER_LIMIT - 2]
    if header and not header.endswith(b"\r\n"):
        header += b"\r\n"
    return ("message/global-headers" if wide and _utf8(header) else "text/rfc822-headers"), header


def _utf8(octets: bytes) -> bool:
    try:
        octets.decode()
    except UnicodeDecodeError:
        return False
    return _short(octets)


def _short(octets: bytes) -> bool:
    """Whether they are lines that may go as they are: not too long, and without NUL, bare CR and bare LF."""
    breaks = octets.count(b"\r\n")
    if b"\0" in octets or octets.count(b"\r") != breaks or octets.count(b"\n") != breaks:
        return False
    return all(len(line) <= LINE_LIMIT for line in octets.split(b"\r\n"))


def _boundary(report_id: str, parts: Sequence[bytes]) -> str:
    """One that no part has in it; the same report has the same one each time it is made."""
    number = 0
    while True:
        boundary = sha256(f"{_token(report_id)} {number}".encode()).hexdigest()[:40]
        if not any(boundary.encode() in part for part in parts):
            return boundary
        number += 1


def _sender(postmaster: str, hostname: str) -> str:
    """The address that the report comes from; in 7 bits, for servers that know no more."""
    if not postmaster.isascii() or "@" not in postmaster:
        return f"postmaster@{host(hostname)}"
    return plain(postmaster)


def _thread(message_id: str) -> list[str]:
    """What makes mail programs show the report with its original (RFC 3834 3.1.5)."""
    if not _MESSAGE_ID.fullmatch(message_id):
        return []
    return [f"In-Reply-To: {message_id}\r\n", f"References: {message_id}\r\n"]


def _token(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9._-]", "-", text)[:64] or "report"
