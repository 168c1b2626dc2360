"""STARTTLS under attack: what was said in the clear counts for nothing, and TLS is whole or not at all."""

from __future__ import annotations

import asyncio
import socket
import ssl
import subprocess
from pathlib import Path

import pytest

from tests.integration.edge.house import HOSTNAME, house
from tests.integration.edge.test_tls import paths, trusting
from tests.support.certificates import certificate
from tests.support.processes import need
from tests.support.waiting import eventually

ENVELOPE = b"MAIL FROM:<evil@elsewhere.example>\r\nRCPT TO:<victim@gold.example>\r\n"


@pytest.mark.parametrize(
    ("before", "replies", "after"),
    [
        (b"", 0, ENVELOPE + b"DATA\r\nSubject: evil\r\n\r\n"),
        (b"", 0, ENVELOPE + b"BDAT 1000 LAST\r\n"),
        (b"", 0, b"EHLO evil.example\r\n"),
        (b"", 0, b"EHLO evil.example\r\n" + ENVELOPE + b"DATA\r\nSubject: evil\r\n\r\n.\r\n" + b"QUIT\r\n"),
        (b"", 0, b"RSET\r\n" * 5_000),
        (b"", 0, b"MAIL FROM:<half@"),
        (b"", 0, b"\r\n"),
        (b"", 0, b"\n"),
        (b"", 0, b"\0"),
        (ENVELOPE, 2, ENVELOPE),
        (b"EHLO evil.example\r\nNOOP\r\n", 2, b"NOOP\r\n"),
    ],
    ids=["DATA", "BDAT", "EHLO", "message", "flood", "half a line", "CRLF", "LF", "NUL", "envelope", "both"],
)
async def test_nothing_passes_into_tls(before: bytes, replies: int, after: bytes, tmp_path: Path) -> None:
    """Of what came in the packet of STARTTLS, before or behind it, nothing is known or answered inside of TLS."""
    made = certificate(tmp_path, HOSTNAME)
    async with house(tmp_path, **paths(made)) as relay, relay.client() as client:
        await client.send(before + b"STARTTLS\r\n" + after)
        for _ in range(replies):
            assert (await client.reply()).startswith("250")
        assert (await client.reply()).startswith("220 2.0.0")
        await client.writer.start_tls(trusting(made))
        assert (await client.ask("VRFY x")).startswith("252 ")
        assert (await client.ask("RCPT TO:<someone@gold.example>")).startswith("503 5.5.1")
        assert (await client.ask("MAIL FROM:<a@b.example>")).startswith("503 5.5.1 Say EHLO")
        await client.ask("EHLO good.example")
        assert (await client.ask("RCPT TO:<someone@gold.example>")).startswith("503 5.5.1 MAIL")
        assert (await client.mail(b"good")).startswith("250 2.0.0 ")
        (stored,) = await relay.stored()
        assert stored.sender == "sender@elsewhere.example"
        assert b"from good.example " in stored.received


@pytest.mark.parametrize("begun", ["", "MAIL FROM:<a@b.example>", "DATA", "BDAT 5"])
async def test_starttls_has_its_place(begun: str, tmp_path: Path) -> None:
    """It is no command within content, ends a dialogue between chunks, and takes no argument."""
    made = certificate(tmp_path, HOSTNAME)
    async with house(tmp_path, **paths(made)) as relay, relay.client() as client:
        if begun in ("DATA", "BDAT 5"):
            await client.send(ENVELOPE + begun.encode() + b"\r\n" + b"12345" * (begun == "BDAT 5"))
            assert [(await client.reply())[:1] for _ in range(3)] == ["2", "2", "3" if begun == "DATA" else "2"]
            await client.send("STARTTLS")
            if begun == "DATA":
                assert (await client.ask(".")).startswith("250 2.0.0")
                (stored,) = await relay.stored()
                assert stored.content == b"STARTTLS\r\n"
            else:
                assert (await client.reply()).startswith("503 5.5.1")
                assert await client.ended()
            return
        if begun:
            await client.ask(begun)
        for argument in (" now", " ON", " 220"):
            assert (await client.ask("STARTTLS" + argument)).startswith("501 5.5.4")
        assert (await client.ask("STARTTLS")).startswith("220 ")


