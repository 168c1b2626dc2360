"""STARTTLS towards a primary: used where it can be, insisted on where that is asked, never a trap."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from relay.mail import Reply
from relay.smtp.connection import Connection
from relay.smtp.failure import Failure, Kind, Stage
from relay.tls import client_context
from tests.integration.smtp.sessions import PATIENCE, connect, envelope, letter, raw_server, session
from tests.support.certificates import Certificate, certificate
from tests.support.primary import DROP, HANG, Script, ScriptedPrimary


@pytest.fixture
def trusted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Certificate]:
    """A certificate for primary.test and 127.0.0.1 that this process trusts as it trusts the system's."""
    made = certificate(tmp_path, "primary.test", "127.0.0.1")
    monkeypatch.setenv("SSL_CERT_FILE", str(made.certificate))
    client_context.cache_clear()
    yield made
    client_context.cache_clear()


async def test_encrypts_where_it_can(tmp_path: Path) -> None:
    """Opportunistic: any certificate will do, what was offered before doesn't count, and mail goes encrypted."""
    async with ScriptedPrimary() as primary:
        primary.tls = certificate(tmp_path, "somebody.else", days=-3).context()
        primary.on_helo = lambda name: (
            b"250-x\r\n250-STARTTLS\r\n250 XCLIENT ADDR\r\n" if not primary.commands[1:] else None
        )
        async with session(primary, tls="opportunistic") as connection:
            assert connection.cipher.startswith("TLSv1.")
            assert connection.tls_failure is None
            assert (connection.offers.xclient, connection.offers.pipelining) == ((), True)
            stages = [timing.stage for timing in connection.timings]
            assert stages == [Stage.BANNER, Stage.EHLO, Stage.STARTTLS, Stage.EHLO]
            results = await asyncio.gather(*(connection.send(envelope(), letter(str(n))) for n in range(5)))
            assert all(result.answers[0].delivered for result in results)
            await connection.quit()
        assert [taken.content for taken in primary.messages] == [letter(str(n)) for n in range(5)]
        assert all(taken.tls for taken in primary.messages)


async def test_large_content_goes_encrypted(tmp_path: Path) -> None:
    """Content in many pieces survives TLS and its flow control."""
    content = b"".join(b"%d %s\r\n" % (n, b"x" * 60) for n in range(60_000))
    async with ScriptedPrimary() as primary:
        primary.tls = certificate(tmp_path, "primary.test").context()
        async with session(primary, tls="opportunistic") as connection:
            assert (await connection.send(envelope(), content)).answers[0].delivered
        assert primary.messages[0].content == content


async def test_plain_where_tls_is_off(tmp_path: Path) -> None:
    """With the policy none STARTTLS isn't even tried."""
    async with ScriptedPrimary() as primary:
        primary.tls = certificate(tmp_path, "primary.test").context()
        async with session(primary, tls="none") as connection:
            assert connection.offers.starttls
            assert connection.cipher == ""
        assert "STARTTLS" not in primary.commands


@pytest.mark.parametrize("script", [Reply(454, "4.7.0", "Not now"), Reply(502, "5.5.1", "What?")])
async def test_refused_starttls_leaves_plain_text(script: Script, tmp_path: Path) -> None:
    """Opportunistic goes on in plain text on the same connection, and knows why."""
    async with ScriptedPrimary() as primary:
        primary.tls = certificate(tmp_path, "primary.test").context()
        primary.on_starttls = script
        async with session(primary, tls="opportunistic") as connection:
            assert (await connection.send(envelope(), letter())).answers[0].delivered
            assert connection.tls_failure is not None
            assert "STARTTLS was refused" in str(connection.tls_failure)
        assert primary.connections == 1
        assert not primary.messages[0].tls


@pytest.mark.parametrize("fault", ["nonsense", "cut", "silence", "an injected reply"])
async def test_broken_tls_leaves_plain_text(fault: str) -> None:
    """Opportunistic connects anew and goes on in plain text when the handshake fails, in whatever way."""
    async with ScriptedPrimary() as primary:
        primary.breaks_tls = True
        if fault != "nonsense":
            scripts: dict[str, Script] = {"cut": DROP, "silence": HANG, "an injected reply": b"220 go\r\n250 x\r\n"}
            primary.on_starttls = scripts[fault]
        timeout = 1.0 if fault == "silence" else PATIENCE
        async with session(primary, tls="opportunistic", reply_timeout=timeout) as connection:
            assert connection.tls_failure is not None
            assert connection.tls_failure.stage is Stage.STARTTLS
            assert (await connection.send(envelope(), letter())).answers[0].delivered
        assert primary.connections == 2
        assert not primary.messages[0].tls


