"""The world's mail servers and clients, real ones, each as it sends by default, to a node as its operator runs it.

While the primary is away each sends letters that are hard to carry, for two recipients. Each letter is stored once,
with its envelope, and comes out at the primary byte for byte as it went in.
"""

from __future__ import annotations

import re
import smtplib
import ssl
import subprocess
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import pytest

from tests.integration.edge.house import HOSTNAME
from tests.lab.letters import KINDS, letter
from tests.support import postfix
from tests.support.certificates import Certificate, certificate
from tests.support.desk import Desk
from tests.support.exim import exim
from tests.support.opensmtpd import opensmtpd
from tests.support.primary import ScriptedPrimary
from tests.support.processes import free_port, need
from tests.support.relayctl import Relay
from tests.support.waiting import eventually

pytestmark = pytest.mark.real

SENDER = "Sender+tag@world.example"
RECIPIENTS = ["anna@gold.example", "o'Hara=ben@GOLD.example"]
ALL = frozenset(range(KINDS))
NO_LONG_LINES = ALL - {3}  # Exim returns them to their sender
NO_DOT_AT_THE_END = ALL - {1}  # swaks takes it for its own
RECEIVED = re.compile(rb"Received: [^\r]*\r\n(?:[ \t][^\r]*\r\n)*")

Send: TypeAlias = Callable[[bytes], None]
"""Sends a letter from SENDER to RECIPIENTS."""


@dataclass(frozen=True)
class Place:
    """Where the node is, and what its certificate is."""

    folder: Path
    port: int
    primary: int
    certificate: Certificate


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """One node for all senders, with a certificate, whose primary is away most of the time."""
    folder = tmp_path_factory.mktemp("senders")
    made = certificate(folder, HOSTNAME, "127.0.0.1")
    place = Place(folder, free_port(), free_port(), made)
    relay = Relay(
        folder,
        {
            "node": {"name": "one", "hostname": HOSTNAME},
            "smtp": {
                "listen": [f"127.0.0.1:{place.port}"],
                "tls_certificate": str(made.certificate),
                "tls_key": str(made.key),
            },
            "watch": {"interval": 0.2, "down_interval": 0.1},
            "delivery": {"tls": "none"},
            "metrics": {"listen": ""},
        },
    )
    relay.tell("domain", "add", "gold.example", "--primary", f"127.0.0.1:{place.primary}")
    with relay.serving():
        yield place


@contextmanager
def by_postfix(node: Place) -> Iterator[Send]:
    """As Debian sets it up: TLS where it is offered."""
    port = free_port()
    away = {"relayhost": f"[127.0.0.1]:{node.port}", "smtp_tls_security_level": "may"}
    with postfix.sender("out.postfix.example", port=port, **away) as server:
        yield _submitting(port)
        assert server.queued() == []


@contextmanager
def by_exim(node: Place) -> Iterator[Send]:
    with exim(next_hop=("127.0.0.1", node.port)) as server:
        yield lambda content: server.send(content, SENDER, RECIPIENTS)
        assert server.queued() == ""
        delivered = [line for line in server.log().splitlines() if " => " in line or " -> " in line]
        assert delivered
        for line in delivered:  # TLS, PIPELINING and CHUNKING were used
            assert re.search(r" X=TLS.* L.* K ", line), line


@contextmanager
def by_opensmtpd(node: Place) -> Iterator[Send]:
    with opensmtpd(next_hop=("127.0.0.1", node.port)) as server:
        yield _submitting(server.port)


def by_program(*argv: str, end: bytes = b"\r\n") -> Callable[[Place], AbstractContextManager[Send]]:
    """A program that is run for each letter, which it reads from standard input. ``argv`` may name {port} and {ca};
    ``end``: how the last line ends there."""

    @contextmanager
    def sending(node: Place) -> Iterator[Send]:
        program = need(argv[0], argv[0])
        options = [word.format(port=node.port, ca=node.certificate.certificate) for word in argv[1:]]

        def send(content: bytes) -> None:
            said = content.removesuffix(b"\r\n") + end
            done = subprocess.run([program, *options], input=said, capture_output=True, timeout=60, check=False)
            assert done.returncode == 0, (done.stdout + done.stderr).decode(errors="replace")

        yield send

    return sending


@contextmanager
def by_smtplib(node: Place) -> Iterator[Send]:
    context = ssl.create_default_context(cafile=node.certificate.certificate)
    with smtplib.SMTP("127.0.0.1", node.port, "client.example", timeout=60) as client:
        client.starttls(context=context)
        yield lambda content: _nobody_refused(client.sendmail(SENDER, RECIPIENTS, content))


