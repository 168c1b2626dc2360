"""The header with which a load balancer says whose connection it hands on: the PROXY protocol, versions 1 and 2.

Read from listed peers alone (``[smtp] proxy_protocol_from``), before anything else is said. Strict: what is no header
is :class:`Malformed`, and nothing is guessed. The address is believed, since the peer is; its extensions (TLVs) are
skipped. Pure. The protocol's own specification is HAProxy's proxy-protocol.txt, sections 2.1 and 2.2.
"""

from __future__ import annotations

import ipaddress
import re
import struct
from typing import NamedTuple

SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
V1_LIMIT = 107
"""Octets of a header of version 1, its CRLF included."""
V2_LIMIT = 16 + 4096
"""Octets of a header of version 2 that we read; the specification asks for 536 and allows 65,551."""

_ADDRESS = rb"([0-9A-Fa-f:.]+)"  # without a zone: ipaddress takes any characters for one
_PORT = rb"(0|[1-9]\d{0,4})"
_V1 = re.compile(rb"PROXY (?:UNKNOWN(?: [^\r]*)?|(TCP4|TCP6) %b %b %b %b)\r\n" % (_ADDRESS, _ADDRESS, _PORT, _PORT))
_LOCAL, _PROXY = 0x20, 0x21
_ADDRESSES = {0x11: (4, 12), 0x21: (16, 36)}
"""By family and transport, TCP alone: (octets of an address, of addresses and ports together)."""


class Malformed(ValueError):
    """What came is no header."""


class Header(NamedTuple):
    """``size``: its octets. ``ip``, ``port``: the client's; empty where the connection is the proxy's own."""

    size: int
    ip: str = ""
    port: int = 0


def parse(octets: bytes) -> Header | None:
    """The header that ``octets`` begin with; None where more of it must come. Raises Malformed."""
    if octets.startswith(SIGNATURE[: len(octets)]):
        return _version_2(octets) if len(octets) >= 16 else None
    if octets.startswith(b"PROXY "[: len(octets)]):
        return _version_1(octets)
    raise Malformed("no PROXY header")


def _version_1(octets: bytes) -> Header | None:
    end = octets.find(b"\n", 0, V1_LIMIT)
    if end < 0:
        if len(octets) >= V1_LIMIT:
            raise Malformed("a PROXY header without an end")
        return None
    found = _V1.fullmatch(octets[: end + 1])
    if found is None:
        raise Malformed("a PROXY header of version 1 that makes no sense")
    if found[1] is None:
        return Header(end + 1)
    family, source, destination, port, _ = found.groups()
    version = 4 if family == b"TCP4" else 6
    addresses = [_address(text.decode("ascii", "replace"), version) for text in (source, destination)]
    if max(int(found[4]), int(found[5])) > 65535:
        raise Malformed("a PROXY header with a port that is none")
    return Header(end + 1, addresses[0], int(port))


def _version_2(octets: bytes) -> Header | None:
    command, family, length = struct.unpack_from("!BBH", octets, len(SIGNATURE))
    size = 16 + length
    if command not in (_LOCAL, _PROXY) or size > V2_LIMIT:
        raise Malformed("a PROXY header of version 2 that makes no sense")
    if len(octets) < size:
        return None
    if command == _LOCAL:
        return Header(size)
    width, needed = _ADDRESSES.get(family, (0, 0))
    if not needed or length < needed:
        raise Malformed("a PROXY header without TCP addresses")
    ip = str(ipaddress.ip_address(octets[16 : 16 + width]))
    return Header(size, ip, struct.unpack_from("!H", octets, 16 + 2 * width)[0])


def _address(text: str, version: int) -> str:
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        raise Malformed("a PROXY header with an address that is none") from None
    if address.version != version:
        raise Malformed("a PROXY header whose addresses are of another family")
    return str(address)
