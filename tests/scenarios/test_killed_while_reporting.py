"""A node that is killed while it judges failures and reports them: what is bounced was reported, each once.

The node is a process of its own here, and its clock is the real one.
"""

from __future__ import annotations

import asyncio
import smtplib
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager, closing
from email import message_from_bytes
from pathlib import Path
from subprocess import Popen

from sqlalchemy import update

from relay.delivery.drains import drains
from relay.mail import Reply
from tests.scenarios.stage import DOMAIN
from tests.support.database import open_database
from tests.support.desk import PATIENCE, Desk
from tests.support.dns_stub import DnsStub
from tests.support.node import SHORT
from tests.support.primary import ScriptedPrimary, on_port_25
from tests.support.processes import free_port
from tests.support.relayctl import Relay
from tests.support.waiting import eventually

SENDERS = [f"sender@s{number}.example" for number in range(10)]
EACH = 15


async def test_what_bounces_is_reported_once_whoever_kills_the_node(tmp_path: Path) -> None:
    """After kill -9 and a restart every failure has its report: none is missing, and none was made twice."""
    port = free_port()
    async with ScriptedPrimary() as primary, on_port_25() as world, DnsStub() as dns:
        primary.on_rcpt = lambda address: Reply(550, "5.1.1", "Nobody") if address.startswith("bad") else None
        dns.records["mx.example A"] = [world.host]
        for sender in SENDERS:
            domain = sender.partition("@")[2]
            dns.records |= {f"{domain} MX": ["10 mx.example."], f"{domain} TXT": ['"v=spf1 ip4:127.0.0.1 -all"']}
        settings = {**SHORT, "smtp": {"listen": [f"127.0.0.1:{port}"]}, "dns": {"resolvers": [dns.address]}}
        relay = await asyncio.to_thread(Relay, tmp_path, settings)
        desk = Desk(tmp_path / "relay.toml")
        await desk.relayctl("domain", "add", DOMAIN, "--primary", primary.address, "--skip-proof", "dns")
        async with _serving(relay) as process:
            await desk.until(DOMAIN, health="up")
            await asyncio.to_thread(_send, port)
            await desk.until(DOMAIN, queued=0, held=len(SENDERS) * EACH)
            await asyncio.to_thread(_close_the_window, tmp_path)
            await eventually(lambda: len(world.messages) > 5, timeout=PATIENCE, every=0.001)
            process.kill()
            await asyncio.to_thread(process.wait)
        bounced = (await desk.relayctl("ledger", DOMAIN))["bounced"]
        assert bounced < len(SENDERS) * EACH, "it was killed too late to tell anything"
        async with _serving(relay):
            await desk.until(DOMAIN, queued=0, held=0)

            async def all_sent() -> bool:
                return await desk.relayctl("queue", "reports") == []

            await eventually(all_sent, timeout=PATIENCE, every=0.2)
        reports = {message["Message-ID"]: message for message in map(message_from_bytes, _contents(world))}
        told = sorted(_about(message) for message in reports.values())
        assert told == sorted(f"rfc822; bad{number}@{DOMAIN}" for number in range(len(SENDERS) * EACH))
        assert len(world.messages) - len(reports) <= len(SENDERS), "only what was in flight may come twice"
        assert (await desk.relayctl("ledger", DOMAIN))["bounced"] == len(told)
        assert await desk.relayctl("db", "check") == {"ok": True, "faults": []}
        desk.close()


@asynccontextmanager
async def _serving(relay: Relay) -> AsyncIterator[Popen[bytes]]:
    """The node, without holding up those whom it asks here."""
    with ExitStack() as stack:
        try:
            yield await asyncio.to_thread(stack.enter_context, relay.serving())
        finally:
            await asyncio.to_thread(stack.close)


def _send(port: int) -> None:
    """Each sender's mail, half of it for people who don't exist: not so many that the drain would be stopped."""
    with smtplib.SMTP("127.0.0.1", port, timeout=PATIENCE) as client:
        for number in range(len(SENDERS) * EACH):
            for name in ("good", "bad"):
                client.sendmail(
                    SENDERS[number % len(SENDERS)], [f"{name}{number}@{DOMAIN}"], b"Subject: hi\r\n\r\nHi.\r\n"
                )


def _close_the_window(folder: Path) -> None:
    """The fifteen minutes after the return are over."""
    with closing(open_database(folder)) as database, database.write() as connection:
        connection.execute(update(drains).values(window_until=0.0))


def _contents(world: ScriptedPrimary) -> list[bytes]:
    return [taken.content for taken in world.messages]


def _about(report: object) -> str:
    (_, one) = report.get_payload()[1].get_payload()  # type: ignore[attr-defined]
    return str(one["Final-Recipient"])
