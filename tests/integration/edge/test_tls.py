"""STARTTLS (RFC 3207)."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest
import uvloop

from relay.errors import StartFailed
from relay.settings import TlsPair
from tests.integration.edge.house import HOSTNAME, Client, house
from tests.support.certificates import Certificate, certificate
from tests.support.waiting import eventually


def paths(made: Certificate) -> dict[str, str]:
    return {"tls_certificate": str(made.certificate), "tls_key": str(made.key)}


def trusting(made: Certificate) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=made.certificate)
    context.check_hostname = False
    return context


async def test_a_message_comes_encrypted(tmp_path: Path) -> None:
    """STARTTLS is offered once, EHLO is said anew after it, and the Received line says that TLS was on."""
    made = certificate(tmp_path, HOSTNAME)
    async with house(tmp_path, **paths(made)) as relay, relay.client() as client:
        assert "250-STARTTLS" in (await client.ask("EHLO before.example")).splitlines()
        assert (await client.ask("MAIL FROM:<before@elsewhere.example>")).startswith("250 ")
        await client.start_tls(trusting(made))
        assert (await client.ask("MAIL FROM:<a@b.example>")).startswith("503 5.5.1")
        assert "STARTTLS" not in await client.ask("EHLO after.example")
        assert (await client.ask("STARTTLS")).startswith("503 5.5.1")
        assert (await client.mail(b"x" * 500_000)).startswith("250 2.0.0")
        assert (await client.ask("QUIT")).startswith("221 ")
        (stored,) = await relay.stored()
        assert stored.sender == "sender@elsewhere.example"
        assert b"from after.example" in stored.received
        assert b"with ESMTPS id" in stored.received
        assert len(stored.content) == 500_002


async def test_commands_sent_ahead_are_dropped(tmp_path: Path) -> None:
    """What somebody between us injected in the clear is neither carried out nor answered inside of TLS."""
    made = certificate(tmp_path, HOSTNAME)
    async with house(tmp_path, **paths(made)) as relay, relay.client() as client:
        await client.send(
            b"STARTTLS\r\nEHLO injected.example\r\nMAIL FROM:<evil@elsewhere.example>\r\nRCPT TO:<a@gold.example>\r\n"
        )
        assert (await client.reply()).startswith("220 2.0.0")
        await client.writer.start_tls(trusting(made))
        assert (await client.ask("NOOP")).startswith("250 2.0.0")
        assert (await client.ask("RCPT TO:<a@gold.example>")).startswith("503 5.5.1")
        assert (await client.ask("MAIL FROM:<a@b.example>")).startswith("503 5.5.1")


@pytest.mark.parametrize("nonsense", [b"EHLO in.the.clear\r\n", b"\x16\x03\x01\x00\x04junk", b""])
async def test_a_handshake_that_fails_ends_the_session(nonsense: bytes, tmp_path: Path) -> None:
    """A client that doesn't speak TLS after all is cut off, and the relay goes on."""
    made = certificate(tmp_path, HOSTNAME)
    async with house(tmp_path, **paths(made)) as relay:
        async with relay.client() as client:
            assert (await client.ask("STARTTLS")).startswith("220 ")
            if nonsense:
                await client.send(nonsense)
                await client.reader.read()
            else:
                client.writer.close()
        await eventually(lambda: relay.edge.sessions == 0)
        async with relay.client() as client:
            assert (await client.mail(b"x")).startswith("250 ")


@pytest.mark.parametrize("run", [uvloop.run, asyncio.run], ids=["uvloop", "asyncio"])
def test_a_handshake_that_hangs_does_not_keep_a_node(
    run: Callable[[Coroutine[Any, Any, None]], None], tmp_path: Path
) -> None:
    """At the end of the grace it is cut off like any other session, on either event loop."""

    async def session() -> None:
        made = certificate(tmp_path, HOSTNAME)
        async with house(tmp_path, **paths(made)) as relay, relay.client() as client:
            assert (await client.ask("STARTTLS")).startswith("220 ")
            await asyncio.wait_for(relay.edge.close(0.2), 20.0)
            assert relay.edge.sessions == 0

    run(session())


