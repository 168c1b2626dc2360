"""Headers of the PROXY protocol: read exactly, or not at all."""

from __future__ import annotations

import ipaddress
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.edge.proxy import SIGNATURE, V2_LIMIT, Header, Malformed, parse

PORTS = st.integers(0, 65535)


def version_2(command: int, family: int, payload: bytes) -> bytes:
    return SIGNATURE + struct.pack("!BBH", command, family, len(payload)) + payload


@given(st.ip_addresses(), st.ip_addresses(), PORTS, PORTS, st.binary(max_size=40), st.integers(0, 200))
def test_who_the_client_is(
    source: ipaddress.IPv4Address, other: ipaddress.IPv4Address, port: int, at: int, behind: bytes, cut: int
) -> None:
    """Both versions name the client's address and port; until all of a header is there, more is waited for."""
    destination = other if other.version == source.version else source
    ports = struct.pack("!HH", port, at)
    headers = [
        f"PROXY TCP{source.version} {source} {destination} {port} {at}\r\n".encode(),
        version_2(
            0x21, 0x11 if source.version == 4 else 0x21, source.packed + destination.packed + ports + b"\x04\0\0"
        ),
    ]
    for header in headers:
        assert parse(header + behind) == Header(len(header), str(source), port)
        assert parse(header[: min(cut, len(header) - 1)]) is None


@pytest.mark.parametrize(
    "header",
    [
        b"PROXY UNKNOWN\r\n",
        b"PROXY UNKNOWN ffff::1 ffff::2 1 2\r\n",
        version_2(0x20, 0, b""),
        version_2(0x20, 0x11, bytes(12)),
    ],
)
def test_the_proxys_own_connections(header: bytes) -> None:
    """UNKNOWN and LOCAL name nobody: the connection is the proxy's own, such as its health check."""
    assert parse(header + b"EHLO x\r\n") == Header(len(header))


@pytest.mark.parametrize(
    "octets",
    [
        b"EHLO client.example\r\n",
        b"GET / HTTP/1.1\r\n",
        b"\r\n\r\n\0\r\nQUIX\n" + bytes(4),
        b"proxy TCP4 192.0.2.1 192.0.2.2 1 2\r\n",
        b"PROXY TCP4 192.0.2.1 192.0.2.2 1\r\n",
        b"PROXY TCP4 192.0.2.1 192.0.2.2 1 65536\r\n",
        b"PROXY TCP4 192.0.2.1 192.0.2.2 01 2\r\n",
        b"PROXY TCP4  192.0.2.1 192.0.2.2 1 2\r\n",
        b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2 \r\n",
        b"PROXY TCP4 2001:db8::1 2001:db8::2 1 2\r\n",
        b"PROXY TCP6 192.0.2.1 192.0.2.2 1 2\r\n",
        b"PROXY TCP4 192.0.2.256 192.0.2.2 1 2\r\n",
        b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\n",
        b"PROXY TCP5 192.0.2.1 192.0.2.2 1 2\r\n",
        b"PROXY UNKNOWN" + b"x" * 100,
        version_2(0x11, 0x11, bytes(12)),
        version_2(0x22, 0x11, bytes(12)),
        version_2(0x21, 0x11, bytes(11)),
        version_2(0x21, 0x12, bytes(12)),
        version_2(0x21, 0x31, bytes(216)),
        version_2(0x21, 0x00, b""),
        version_2(0x21, 0x11, bytes(V2_LIMIT)),
    ],
)
def test_what_is_no_header(octets: bytes) -> None:
    """Nothing is guessed: other versions, families, transports and spellings are refused."""
    with pytest.raises(Malformed):
        parse(octets + b"\r\n" * (not octets.endswith(b"\n")) * 2)


@given(st.binary(max_size=300))
def test_any_octets_are_a_header_or_not(octets: bytes) -> None:
    """Whatever a peer says, the answer is a header of what is there, more please, or no."""
    for start in (b"", b"PROXY ", SIGNATURE):
        try:
            header = parse(start + octets)
        except Malformed:
            continue
        assert header is None or 0 < header.size <= len(start + octets)