@pytest.mark.parametrize(
    "nonsense",
    [
        b"GET / HTTP/1.1\r\n\r\n",
        b"\x16\x03\x01\xff\xff" + b"\xff" * 70_000,
        b"\x16\x03\x01\x00\x05\x01\xff\xff\xff\xff",
        b"\x80\x2e\x01\x00\x02\x00\x15\x00\x00\x00\x10" + b"\0" * 40,
        b"\x15\x03\x01\x00\x02\x02\x28",
        b"\x18\x03\x02\x00\x03\x01\x40\x00",
        b"\0" * 200_000,
    ],
    ids=["HTTP", "too long a record", "half a hello", "SSLv2", "alert", "heartbeat", "zeros"],
)
async def test_garbage_for_a_handshake_ends_the_session(nonsense: bytes, tmp_path: Path) -> None:
    """No reply in the clear, no fall-back, nothing left; and the next client is served."""
    made = certificate(tmp_path, HOSTNAME)
    async with house(tmp_path, **paths(made), timeout=1.0) as relay:
        async with relay.client() as client:
            assert (await client.ask("STARTTLS")).startswith("220 ")
            await client.send(nonsense)
            async with asyncio.timeout(20):
                try:
                    rest = await client.reader.read()
                except ConnectionResetError:
                    rest = b""
            assert rest[:1] in (b"", b"\x15"), rest  # at most an alert
        await eventually(lambda: relay.edge.sessions == 0)
        async with relay.client() as client:
            assert (await client.mail(b"x")).startswith("250 ")


@pytest.mark.parametrize("dribble", [False, True], ids=["silent", "an octet at a time"])
async def test_a_handshake_is_not_waited_for_long(dribble: bool, tmp_path: Path) -> None:
    """A client that stalls in its handshake, or drags it out, is cut off in the time of one command."""
    made = certificate(tmp_path, HOSTNAME)
    async with house(tmp_path, **paths(made), timeout=0.5) as relay, relay.client() as client:
        assert (await client.ask("STARTTLS")).startswith("220 ")
        hello, wire = ssl.MemoryBIO(), ssl.MemoryBIO()
        tls = trusting(made).wrap_bio(hello, wire)
        with pytest.raises(ssl.SSLWantReadError):
            tls.do_handshake()
        octets = wire.read()[:-1]
        while relay.edge.sessions and dribble and octets:
            client.writer.write(octets[:1])
            octets = octets[1:]
            await asyncio.sleep(0.02)
        assert octets
        await eventually(lambda: relay.edge.sessions == 0)


@pytest.mark.filterwarnings("ignore:ssl:DeprecationWarning")
@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1, ssl.TLSVersion.TLSv1_2])
async def test_only_modern_tls_is_spoken(version: ssl.TLSVersion, tmp_path: Path) -> None:
    """TLS 1.0 and 1.1 are refused, whatever ciphers a client brings along; so are ciphers without encryption."""
    made = certificate(tmp_path, HOSTNAME)
    context = trusting(made)
    context.minimum_version = context.maximum_version = version
    context.set_ciphers("eNULL:aNULL@SECLEVEL=0" if version is ssl.TLSVersion.TLSv1_2 else "ALL:@SECLEVEL=0")
    async with house(tmp_path, **paths(made)) as relay:
        async with relay.client() as client:
            with pytest.raises((ssl.SSLError, ConnectionResetError)):
                await client.start_tls(context)
        await eventually(lambda: relay.edge.sessions == 0)


async def test_renegotiation_is_refused(tmp_path: Path) -> None:
    """A TLS 1.2 client can't make the relay work through one handshake after the other."""
    openssl = need("openssl", "openssl")
    made = certificate(tmp_path, HOSTNAME)
    async with house(tmp_path, **paths(made)) as relay:
        argv = [openssl, "s_client", "-starttls", "smtp", "-tls1_2", "-crlf", "-connect", f"127.0.0.1:{relay.port}"]
        process = await asyncio.create_subprocess_exec(
            *argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
        assert process.stdin is not None and process.stdout is not None
        process.stdin.write(b"VRFY somebody\n")
        async with asyncio.timeout(60):
            while not (line := await process.stdout.readline()).startswith(b"252 "):
                assert line
            process.stdin.write(b"R\n")
            said = await process.stdout.read()
            await process.wait()
        assert b"RENEGOTIATING" in said
        assert b"no renegotiation" in said
        await eventually(lambda: relay.edge.sessions == 0)


async def test_a_message_that_is_cut_off_is_none(tmp_path: Path) -> None:
    """What ends without the dot is no message, whether TLS or TCP says that there is no more."""
    made = certificate(tmp_path, HOSTNAME)

    def cut(port: int, *, politely: bool) -> None:
        plain = socket.create_connection(("127.0.0.1", port), timeout=20)
        for said in (b"", b"EHLO a\r\n", b"STARTTLS\r\n"):
            plain.sendall(said)
            plain.recv(4096)
        with trusting(made).wrap_socket(plain) as tls:
            for said in (b"EHLO a\r\n", ENVELOPE + b"DATA\r\n"):
                tls.sendall(said)
                tls.recv(4096)
            tls.sendall(b"Pay 1000 Euro.\r\n")
            if politely:
                tls.unwrap()

    async with house(tmp_path, **paths(made)) as relay:
        for politely in (False, True):
            await asyncio.to_thread(cut, relay.port, politely=politely)
            await eventually(lambda: relay.edge.sessions == 0)
        assert await relay.everything() == []
