"""How a session begins, and every way in which it doesn't."""

from __future__ import annotations

import asyncio
import resource
import socket
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from relay.mail import Reply
from relay.smtp.connection import Connection
from relay.smtp.failure import Failure, Kind, Stage
from relay.tls import Policy
from tests.integration.smtp.sessions import PATIENCE, connect, envelope, letter, session
from tests.support.primary import DROP, HANG, Script, ScriptedPrimary
from tests.support.waiting import eventually


async def test_a_session_begins_and_ends() -> None:
    """Banner, EHLO with our name, what is offered, how long it took; and QUIT at the end."""
    async with ScriptedPrimary() as primary:
        primary.offers = ["PIPELINING", "SIZE 5000", "8BITMIME"]
        connection = await connect(primary)
        assert connection.banner == Reply(220, "", "primary.test ESMTP")
        assert (connection.offers.pipelining, connection.offers.size, connection.offers.dsn) == (True, 5000, False)
        assert connection.peer == ("127.0.0.1", primary.port)
        assert connection.cipher == ""
        assert [timing.stage for timing in connection.timings] == [Stage.BANNER, Stage.EHLO]
        assert connection.usable
        await connection.quit()
        assert connection.failure is not None
        assert primary.commands == ["EHLO relay.test", "QUIT"]
        await eventually(lambda: primary.open_connections == 0)


async def test_measures_what_the_primary_takes() -> None:
    """Each reply has its own time, from the moment it was the primary's turn."""
    async with ScriptedPrimary() as primary:
        primary.delay = 0.2
        async with session(primary) as connection:
            began = asyncio.get_running_loop().time()
            result = await connection.send(envelope(), letter())
            assert sum(result.seconds) < asyncio.get_running_loop().time() - began + 0.01
            assert len(connection.timings) == 2
            assert all(0.15 < timing.seconds < PATIENCE for timing in connection.timings)
            assert len(result.seconds) == 4
            assert all(0.15 < seconds < PATIENCE for seconds in result.seconds)


async def test_replies_byte_by_byte() -> None:
    """A primary whose replies come one octet at a time is understood."""
    async with ScriptedPrimary() as primary:
        primary.byte_by_byte = True
        async with session(primary) as connection:
            result = await connection.send(envelope(), letter())
            assert result.answers[0].delivered
        assert primary.messages[0].content == letter()


async def test_an_old_server_is_greeted_with_helo() -> None:
    """After a 5xx to EHLO comes HELO, and mail goes without extensions, one command at a time."""
    async with ScriptedPrimary() as primary:
        primary.on_helo = lambda name: Reply(502, "", "What?") if "HELO relay.test" not in primary.commands else None
        async with session(primary) as connection:
            assert not connection.offers.pipelining
            result = await connection.send(envelope(), letter())
            assert result.answers[0].delivered
        assert primary.commands[:3] == ["EHLO relay.test", "HELO relay.test", "MAIL FROM:<a@b.example>"]
        assert primary.violations == []


BANNERS: list[tuple[str, Script, Kind, int | None]] = [
    ("silence", HANG, Kind.TIMEOUT, None),
    ("cut", DROP, Kind.CLOSED, None),
    ("no SMTP", b"HTTP/1.1 400 Bad Request\r\n", Kind.PROTOCOL, None),
    ("half a line", b"220 prim", Kind.TIMEOUT, None),
    ("a flood", b"220-" + b"x" * 70000, Kind.PROTOCOL, None),
    ("5xx", Reply(554, "5.7.1", "Not you"), Kind.REFUSED, 554),
    ("4xx", Reply(450, "4.3.2", "Not now"), Kind.REFUSED, 450),
    ("421", Reply(421, "4.3.2", "Too many connections"), Kind.CLOSED, 421),
]


@pytest.mark.parametrize(("script", "kind", "code"), [row[1:] for row in BANNERS], ids=[row[0] for row in BANNERS])
@pytest.mark.parametrize("stage", [Stage.BANNER, Stage.EHLO])
async def test_no_session(stage: Stage, script: Script, kind: Kind, code: int | None) -> None:
    """Whatever comes instead of a banner or an answer to EHLO ends in one failure that says what it was."""
    async with ScriptedPrimary() as primary:
        if stage is Stage.BANNER:
            primary.on_banner = script
        else:
            primary.on_helo = script
        with pytest.raises(Failure) as caught:
            await connect(primary, reply_timeout=1.0 if kind is Kind.TIMEOUT else PATIENCE)
        failure = caught.value
        assert (failure.stage, failure.kind) == (stage, kind)
        assert (failure.reply and failure.reply.code) == code
        assert failure.answered is (code is not None)
        assert str(failure).isprintable()
        await eventually(lambda: primary.open_connections == 0)
        if kind is Kind.REFUSED:
            assert primary.commands[-1] == "QUIT", "primaries count those who just hang up"


