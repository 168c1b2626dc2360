"""Real Postfix and Exim as primaries: what they offer is used, and what they keep is what there was."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from relay.appliances.facts import Health
from relay.appliances.model import Primary
from relay.mail import Client
from relay.queue.states import State
from relay.tls import client_context
from tests.integration.delivery.house import DOMAIN, RECEIVED, House, house
from tests.lab.letters import KINDS, letter
from tests.support import postfix
from tests.support.certificates import Certificate, certificate
from tests.support.dns_stub import DnsStub
from tests.support.exim import exim_primary
from tests.support.processes import free_port
from tests.support.waiting import eventually

pytestmark = pytest.mark.real

HOST = "127.0.0.1"
ANN = Client("192.0.2.1", 1001, "mail.ann.example", "ESMTPS")
BOB = Client("2001:db8::2", 1002, "bob.example", "ESMTP")
STRICT = {
    "smtpd_data_restrictions": "reject_unauth_pipelining",
    "smtpd_end_of_data_restrictions": "reject_unauth_pipelining",
    "local_header_rewrite_clients": "",  # nothing is added to what a client of this machine brings
}
LARGE = b"Subject: large\r\n\r\n" + b"".join(b"%d .\r\n.%d\r\n" % (n, n) for n in range(150_000))
LETTERS = [*(letter(number) for number in range(KINDS)), LARGE]


@pytest.fixture
def trusted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Certificate]:
    """A certificate for this host that the process trusts as it trusts the system's."""
    made = certificate(tmp_path, HOST)
    monkeypatch.setenv("SSL_CERT_FILE", str(made.certificate))
    client_context.cache_clear()
    yield made
    client_context.cache_clear()


def with_tls(made: Certificate) -> dict[str, str]:
    """Settings of a Postfix with that certificate."""
    return {
        "smtpd_tls_security_level": "may",
        "smtpd_tls_cert_file": str(made.certificate),
        "smtpd_tls_key_file": str(made.key),
        "smtpd_tls_received_header": "yes",
    }


async def carry(home: House, client: Client = ANN) -> None:
    """All letters, until the primary has taken each."""
    for number, content in enumerate(LETTERS):
        await home.accept(f"r{number}", content=content, client=client)
    await home.up()
    await eventually(lambda: home.waiting() == 0, timeout=60)


def ours(stored: bytes) -> bytes:
    """What stands from our own Received line on, as it went over the wire."""
    _, line, rest = stored.replace(b"\n", b"\r\n").partition(RECEIVED)
    assert line, stored[:500]
    return rest


async def test_postfix_takes_everything_by_bdat_and_tls(trusted: Certificate, tmp_path: Path) -> None:
    """Letters that are hard to carry reach a Postfix whose certificate is verified, pipelined, byte for byte."""
    settings = {**STRICT, **with_tls(trusted), "smtpd_tls_security_level": "encrypt"}
    with postfix.primary(DOMAIN, port=free_port(), **settings) as server:
        async with house(tmp_path, Primary(HOST, server.port), health=Health.UP, tls="verify") as home:
            await carry(home)
            await eventually(lambda: len(server.messages(DOMAIN)) == len(LETTERS), timeout=60)
        stored = server.messages(DOMAIN)
        assert sorted(map(ours, stored)) == sorted(LETTERS)
        assert all(b"using TLSv1" in message for message in stored)
        log = server.log(2000)
        assert re.search(r"disconnect from .* bdat=\d+", log), "by BDAT"
        assert not re.search(r"disconnect from .* data=\d+", log)


async def test_exim_takes_everything_by_bdat_and_tls(trusted: Certificate, tmp_path: Path) -> None:
    """The same for an Exim."""
    with exim_primary(tls=trusted) as server:
        async with house(tmp_path, Primary(HOST, server.port), health=Health.UP, tls="verify") as home:
            await carry(home)
            await eventually(lambda: len(server.messages()) == len(LETTERS), timeout=60)
        assert sorted(map(ours, server.messages())) == sorted(LETTERS)
        arrivals = [line for line in server.log().splitlines() if " <= " in line]
        assert len(arrivals) == len(LETTERS)
        assert all(" K " in line and " X=TLS1" in line and " L" in line for line in arrivals), "BDAT, TLS, pipelining"


@pytest.mark.parametrize("server", ["postfix", "exim"])
async def test_a_wrong_certificate(server: str, trusted: Certificate, tmp_path: Path) -> None:
    """A certificate that nobody vouches for keeps mail waiting where it must be verified, and is good enough else."""
    wrong = certificate(tmp_path, HOST)
    settings = with_tls(wrong)
    with (
        postfix.primary(DOMAIN, port=free_port(), **settings) if server == "postfix" else exim_primary(tls=wrong)
    ) as primary:
        async with house(tmp_path, Primary(HOST, primary.port), health=Health.UP, tls="verify") as home:
            await home.accept()
            await home.up()
            assert await home.pulse.suspects() == {home.appliance.id}
            assert home.addresses(State.QUEUED) == ["someone"]
            changed = home.settings.delivery.model_copy(update={"tls": "opportunistic"})
            home.delivery.reconfigure(changed)
            await eventually(lambda: home.waiting() == 0)