@pytest.mark.filterwarnings("ignore:ssl:DeprecationWarning")
async def test_old_tls_is_not_spoken(tmp_path: Path) -> None:
    """TLS 1.2 is the oldest that works."""
    made = certificate(tmp_path, HOSTNAME)
    context = trusting(made)
    context.set_ciphers("ALL:@SECLEVEL=0")
    context.minimum_version = ssl.TLSVersion.TLSv1
    async with house(tmp_path, **paths(made)) as relay:
        async with relay.client() as client:
            context.maximum_version = ssl.TLSVersion.TLSv1_2
            await client.start_tls(context)
        async with relay.client() as client:
            context.maximum_version = ssl.TLSVersion.TLSv1_1
            with pytest.raises((ssl.SSLError, ConnectionResetError)):
                await client.start_tls(context)


async def test_no_ticket_is_made_out_for_another_session(tmp_path: Path) -> None:
    """What a client of TLS 1.3 hears behind the handshake is replies, and nothing to resume its session with."""
    made = certificate(tmp_path, HOSTNAME)
    async with house(tmp_path, **paths(made)) as relay, relay.client() as client:
        await client.start_tls(trusting(made))
        assert (await client.ask("NOOP")).startswith("250 2.0.0")
        tls = client.writer.get_extra_info("ssl_object")
        assert tls.version() == "TLSv1.3"
        assert not tls.session.has_ticket


async def shown(client: Client) -> bytes:
    certificate = client.writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
    assert isinstance(certificate, bytes)
    return certificate


async def test_a_new_certificate_is_taken_over(tmp_path: Path) -> None:
    """New sessions get the new one, those that run go on, and one that doesn't load changes nothing."""
    old, new = certificate(tmp_path, HOSTNAME), certificate(tmp_path, HOSTNAME)
    async with house(tmp_path, **paths(old)) as relay, relay.client() as running, relay.client() as before:
        await running.start_tls(trusting(old))
        smtp = relay.settings.smtp
        relay.edge.reconfigure(smtp.model_copy(update=paths(new)))
        await before.start_tls(trusting(new))
        with pytest.raises(StartFailed):
            relay.edge.reconfigure(smtp.model_copy(update={"tls_certificate": str(tmp_path / "missing")}))
        async with relay.client() as after:
            await after.start_tls(trusting(new))
            assert await shown(after) == await shown(before) != await shown(running)
        assert (await running.ask("EHLO still.here")).startswith("250")


@pytest.mark.parametrize("run", [uvloop.run, asyncio.run], ids=["uvloop", "asyncio"])
def test_a_client_gets_the_certificate_of_the_host_it_asks_for(
    run: Callable[[Coroutine[Any, Any, None]], None], tmp_path: Path
) -> None:
    """By exact name or wildcard; whoever asks for another host, or for none, gets the usual one; reloaded like it."""
    usual = certificate(tmp_path, HOSTNAME)
    acme, cloud = certificate(tmp_path, "mx.acme.example", "mx2.acme.example"), certificate(tmp_path, "*.cloud.example")
    sni = [TlsPair(certificate=str(made.certificate), key=str(made.key)) for made in (acme, cloud)]

    async def session() -> None:
        async with house(tmp_path, **paths(usual), tls_sni=sni) as relay:

            async def offered(name: str | None, made: Certificate) -> bool:
                async with relay.client() as client:
                    await client.ask("STARTTLS")
                    context = trusting(made)
                    context.check_hostname = name is not None and made is not usual
                    await client.writer.start_tls(context, server_hostname=name)
                    return (await client.ask("EHLO client.example")).startswith("250")

            assert await offered("mx.acme.example", acme)
            assert await offered("MX2.Acme.Example", acme)
            assert await offered("eu.cloud.example", cloud)
            assert await offered("a.b.cloud.example", usual)
            assert await offered("cloud.example", usual)
            assert await offered(None, usual)
            relay.edge.reconfigure(relay.settings.smtp.model_copy(update={"tls_sni": sni[1:]}))
            assert await offered("mx.acme.example", usual)

    run(session())


async def test_a_certificate_that_does_not_load_stops_the_start(tmp_path: Path) -> None:
    """Before anything listens."""
    made = certificate(tmp_path, HOSTNAME)
    made.certificate.write_text("nonsense")
    with pytest.raises(StartFailed, match="tls_certificate"):
        async with house(tmp_path, **paths(made)):
            pass
