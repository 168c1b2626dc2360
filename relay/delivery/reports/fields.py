"""The fields of a report: values that strangers wrote, made into what a field may have. Pure.

RFC 3464 for the fields, RFC 3463 for the status, RFC 3461 for xtext, RFC 6533 for addresses that aren't ASCII.
"""

from __future__ import annotations

import binascii
import ipaddress
import re
from email.utils import formatdate

LIMIT = 900
"""Octets of a value, cut past that: what has no blanks can't be folded, and still has to fit in a line of 998."""
FOLD = 78
"""RFC 5322 2.1.1."""

_ENHANCED = re.compile(r"(?:(\d)\d\d[ -])?\s*([245])\.(\d{1,3}\.\d{1,3})(?!\S)")
_CODE = re.compile(r"([245])\d\d(?!\S)")
_XTEXT = re.compile(r"\+([0-9A-F]{2})")
_NAME = re.compile(r"[A-Za-z0-9._:\[\]-]{1,255}")


def field(name: str, value: str) -> str:
    """A field with its CRLF, in one line. ``value`` has no control characters (:func:`plain`)."""
    return f"{name}: {value}\r\n"


def folded(name: str, value: str) -> str:
    """The same, in as many lines as its blanks allow. Not for addresses: many programs read no further than a line."""
    lines = [f"{name}:"]
    for word in value.split(" "):
        if word and len(lines[-1]) + 1 + len(word) > FOLD and lines[-1] != f"{name}:":
            lines.append("")
        lines[-1] += f" {word}"
    return "".join(f"{line}\r\n" for line in lines)


def plain(text: str, *, wide: bool = False) -> str:
    """``text`` as one line of printable characters, what isn't is a question mark. ``wide``: beyond ASCII too."""
    return _cut("".join(one if _may(one, wide) else "?" for one in text[: LIMIT + 1]).strip())


def address(text: str, *, wide: bool, kind: str = "rfc822") -> str:
    """An address with its type: ``rfc822; a@b.example``, or ``utf-8`` where it isn't ASCII (RFC 6533 section 3)."""
    written = _cut("".join(_written(one, wide) for one in text[: LIMIT + 1]).strip())
    return f"{kind if text.isascii() else 'utf-8'}; {written}"


def unquoted(xtext: str) -> str:
    """What xtext says (RFC 3461 section 4); reports say it decoded (6.3)."""
    octets = _XTEXT.sub(lambda found: chr(int(found[1], 16)), xtext)
    try:
        return octets.encode("latin-1").decode()
    except UnicodeError:
        return octets


def date(at: float) -> str:
    """POSIX seconds as mail writes them, in UTC."""
    return formatdate(at)[:-5] + "+0000"


def host(name: str) -> str:
    """A host's name, or its address as an address literal (RFC 5321 4.1.3)."""
    try:
        ip = ipaddress.ip_address(name)
    except ValueError:
        return name if _NAME.fullmatch(name) else "unknown"
    return f"[{'IPv6:' if ip.version == 6 else ''}{ip}]"


def status(reply: str, action: str) -> str:
    """The status of a recipient (RFC 3463), from the last reply.

    The reply's code decides its class, whatever its enhanced code says. What failed with 4xx failed because time was
    up: it keeps the code of what was wrong, as RFC 3463 wants (X.4.7), and gets 4.4.7 where nothing said what that was.
    A delay is temporary (RFC 3464 2.3.4).
    """
    code, enhanced = _CODE.match(reply), _ENHANCED.match(reply)
    said = code[1] if code else enhanced[2] if enhanced else ""
    kind = "4" if action == "delayed" or said == "4" else "5"
    if enhanced:
        return f"{kind}.{enhanced[3]}"
    if said or action == "delayed":
        return f"{kind}.0.0"
    return "4.4.7"


def quoted_printable(octets: bytes) -> bytes:
    """RFC 2045 6.7, line by line: CRLF stays, a CR or LF by itself is encoded."""
    lines = (binascii.b2a_qp(line, istext=False) for line in octets.split(b"\r\n"))
    return b"\r\n".join(lines).replace(b"=\n", b"=\r\n")


def _cut(text: str) -> str:
    if len(text.encode()) <= LIMIT:
        return text
    return text.encode()[: LIMIT - 3].decode(errors="ignore") + "..."


def _may(character: str, wide: bool) -> bool:
    return " " <= character <= "~" or (wide and character > "~" and character.isprintable())


def _written(character: str, wide: bool) -> str:
    if _may(character, wide):
        return character
    return f"\\x{{{ord(character):02X}}}" if character > "~" and character.isprintable() else "?"
