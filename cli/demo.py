"""relayctl demo: a whole outage on loopback, told as it happens.

Real sockets, a real database and the real node, with short times, in a folder of its own that is removed at the end.
Exit 0 only if every step was seen to happen.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import smtplib
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import click
import uvloop
from aiosmtpd.smtp import SMTP, Envelope, Session
from rich.console import Console
from rich.text import Text

from relay import events, log
from relay.app import App
from relay.appliances import facts, store
from relay.appliances.facts import Health
from relay.appliances.model import Primary
from relay.db import Database, upgrade
from relay.errors import RelayError
from relay.queue.ledger import ledger
from relay.settings import load
from relay.tickets import reading
from relay.tickets.plan import Terms
from relay.tickets.states import Event
from relay.tickets.ticket import Entry

DOMAIN = "gold.example"
MESSAGES = 20
PATIENCE = 30.0
"""Seconds that one step may take before the demo says that it wasn't seen to happen."""

SETTINGS = """\
[node]
name = "demo"
hostname = "mx2.relay.example"
database = "sqlite:///relay.db"
[smtp]
listen = ["127.0.0.1:0"]
[watch]
interval = 1.0
down_interval = 0.5
connect_timeout = 1.0
[continuity]
ticket_after = 2
settle = 3
[dns]
# Nobody answers there: the senders of the story are made up, and no resolver is bothered with them.
resolvers = ["127.0.0.1:9"]
timeout = 1.0
[metrics]
listen = ""
"""


class StepNotSeen(RelayError):
    """A step of the story didn't happen."""