def _submitting(port: int) -> Send:
    """Hands letters to a mail server, which sends them on by itself."""

    def send(content: bytes) -> None:
        with smtplib.SMTP("127.0.0.1", port, "client.example", timeout=60) as client:
            _nobody_refused(client.sendmail(SENDER, RECIPIENTS, content))

    return send


def _nobody_refused(refused: object) -> None:
    assert refused == {}


MSMTP = ("msmtp", "--host=127.0.0.1", "--port={port}", f"--from={SENDER}", "--domain=client.example")
SWAKS = ("swaks", "--server", "127.0.0.1:{port}", "--from", SENDER, "--to", ",".join(RECIPIENTS), "--data", "-")
CURL = ("curl", "-sS", "smtp://127.0.0.1:{port}/client.example", "--mail-from", SENDER, "--upload-file", "-")
CURL_TO = tuple(word for recipient in RECIPIENTS for word in ("--mail-rcpt", recipient))


@pytest.mark.parametrize(
    ("sending", "letters", "hops", "protocol"),
    [
        pytest.param(by_postfix, ALL, 1, "ESMTPS", id="postfix"),
        pytest.param(by_exim, NO_LONG_LINES, 1, "ESMTPS", id="exim"),
        pytest.param(by_opensmtpd, ALL, 1, "ESMTPS", id="opensmtpd"),
        pytest.param(by_program(*MSMTP, "--", *RECIPIENTS), ALL, 0, "ESMTP", id="msmtp"),
        pytest.param(
            by_program(*MSMTP, "--tls=on", "--tls-trust-file={ca}", "--", *RECIPIENTS),
            ALL,
            0,
            "ESMTPS",
            id="msmtp-tls",
        ),
        pytest.param(by_program(*SWAKS, end=b""), NO_DOT_AT_THE_END, 0, "ESMTP", id="swaks"),
        pytest.param(by_program(*SWAKS, "--pipeline", end=b""), NO_DOT_AT_THE_END, 0, "ESMTP", id="swaks-pipelining"),
        pytest.param(by_program(*CURL, *CURL_TO), ALL, 0, "ESMTP", id="curl"),
        pytest.param(by_program(*CURL, *CURL_TO, "--ssl-reqd", "--cacert", "{ca}"), ALL, 0, "ESMTPS", id="curl-tls"),
        pytest.param(by_smtplib, ALL, 0, "ESMTPS", id="smtplib"),
    ],
)
async def test_letters_come_through(
    sending: Callable[[Place], AbstractContextManager[Send]],
    letters: Iterable[int],
    hops: int,
    protocol: str,
    node: Place,
    tmp_path: Path,
) -> None:
    """Stored once with the right envelope while the primary is away, and home unchanged when it is back."""
    sent = sorted(dated(number) for number in letters)

    desk, primary = Desk(node.folder / "relay.toml"), ScriptedPrimary()
    try:
        with sending(node) as send:  # blocks this loop, in which nothing else runs yet
            for content in sent:
                send(content)
            await desk.until_waiting(lambda rows: len(rows) == len(sent))
        for row in await desk.waiting():
            assert (row["sender"], sorted(row["recipients"])) == (SENDER, RECIPIENTS)
        await desk.relayctl("queue", "export", "--domain", "gold.example", "--to", str(tmp_path))
        stored = sorted(path.read_bytes() for path in tmp_path.glob("*.eml"))
        for content in stored:
            assert f" by {HOSTNAME} with {protocol} id ".encode() in content.replace(b"\r\n\t", b" ").split(b"\r\n")[0]
        assert sorted(below(content, 1 + hops) for content in stored) == sent

        await primary.start(node.primary)
        await eventually(lambda: len(primary.messages) == len(sent))
        assert sorted(taken.content for taken in primary.messages) == stored
        for taken in primary.messages:
            assert (taken.sender, sorted(taken.recipients)) == (SENDER, RECIPIENTS)
        await desk.until_waiting(lambda rows: rows == [])
    finally:
        await primary.close()
        desk.close()


def dated(number: int) -> bytes:
    """A letter with a Date, which some would add."""
    return b"Date: Wed, 25 Nov 2026 12:00:00 +0000\r\n" + letter(number)


def below(content: bytes, hops: int) -> bytes:
    """``content`` without the ``hops`` Received fields on top of it."""
    for _ in range(hops):
        received = RECEIVED.match(content)
        assert received, content[:500]
        content = content[received.end() :]
    return content
