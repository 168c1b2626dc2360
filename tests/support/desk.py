"""An operator at relayctl: every command in this process, with a database connection of its own, and what it prints.

    desk = Desk(tmp_path / "relay.toml")
    await desk.relayctl("domain", "add", "acme.example", "--primary", "127.0.0.1:2526")
    await desk.until("acme.example", health="up")
    assert (await desk.ticket()).priorities == [1, 3]

It is quick, so that one can look often; that the same comes out of a process is shown elsewhere.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import click

from cli.context import Operator
from cli.main import relayctl
from cli.render import Printer
from relay.clock import Clock
from relay.errors import NotFound
from tests.support.waiting import eventually

T = TypeVar("T")

PATIENCE = 60.0
"""Seconds that anything may take on a busy machine before a test gives up."""
OFTEN = 0.05


@dataclass(frozen=True)
class Ticket:
    """A ticket as ``relayctl ticket show --json`` prints it."""

    facts: dict[str, Any]

    @property
    def history(self) -> list[dict[str, Any]]:
        entries: list[dict[str, Any]] = self.facts["history"]
        return entries

    @property
    def id(self) -> int:
        return int(self.facts["id"])

    @property
    def resolved(self) -> bool:
        return bool(self.facts["status"] == "resolved")

    @property
    def priorities(self) -> list[int]:
        """In the order in which it had them."""
        return [entry["to"] for entry in self.history if entry["event"] in ("opened", "reopened", "priority")]

    @property
    def events(self) -> list[str]:
        """What happened to it besides comments and warnings."""
        return [entry["event"] for entry in self.history if entry["event"] not in ("comment", "warning")]

    def told(self, event: str, to: Any = None) -> list[str]:
        """The words of all entries of a kind, oldest first."""
        return [
            entry["reason"] for entry in self.history if entry["event"] == event and (to is None or entry["to"] == to)
        ]

    @property
    def story(self) -> str:
        """All that it says, for a test that fails."""
        return "\n".join(
            f"{entry['at']} {entry['actor']} {entry['event']} {entry['from']} → {entry['to']}: {entry['reason']}"
            for entry in self.history
        )


class Desk:
    """See above. ``clock``: the node's, where that is not the real one. Wait with the ``until`` methods: what they say
    when they give up tells the whole story."""

    def __init__(self, config: Path, clock: Clock | None = None) -> None:
        self._operator = Operator(config, as_json=True)
        self._operator.clock = clock or Clock()

    def close(self) -> None:
        """Give the database back."""
        self._operator.close()

    @property
    def who(self) -> str:
        """The operator's name."""
        return self._operator.who

    async def relayctl(self, *argv: str) -> Any:
        """What ``relayctl --json`` prints. Raises RelayError where it refuses."""
        return await asyncio.to_thread(self._call, argv)

    def _call(self, argv: tuple[str, ...]) -> Any:
        self._operator.out = printer = _Facts()
        command = relayctl.get_command(click.Context(relayctl), argv[0])
        assert command is not None, f"no command is named {argv[0]}"
        command.main(args=list(argv[1:]), prog_name=argv[0], obj=self._operator, standalone_mode=False)
        return json.loads(json.dumps(printer.value, default=str))

    async def status(self, domain: str) -> dict[str, Any]:
        """What ``relayctl status`` says of a domain."""
        status: dict[str, Any] = (await self.relayctl("status", domain))["domains"][0]
        return status

    async def until(self, domain: str, **wanted: Any) -> dict[str, Any]:
        """Wait until the status of a domain has these values; ``ticket``: its priority, or None."""
        seen: dict[str, Any] = {}

        async def as_wanted() -> bool:
            seen.update(await self.status(domain))
            shown = seen | {"ticket": seen["ticket"] and seen["ticket"]["priority"]}
            return all(shown[key] == value for key, value in wanted.items())

        await self._until(as_wanted, lambda: f"{domain} is not {wanted}: {seen}")
        return seen

    async def tickets(self, condition: str = "mailflow") -> list[Ticket]:
        """All there ever were of a condition, oldest first."""
        listed = await self.relayctl("ticket", "list", "--all")
        numbers = sorted(row["id"] for row in listed if row["condition"] == condition)
        return [Ticket(await self.relayctl("ticket", "show", str(number))) for number in numbers]

    async def ticket(self, condition: str = "mailflow") -> Ticket:
        """The only one there ever was."""
        (ticket,) = await self.tickets(condition)
        return ticket

    async def until_resolved(self, condition: str = "mailflow") -> Ticket:
        """Wait until every ticket is resolved; the newest."""

        async def resolved() -> Ticket | None:
            found = await self.tickets(condition)
            return found[-1] if found and all(ticket.resolved for ticket in found) else None

        ticket = await self._until(resolved, lambda: "not resolved")
        assert ticket is not None
        return ticket

    async def until_told(self, words: str, condition: str = "mailflow", *, times: int = 1) -> Ticket:
        """Wait until a ticket says so somewhere in its history, ``times`` over."""

        async def told() -> Ticket | None:
            return next((one for one in await self.tickets(condition) if one.story.count(words) >= times), None)

        ticket = await self._until(told, lambda: f"no ticket says {words!r}")
        assert ticket is not None
        return ticket

    async def waiting(self) -> list[dict[str, Any]]:
        """What ``relayctl queue list`` shows."""
        rows: list[dict[str, Any]] = await self.relayctl("queue", "list", "--limit", "100000")
        return rows

    async def until_waiting(self, wanted: Callable[[list[dict[str, Any]]], bool]) -> list[dict[str, Any]]:
        """Wait until what waits is as ``wanted``."""
        rows: list[dict[str, Any]] = []

        async def as_wanted() -> bool:
            rows[:] = await self.waiting()
            return wanted(rows)

        await self._until(as_wanted, lambda: f"waiting: {rows}")
        return rows

    async def traced(self, recipient: str) -> list[dict[str, Any]]:
        """What became of mail for a recipient: its lines of ``relayctl trace``, newest message first."""
        try:
            found = await self.relayctl("trace", "--recipient", recipient)
        except NotFound:
            return []
        return [line for one in found for line in one["recipients"] if line["address"] == recipient]

    async def _until(self, condition: Callable[[], Awaitable[T]], complaint: Callable[[], str]) -> T:
        try:
            return await eventually(condition, timeout=PATIENCE, every=OFTEN)
        except AssertionError as error:
            listed = await self.relayctl("ticket", "list", "--all")
            tickets = [Ticket(await self.relayctl("ticket", "show", str(row["id"]))) for row in listed]
            stories = [f"ticket {one.id} ({one.facts['condition']}):\n{one.story}" for one in tickets]
            raise AssertionError("\n\n".join((complaint(), *stories))) from error


class _Facts(Printer):
    """Keeps what would be printed with --json."""

    def __init__(self) -> None:
        super().__init__(as_json=True)
        self.value: Any = None

    def facts(self, value: Any) -> bool:
        self.value = value
        return True