async def test_postfix_judges_the_original_client(tmp_path: Path) -> None:
    """By XCLIENT: its log and its Received line name the client, and rules for clients apply to him."""
    records = {"1.2.0.192.in-addr.arpa PTR": ["mail.ann.example."], "mail.ann.example A": ["192.0.2.1"]}
    settings = {
        **STRICT,
        "smtpd_authorized_xclient_hosts": HOST,
        "smtpd_authorized_xforward_hosts": HOST,
        "smtpd_client_restrictions": "check_client_access inline:{ 2001:db8::2=REJECT }",
        "inet_protocols": "all",
    }
    async with DnsStub(records) as dns:
        with postfix.primary(DOMAIN, port=free_port(), **settings) as server:
            async with house(
                tmp_path, Primary(HOST, server.port), health=Health.UP, max_connections=2, resolver=dns.address
            ) as home:
                for number, client in enumerate((ANN, BOB, ANN, ANN)):
                    await home.accept(f"r{number}", client=client)
                await home.up()
                await eventually(lambda: home.addresses(State.HELD) == ["r1"])
                await eventually(lambda: home.waiting() == 1)
                await eventually(lambda: len(server.messages(DOMAIN)) == 3)
                assert "Client host rejected" in home.rows()[0].last_reply
            for stored in server.messages(DOMAIN):
                assert b"Received: from mail.ann.example (mail.ann.example [192.0.2.1])" in stored
            log = server.log(500)
            assert log.count("client=mail.ann.example[192.0.2.1]") == 3
            assert "reject: RCPT from unknown[2001:db8::2]: 554 5.7.1" in log
            assert "improper command pipelining" not in log


async def test_postfix_gets_a_client_s_mail_together(tmp_path: Path) -> None:
    """Each session speaks for one client: a mixed backlog takes a few sessions and not one for each message."""
    settings = {**STRICT, "smtpd_authorized_xclient_hosts": HOST}
    clients = [Client(f"192.0.2.{number}", 1000, f"mail{number}.example") for number in range(5)]
    count = 100
    async with DnsStub({}) as dns:
        with postfix.primary(DOMAIN, port=free_port(), **settings) as server:
            async with house(
                tmp_path, Primary(HOST, server.port), health=Health.UP, max_connections=1, resolver=dns.address
            ) as home:
                for number in range(count):
                    await home.accept(f"r{number}", client=clients[number * 7 % 5])
                await home.up()
                await eventually(lambda: home.waiting() == 0, timeout=60)
            await eventually(lambda: len(server.messages(DOMAIN)) == count, timeout=60)
            stored, log = server.messages(DOMAIN), server.log(5000)
    for client in clients:
        assert sum(f"[{client.ip}]".encode() in message for message in stored) == count // len(clients)
    assert log.count(": connect from") < count // 2


async def test_postfix_logs_the_original_client(tmp_path: Path) -> None:
    """By XFORWARD: its log names us, the client, and our number of the message, each with its own."""
    settings = {**STRICT, "smtpd_authorized_xforward_hosts": HOST, "inet_protocols": "all"}
    with postfix.primary(DOMAIN, port=free_port(), **settings) as server:
        async with house(tmp_path, Primary(HOST, server.port), health=Health.UP, max_connections=1) as home:
            numbers = [await home.accept(f"r{number}", client=client) for number, client in enumerate((ANN, BOB))]
            await home.up()
            await eventually(lambda: home.waiting() == 0)
            await eventually(lambda: len(server.messages(DOMAIN)) == 2)
        log = server.log(500)
        for number, ip in zip(numbers, ("192.0.2.1", "2001:db8::2"), strict=True):
            assert re.search(rf"client=\S+\[127.0.0.1\], orig_queue_id={number}, orig_client=unknown\[{ip}\]", log), log
        assert "Bad ADDR" not in log


async def test_postfix_reports_as_the_sender_asked(tmp_path: Path) -> None:
    """NOTIFY, ENVID and ORCPT reach a Postfix, which reports by them."""
    with postfix.primary(DOMAIN, "sender.example", port=free_port()) as server:
        async with house(tmp_path, Primary(HOST, server.port), health=Health.UP) as home:
            await home.accept("asked", notify="SUCCESS", envid="Qq+2B31")
            await home.accept("unasked")
            await home.up()
            await eventually(lambda: len(server.messages("sender.example")) == 1)
        (report,) = server.messages("sender.example")
        assert b"Original-Envelope-Id: Qq+31" in report
        assert f"Final-Recipient: rfc822; asked@{DOMAIN}".encode() in report
