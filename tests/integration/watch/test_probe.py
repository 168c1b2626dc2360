"""One probe, and what it makes of what it meets."""

from __future__ import annotations

import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from relay.appliances.model import Primary
from relay.mail import Reply
from relay.watch.probe import Answer, Said, probe
from tests.support.primary import DROP, HANG, ScriptedPrimary
from tests.support.primary import Answer as Script
from tests.support.processes import free_port


async def ask(port: int) -> Answer:
    primary = Primary("mail.acme.test", port)
    return await probe(primary, ["127.0.0.1"], hostname="relay.test", connect_timeout=5.0, reply_timeout=0.5)


async def test_yes_comes_with_offers_and_times() -> None:
    """What EHLO offers, and how long banner and EHLO took; nothing is said but EHLO and QUIT."""
    async with ScriptedPrimary() as primary:
        primary.offers = ["SIZE 4711"]
        answer = await ask(primary.port)
        assert (answer.said, len(answer.seconds)) == (Said.OK, 2)
        assert answer.offers is not None
        assert answer.offers.size == 4711
        assert primary.commands == ["EHLO relay.test", "QUIT"]


@pytest.mark.parametrize(
    ("banner", "said"),
    [
        (Reply(421, "4.3.2", "Too many connections"), Said.TEMPORARY),
        (Reply(450, "4.7.1", "Later"), Said.TEMPORARY),
        (Reply(554, "5.7.1", "Listed"), Said.REFUSED),
        (b"SSH-2.0-OpenSSH_9.2\r\n", Said.FAILURE),
        (HANG, Said.FAILURE),
        (DROP, Said.FAILURE),
    ],
)
async def test_banners(banner: Script, said: Said) -> None:
    """4xx is an answer, 5xx a refusal, and what is no SMTP is none; the text names the primary and what it said."""
    async with ScriptedPrimary() as primary:
        primary.on_banner = banner
        answer = await ask(primary.port)
        assert answer.said is said
        assert answer.text.startswith(f"mail.acme.test:{primary.port}: ")
        if isinstance(banner, Reply):
            assert banner.text in answer.text


@pytest.mark.parametrize(
    ("helo", "said"),
    [(Reply(450, "4.3.0", "Later"), Said.TEMPORARY), (Reply(550, "5.7.1", "No"), Said.REFUSED), (HANG, Said.FAILURE)],
)
async def test_replies_to_ehlo(helo: Script, said: Said) -> None:
    """The same goes for EHLO."""
    async with ScriptedPrimary() as primary:
        primary.on_helo = helo
        assert (await ask(primary.port)).said is said


async def test_nobody_listens() -> None:
    """A refused connection is a failure."""
    answer = await ask(free_port())
    assert answer.said is Said.FAILURE
    assert "connection refused" in answer.text


async def test_a_node_without_a_socket_left_has_learnt_nothing() -> None:
    """Running out of file descriptors is our own trouble and says nothing about the primary."""
    async with ScriptedPrimary() as primary:
        with no_descriptors():
            answer = await ask(primary.port)
        assert answer.said is Said.NOTHING
        assert (await ask(primary.port)).said is Said.OK


@contextmanager
def no_descriptors() -> Iterator[None]:
    """Not one more file can be opened in the block."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(512, soft), hard))
    taken: list[int] = []
    try:
        while True:
            try:
                taken.append(os.open("/dev/null", os.O_RDONLY))
            except OSError:
                break
        yield
    finally:
        for handle in taken:
            os.close(handle)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
