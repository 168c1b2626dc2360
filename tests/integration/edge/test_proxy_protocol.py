"""Behind a load balancer: the client is whom the listed peer's header names, and nobody else can say who it is."""

from __future__ import annotations

import asyncio
import smtplib
import struct
from pathlib import Path

import pytest

from relay.edge.proxy import SIGNATURE
from relay.errors import SettingsError
from relay.settings import load
from tests.integration.edge.house import Client, House, house
from tests.support.haproxy import haproxy
from tests.support.waiting import eventually

LOOPBACK = ["127.0.0.0/8", "::1"]
LETTER = b"Subject: x\r\n\r\nhello"


def version_1(ip: str) -> bytes:
    return f"PROXY TCP4 {ip} 192.0.2.25 40000 25\r\n".encode()


def version_2(ip: str) -> bytes:
    octets = bytes(int(part) for part in ip.split("."))
    return SIGNATURE + struct.pack("!BBH4s4sHH3s", 0x21, 0x11, 15, octets, octets, 40001, 25, b"\x04\0\0")


def version_1_mapped(ip: str) -> bytes:
    return f"PROXY TCP6 ::ffff:{ip} ::ffff:192.0.2.25 40000 25\r\n".encode()


def version_2_mapped(ip: str) -> bytes:
    octets = bytes(10) + b"\xff\xff" + bytes(int(part) for part in ip.split("."))
    return SIGNATURE + struct.pack("!BBH16s16sHH", 0x21, 0x21, 36, octets, octets, 40001, 25)


async def greeted(client: Client, header: bytes) -> str:
    """What is heard after a header."""
    await client.send(header)
    return await client.reply()


@pytest.mark.parametrize("header", [version_1, version_2, version_1_mapped, version_2_mapped])
async def test_the_client_is_the_one_that_the_header_names(header: object, tmp_path: Path) -> None:
    """In the Received line, in the row of the message and for the limits; an IPv4 client stays one where the balancer
    listens for both families on one socket. Commands may follow in the same packet."""
    assert callable(header)
    async with (
        house(tmp_path, proxy_protocol_from=LOOPBACK, max_connections_per_client=1) as relay,
        relay.client(hello=False) as client,
        relay.client(hello=False) as same,
        relay.client(hello=False) as other,
    ):
        assert (await greeted(client, header("198.51.100.7"))).startswith("220 ")
        await client.ask("EHLO client.example")
        assert (await client.mail(LETTER)).startswith("250 2.0.0 ")
        (stored,) = await relay.stored()
        assert b"client.example ([198.51.100.7])" in stored.received
        assert stored.row.client.ip == "198.51.100.7"
        assert (await greeted(same, header("198.51.100.7"))).startswith("421 4.7.0 ")
        assert await same.ended()
        assert (await greeted(other, header("198.51.100.8"))).startswith("220 ")
        await client.ask("QUIT")

        async def let_in_again() -> bool:
            async with relay.client(hello=False) as again:
                return (await greeted(again, header("198.51.100.7"))).startswith("220 ")

        await eventually(let_in_again)


@pytest.mark.parametrize(
    "octets", [b"EHLO client.example\r\n", b"PROXY TCP4 nobody\r\n", b"PROXY TCP4 ::1 ::1 1 1\r\n"]
)
async def test_a_listed_peer_must_say_who_the_client_is(octets: bytes, tmp_path: Path) -> None:
    """Without a header, or with one that makes no sense, nothing is guessed: 421, and the connection is closed."""
    async with house(tmp_path, proxy_protocol_from=LOOPBACK) as relay, relay.client(hello=False) as client:
        assert (await greeted(client, octets)).startswith("421 4.3.5 ")
        assert await client.ended()
        assert relay.edge.sessions == 0


async def test_a_stranger_cannot_be_somebody_else(tmp_path: Path) -> None:
    """From a peer that isn't listed a header is no command, and its session goes on under its own address."""
    async with house(tmp_path, proxy_protocol_from=["192.0.2.0/24"]) as relay, relay.client() as client:
        assert (await client.ask(version_1("198.51.100.7"))).startswith("500 5.5.1 ")
        assert (await client.mail(LETTER)).startswith("250 2.0.0 ")
        (stored,) = await relay.stored()
        assert stored.row.client.ip == "127.0.0.1"


async def test_a_proxy_that_says_nothing_is_not_waited_for_long(tmp_path: Path) -> None:
    """The header has its own, shorter time; nothing is left of a session that never began."""
    async with house(tmp_path, proxy_protocol_from=LOOPBACK, timeout=0.5) as relay:
        async with relay.client(hello=False) as client:
            assert (await client.reply()).startswith("421 4.4.2 ")
        await eventually(lambda: relay.edge.sessions == 0)


@pytest.mark.real
@pytest.mark.parametrize("version", [1, 2])
async def test_a_real_load_balancer(version: int, tmp_path: Path) -> None:
    """HAProxy hands clients on, and its health checks find the node well without disturbing anybody."""

    def send(port: int, relay: House) -> None:
        with smtplib.SMTP("127.0.0.1", port, timeout=20, source_address=("127.0.0.77", 0)) as client:
            client.sendmail("sender@elsewhere.example", ["someone@gold.example"], LETTER)

    async with house(tmp_path, proxy_protocol_from=["127.0.0.1"]) as relay:
        with haproxy(relay.port, version=version) as port:
            await asyncio.to_thread(send, port, relay)
        (stored,) = await relay.stored()
        assert stored.row.client.ip == "127.0.0.77"


def test_what_is_no_network_is_refused_by_name(tmp_path: Path) -> None:
    """A name, or a network with host bits, is said to be none."""
    for text in ("lb.example", "192.0.2.1/24"):
        path = tmp_path / "relay.toml"
        path.write_text(f'[smtp]\nproxy_protocol_from = ["{text}"]\n')
        with pytest.raises(SettingsError, match=r"\[smtp\] proxy_protocol_from.*should be an address or a network"):
            load(path)