async def test_a_host_that_is_no_name_leaves_plain_text(tmp_path: Path) -> None:
    """A host whose name can't stand in a handshake gets its mail in plain text."""
    async with ScriptedPrimary() as primary:
        primary.tls = certificate(tmp_path, "primary.test").context()
        connection = await Connection.open(
            f"{'long' * 20}.test", primary.port, addresses=["127.0.0.1"], local_hostname="relay.test"
        )
        assert "the TLS handshake failed" in str(connection.tls_failure)
        await connection.quit()


async def test_tls_that_breaks_after_the_handshake_leaves_plain_text(tmp_path: Path) -> None:
    """A primary that shakes hands and is then silent gets its mail in plain text."""
    async with ScriptedPrimary() as primary:
        primary.tls = certificate(tmp_path, "primary.test").context()
        primary.on_helo = lambda name: DROP if primary.commands[-2:] == ["STARTTLS", f"EHLO {name}"] else None
        async with session(primary, tls="opportunistic") as connection:
            assert "after the TLS handshake" in str(connection.tls_failure)
            assert (await connection.send(envelope(), letter())).answers[0].delivered


async def test_verified(trusted: Certificate) -> None:
    """A certificate that is trusted and names the host is good enough for verify."""
    async with ScriptedPrimary() as primary:
        primary.tls = trusted.context()
        for host in ("primary.test", "127.0.0.1"):
            connection = await Connection.open(
                host, primary.port, addresses=["127.0.0.1"], local_hostname="relay.test", tls="verify"
            )
            assert connection.cipher
            await connection.quit()


@pytest.mark.parametrize("wrong", ["the name", "the issuer", "the time", "no STARTTLS", "STARTTLS refused", "nonsense"])
async def test_not_verified(wrong: str, trusted: Certificate, tmp_path: Path) -> None:
    """Verify talks to nobody whose certificate isn't right, and falls back to nothing."""
    async with ScriptedPrimary() as primary:
        primary.tls = trusted.context()
        if wrong == "the issuer":
            primary.tls = certificate(tmp_path, "primary.test").context()
        elif wrong == "the time":
            ended = certificate(tmp_path, "primary.test", days=-1)
            trusted.certificate.write_bytes(ended.certificate.read_bytes())
            client_context.cache_clear()
            primary.tls = ended.context()
        elif wrong == "no STARTTLS":
            primary.tls = None
        elif wrong == "STARTTLS refused":
            primary.on_starttls = Reply(454, "4.7.0", "Not now")
        elif wrong == "nonsense":
            primary.breaks_tls = True
        host = "other.test" if wrong == "the name" else "primary.test"
        with pytest.raises(Failure) as caught:
            await Connection.open(
                host, primary.port, addresses=["127.0.0.1"], local_hostname="relay.test", tls="verify"
            )
        assert (caught.value.stage, caught.value.kind) == (Stage.STARTTLS, Kind.TLS)
        assert str(caught.value).isprintable()
        assert primary.connections == 1
        assert not any(command.startswith("MAIL") for command in primary.commands)


async def test_nothing_from_before_the_handshake_counts() -> None:
    """Replies smuggled in behind the 220 to STARTTLS are never taken for those of the encrypted session."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        assert await reader.readuntil(b"\r\n") == b"STARTTLS\r\n"
        writer.write(b"220 go\r\n250-smuggled\r\n250 SIZE 1\r\n")
        await reader.read()

    async with raw_server(serve, offers=("STARTTLS",)) as port:
        with pytest.raises(
            Failure, match="instead of a TLS handshake.*nobody asked for: 250 smuggled SIZE 1"
        ) as caught:
            await connect(port, tls="verify")
    assert (caught.value.stage, caught.value.kind) == (Stage.STARTTLS, Kind.TLS)
