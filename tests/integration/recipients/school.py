"""A whole node that learns recipients of a scripted primary, and a client that asks it for some.

async with school(tmp_path, never_seen="defer") as it:
    assert await it.rcpt("ann") == "250 2.1.5"
"""

from __future__ import annotations

import asyncio
import smtplib
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from relay.mail import Reply
from relay.recipients.control import SETTLED
from tests.support.clock import StagedClock
from tests.support.node import Node, running
from tests.support.primary import ScriptedPrimary
from tests.support.waiting import eventually

DOMAIN = "acme.example"
NOBODY = Reply(550, "5.1.1", "No such user")
PEOPLE = ("ann", "bob", "postmaster")


class School:
    """``people``: who exists at the primary, None: anybody; may be changed at any moment."""

    def __init__(self, node: Node, primary: ScriptedPrimary, clock: StagedClock) -> None:
        self.node = node
        self.primary = primary
        self.clock = clock
        self.people: Collection[str] | None = PEOPLE
        primary.on_rcpt = self._exists

    def _exists(self, address: str) -> Reply | None:
        return None if self.people is None or address.partition("@")[0] in self.people else NOBODY

    async def rcpt(self, *names: str, domain: str = DOMAIN) -> str:
        """The code and status of the reply to the last of these recipients."""
        return (await asyncio.to_thread(self._rcpt, [f"{name}@{domain}" for name in names]))[-1]

    async def rcpt_all(self, *names: str) -> list[str]:
        """Of each of them, in one session."""
        return await asyncio.to_thread(self._rcpt, [f"{name}@{DOMAIN}" for name in names])

    def _rcpt(self, addresses: list[str]) -> list[str]:
        with smtplib.SMTP(*self.node.address, timeout=60) as client:
            client.ehlo("client.example")
            client.mail("sender@client.example")
            replies = []
            for address in addresses:
                code, text = client.rcpt(address)
                replies.append(f"{code} {text.decode().split(' ', 1)[0]}")
            return replies

    def asked(self, name: str | None = None, domain: str = DOMAIN) -> int:
        """How often the primary was asked for somebody; for anybody but those who were made up."""
        wanted = f"RCPT TO:<{name}@{domain}>" if name else ""
        return sum(
            command == wanted if wanted else command.startswith("RCPT TO:") and "no-such-" not in command
            for command in self.primary.commands
        )

    async def up(self, domain: str = DOMAIN) -> None:
        """Wait until the primary is up, and was asked for somebody who was made up."""
        await self.node.until(domain, health="up")
        await eventually(lambda: any("no-such-" in command for command in self.primary.commands))

    def settle(self) -> None:
        """Its return is a while ago."""
        self.clock.leap(SETTLED + 1)

    async def down(self) -> None:
        await self.primary.stop()
        await self.node.until(DOMAIN, health="down")

    async def known(self, domain: str = DOMAIN) -> dict[str, dict[str, Any]]:
        """What ``relayctl recipient list`` shows, by name."""
        rows = await self.node.relayctl("recipient", "list", domain)
        return {row["address"].partition("@")[0]: row for row in rows}

    async def until_known(self, *names: str) -> dict[str, dict[str, Any]]:
        """Wait until these, and maybe others, are written down."""
        found: dict[str, dict[str, Any]] = {}

        async def written() -> bool:
            found.clear()
            found.update(await self.known())
            return set(names) <= found.keys()

        await eventually(written, timeout=60)
        return found


@asynccontextmanager
async def school(
    folder: Path,
    *,
    never_seen: str = "accept",
    people: Collection[str] | None = PEOPLE,
    clock: StagedClock | None = None,
) -> AsyncIterator[School]:
    """acme.example is learned from one primary, which is up."""
    clock = clock or StagedClock.at("2026-11-28 20:00")
    async with ScriptedPrimary() as primary, running(folder, clock=clock) as node:
        it = School(node, primary, clock)
        it.people = people
        await node.relayctl(
            *("domain", "add", DOMAIN, "--primary", primary.address, "--recipients", "learned"),
            *("--never-seen", never_seen, "--skip-proof", "dns"),
        )
        await it.up()
        yield it