async def test_nobody_listens() -> None:
    """A closed port is refused at once."""
    async with ScriptedPrimary() as primary:
        await primary.stop()
        with pytest.raises(Failure) as caught:
            await connect(primary)
        assert (caught.value.stage, caught.value.kind) == (Stage.CONNECT, Kind.REFUSED)
        assert str(caught.value) == "connection refused"
        await primary.start()
        await (await connect(primary)).quit()


async def test_a_name_without_addresses() -> None:
    """Names are looked up elsewhere; one that comes without an address can't be reached."""
    with pytest.raises(Failure) as caught:
        await Connection.open("mail.acme.example", 25, local_hostname="relay.test")
    assert (caught.value.stage, caught.value.kind) == (Stage.CONNECT, Kind.DNS)


@contextmanager
def black_hole(address: str, port: int) -> Iterator[None]:
    """A port whose SYNs go unanswered: it listens, its queue is full, and nobody accepts."""
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((address, port))
        listener.listen(0)
        fillers = [socket.socket() for _ in range(4)]
        try:
            for filler in fillers:
                filler.setblocking(False)
                filler.connect_ex((address, port))
            yield
        finally:
            for filler in fillers:
                filler.close()


async def test_a_dead_address_costs_a_moment() -> None:
    """Where one address is silent and one refuses, the third one's session begins all the same."""
    async with ScriptedPrimary() as primary:
        with black_hole("127.0.0.2", primary.port):
            connection = await Connection.open(
                "mail.acme.example",
                primary.port,
                addresses=["127.0.0.2", "127.0.0.3", "127.0.0.1"],
                local_hostname="relay.test",
                connect_timeout=PATIENCE,
            )
            assert connection.peer == ("127.0.0.1", primary.port)
            await connection.quit()
            # Nobody is left behind who still waits for the silent one.
            await eventually(lambda: asyncio.all_tasks() == {asyncio.current_task()})


async def test_every_address_is_dead() -> None:
    """With no address left the failure tells what each one said."""
    async with ScriptedPrimary() as primary:
        await primary.stop()
        with pytest.raises(Failure) as caught:
            await Connection.open(
                "mail.acme.example",
                primary.port,
                addresses=["127.0.0.3", "127.0.0.1"],
                local_hostname="relay.test",
            )
        assert str(caught.value) == "127.0.0.3: connection refused; 127.0.0.1: connection refused"


async def test_a_silent_address_is_given_up_in_time() -> None:
    """A connect that hangs ends after the time allowed."""
    with socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))
        port = reserved.getsockname()[1]
    with black_hole("127.0.0.1", port):
        with pytest.raises(Failure) as caught:
            await connect(port, connect_timeout=0.3)
        assert (caught.value.stage, caught.value.kind) == (Stage.CONNECT, Kind.TIMEOUT)
        assert str(caught.value) == "no connection within 0.3 s"


async def test_running_out_of_sockets_says_nothing_about_the_primary() -> None:
    """When there is no socket left, that is our own failure and is called so."""
    async with ScriptedPrimary() as primary:
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (3, hard))
        try:
            with pytest.raises(Failure) as caught:
                await connect(primary)
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        assert (caught.value.stage, caught.value.kind) == (Stage.CONNECT, Kind.LOCAL)


async def test_a_cancelled_opening_leaves_nothing_behind() -> None:
    """Whoever gives up on opening a session has no connection left open."""
    async with ScriptedPrimary() as primary:
        primary.on_helo = HANG
        opening = asyncio.create_task(connect(primary))
        await eventually(lambda: primary.commands)
        opening.cancel()
        with pytest.raises(asyncio.CancelledError):
            await opening
        await eventually(lambda: primary.open_connections == 0)


@pytest.mark.parametrize("stage", [Stage.BANNER, Stage.EHLO, Stage.STARTTLS])
async def test_a_session_has_to_begin_in_its_own_time(stage: Stage) -> None:
    """Banner, EHLO and STARTTLS have a shorter time where that is said; what comes after them has its own."""
    async with ScriptedPrimary() as primary:
        script = {Stage.BANNER: "on_banner", Stage.EHLO: "on_helo", Stage.STARTTLS: "on_starttls"}[stage]
        setattr(primary, script, HANG)
        primary.breaks_tls = stage is Stage.STARTTLS
        tls: Policy = "verify" if stage is Stage.STARTTLS else "none"
        with pytest.raises(Failure) as caught:
            await connect(primary, tls=tls, greeting_timeout=0.3)
        assert (caught.value.stage, caught.value.kind) == (stage, Kind.TIMEOUT)
        setattr(primary, script, None)
        async with session(primary, greeting_timeout=0.3) as connection:
            primary.on_mail = slow
            assert (await connection.send(envelope(), letter())).answers[0].delivered


async def slow(_: str) -> None:
    await asyncio.sleep(0.6)


async def test_quit_does_not_wait_for_ever() -> None:
    """A primary that says nothing to QUIT is left in the time of a reply."""
    async with ScriptedPrimary() as primary:
        connection = await connect(primary, reply_timeout=0.5)
        primary.on_quit = HANG
        await connection.quit()
        assert not connection.usable