class DemoPrimary:
    """The customer's appliance: takes mail on loopback, can be switched off and on again at the same port."""

    def __init__(self) -> None:
        self.taken: list[bytes] = []
        self.port = 0
        self._server: asyncio.Server | None = None
        self._sessions: set[asyncio.BaseTransport] = set()

    async def handle_DATA(self, _server: SMTP, _session: Session, envelope: Envelope) -> str:
        assert isinstance(envelope.content, bytes)  # noqa: S101 - decode_data is off
        self.taken.append(envelope.content)
        return "250 2.0.0 taken"

    async def on(self) -> None:
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(
            lambda: SMTP(self, hostname="mail.gold.example", loop=loop), "127.0.0.1", self.port
        )
        self.port = self._server.sockets[0].getsockname()[1]

    async def off(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None


class Story:
    """The narrator: one line a step, with the seconds since the beginning."""

    def __init__(self) -> None:
        self._console = Console(highlight=False)
        self._began = time.monotonic()

    def tell(self, text: str, style: str = "") -> None:
        line = Text(f"{time.monotonic() - self._began:5.1f} s  ", style="dim")
        self._console.print(line.append(text, style=style), soft_wrap=True)

    async def until(self, what: str, condition: Callable[[], Awaitable[Any]]) -> Any:
        """Wait until ``condition`` gives something true, and tell ``what`` was seen. Raises StepNotSeen."""
        deadline = time.monotonic() + PATIENCE
        while not (seen := await condition()):
            if time.monotonic() > deadline:
                raise StepNotSeen(f"not seen within {PATIENCE:.0f} s: {what}")
            await asyncio.sleep(0.05)
        self.tell(what, "green")
        return seen


@click.command()
@click.option("--keep", is_flag=True, help="Keep the folder with the database and the node's log.")
def demo(keep: bool) -> None:
    """A whole outage on loopback in under a minute, narrated: a try-out of everything, needing nothing."""
    folder = Path(tempfile.mkdtemp(prefix="relay-demo-"))
    try:
        uvloop.run(_demo(folder))
    finally:
        if keep:
            click.echo(f"kept: {folder}")
        else:
            for path in folder.iterdir():
                path.unlink()
            folder.rmdir()


async def _demo(folder: Path) -> None:
    story, primary = Story(), DemoPrimary()
    (folder / "relay.toml").write_text(SETTINGS, encoding="utf-8")
    with (folder / "node.log").open("w", encoding="utf-8") as stream:
        log.configure(stream, events.log_lost)
        await primary.on()
        settings = load(folder / "relay.toml")
        upgrade(settings.node.database)
        _add_domain(settings.node.database, primary.port)
        story.tell(f"{DOMAIN} has its primary at 127.0.0.1:{primary.port}; its office is closed (it has no hours)")
        app = App(settings)
        try:
            async with _running(app):
                await _tell(story, app, primary)
        finally:
            await primary.off()


def _add_domain(url: str, port: int) -> None:
    database = Database(url)
    try:
        with database.write() as connection:
            now = time.time()
            appliance = store.add_appliance(
                connection,
                now,
                name="gold",
                customer="Gold Ltd",
                primaries=(Primary("127.0.0.1", port),),
                business_hours="none",
                # Nothing in the DNS names a demo on loopback.
                skip_proofs=("dns",),
            )
            store.add_domain(connection, now, name=DOMAIN, appliance_id=appliance.id)
    finally:
        database.close()


@contextlib.asynccontextmanager
async def _running(app: App) -> AsyncIterator[None]:
    """The node, for as long as the block lasts; its failure is the block's."""
    node = asyncio.create_task(app.run())
    ready = asyncio.create_task(app.ready.wait())
    try:
        await asyncio.wait({node, ready}, return_when=asyncio.FIRST_COMPLETED)
        if node.done():
            await node
        yield
    finally:
        ready.cancel()
        app.stop("the demo is over")
        await node


async def _tell(story: Story, app: App, primary: DemoPrimary) -> None:
    listener = app.listeners[0]
    story.tell(f"a relay node listens on {listener}")

    async def health(wanted: Health) -> bool:
        await app.directory.refresh()
        return any(app.directory.health(number).state is wanted for number in app.directory.snapshot.appliances)

    async def history(event: Event, after: str | None = None) -> Entry | None:
        def read(connection: Any) -> Entry | None:
            for one in reading.listing(connection, terms, app.clock.now(), everything=True):
                for entry in reading.history(connection, one.ticket.id):
                    if entry.event is event and after in (None, entry.after):
                        return entry
            return None

        found: Entry | None = await app.db.run(read)
        return found

    terms = Terms.of(app.settings.support)
    await story.until("the primary answers its probes: health is up", lambda: health(Health.UP))
    story.tell("the primary is switched off")
    await primary.off()
    await story.until("probes fail three times in a row: health is down", lambda: health(Health.DOWN))
    sent = await asyncio.to_thread(_send, listener)
    story.tell(f"{MESSAGES} messages were sent to the relay, each was answered 250: they are on disk")
    await story.until("ticket opened: P1, no mail flow", lambda: history(Event.OPENED, "1"))
    lowered = await story.until("P1 → P3: off hours, and continuity is proven:", lambda: history(Event.PRIORITY, "3"))
    for line in lowered.reason.splitlines():
        story.tell(f"        {line}", "dim")
    if primary.taken:
        raise StepNotSeen("mail reached a primary that was off")
    story.tell("the primary is switched on again")
    await primary.on()
    await story.until("probes succeed: health is up, the drain begins", lambda: health(Health.UP))

    async def all_home() -> bool:
        return len(primary.taken) >= MESSAGES

    await story.until(f"all {MESSAGES} messages are at the primary", all_home)
    _compare(sent, primary.taken)
    story.tell("each arrived exactly once, and byte for byte the same below our Received line", "green")
    resolved = await story.until("drained and settled: the ticket is resolved", lambda: history(Event.RESOLVED))
    for line in resolved.reason.splitlines():
        story.tell(f"        {line}", "dim")
    (row,) = await app.db.run(ledger, DOMAIN)
    outages = await app.db.run(facts.list_outages)
    if not row.balanced or row.accepted != MESSAGES or row.delivered != MESSAGES or len(outages) != 1:
        raise StepNotSeen(f"the ledger doesn't balance: {row}")
    story.tell(f"the ledger balances: accepted {row.accepted} = delivered {row.delivered}, nothing left", "green")


def _letter(number: int) -> bytes:
    letter = EmailMessage()
    letter["From"] = "Sender <sender@stranger.example>"
    letter["To"] = f"user{number}@{DOMAIN}"
    letter["Subject"] = f"Message {number} of {MESSAGES}"
    letter["Message-ID"] = f"<{number}@stranger.example>"
    letter.set_content(f"Sent while the primary was off.\n..dots, and a long line: {'x' * 900}\n")
    return letter.as_bytes().replace(b"\n", b"\r\n")


def _send(listener: str) -> list[bytes]:
    host, _, port = listener.rpartition(":")
    letters = [_letter(number) for number in range(1, MESSAGES + 1)]
    with smtplib.SMTP(host, int(port), local_hostname="stranger.example", timeout=PATIENCE) as client:
        for number, letter in enumerate(letters, 1):
            client.sendmail("sender@stranger.example", [f"user{number}@{DOMAIN}"], letter)
    return letters


def _compare(sent: list[bytes], taken: list[bytes]) -> None:
    """Raises StepNotSeen unless each letter arrived once, unchanged below one Received header."""
    arrived = sorted(hashlib.sha256(content[_below_received(content) :]).hexdigest() for content in taken)
    wanted = sorted(hashlib.sha256(letter).hexdigest() for letter in sent)
    if arrived != wanted:
        raise StepNotSeen(f"{len(taken)} messages arrived, but not each of the {len(sent)} exactly once and unchanged")


def _below_received(content: bytes) -> int:
    """Where the header field after our Received begins: its continuation lines start with white space."""
    end = content.index(b"\r\n") + 2
    while content[end : end + 1] in (b" ", b"\t"):
        end = content.index(b"\r\n", end) + 2
    return end
