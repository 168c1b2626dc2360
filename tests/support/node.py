"""A whole node in this process: every part of it, real sockets on loopback, a real database, and its operator.

    async with running(tmp_path, clock=StagedClock.at("2026-11-28 20:00")) as node:
        await node.relayctl("domain", "add", "acme.example", "--primary", primary.address)
        await node.until("acme.example", health="up")

Only the times are short (``SHORT``), all of them settings that relay.toml has.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from relay.app import App
from relay.clock import Clock
from relay.cluster.observer import Timing
from relay.db import upgrade
from relay.settings import load
from tests.support.database import LOCAL, placed
from tests.support.desk import PATIENCE, Desk
from tests.support.waiting import eventually

HOSTNAME = "mx2.relay.example"

SHORT: Mapping[str, Mapping[str, Any]] = {
    "node": {"name": "one", "hostname": HOSTNAME, "mx_names": [HOSTNAME], "database": LOCAL},
    "smtp": {"listen": ["127.0.0.1:0"]},
    "watch": {"interval": 0.3, "down_interval": 0.1, "connect_timeout": 2.0},
    "continuity": {"ticket_after": 0.4, "settle": 0.2, "proof_after": 60},
    # Many a test speaks before it is greeted; those of the greeting say so.
    "limits": {"greet_wait": 0},
    # Nobody answers there: no test asks the DNS of the machine.
    "dns": {"resolvers": ["127.0.0.1:9"], "timeout": 2.0},
    "metrics": {"listen": ""},
}


class Node(Desk):
    """A running node, and its operator."""

    def __init__(self, app: App, config: Path, clock: Clock) -> None:
        super().__init__(config, clock)
        self.app = app

    @property
    def address(self) -> tuple[str, int]:
        """Where it takes mail."""
        host, _, port = self.app.listeners[0].rpartition(":")
        return host, int(port)

    async def until_idle(self) -> None:
        """Wait until nothing is being handed back any more: connections linger a while for more mail."""
        numbers = self.app.directory.snapshot.appliances
        await eventually(
            lambda: all(self.app.delivery.progress(number) is None for number in numbers), timeout=PATIENCE
        )


@asynccontextmanager
async def running(
    folder: Path,
    *,
    clock: Clock | None = None,
    settings: Mapping[str, Mapping[str, Any]] = {},
    timing: Timing | None = None,
) -> AsyncIterator[Node]:
    """A node with its files in ``folder``, which may hold those of one that ran before; stopped cleanly at the end."""
    config = folder / "relay.toml"
    settings = placed(folder, settings)
    tables = {table: {**SHORT.get(table, {}), **settings.get(table, {})} for table in {*SHORT, *settings}}
    config.write_text(
        "\n".join(
            f"[{table}]\n" + "".join(f"{key} = {_toml(value)}\n" for key, value in keys.items())
            for table, keys in tables.items()
        )
    )
    loaded = load(config)
    await asyncio.to_thread(upgrade, loaded.node.database)
    clock = clock or Clock()
    app = App(loaded, config=config, clock=clock, timing=timing)
    run = asyncio.create_task(app.run())
    ready = asyncio.create_task(app.ready.wait())
    try:
        await asyncio.wait({run, ready}, return_when=asyncio.FIRST_COMPLETED)
        if run.done():
            await run
        node = Node(app, config, clock)
        try:
            yield node
            assert not run.done(), "the node has ended by itself"
        finally:
            node.close()
    finally:
        ready.cancel()
        app.stop("the story is over")
        await run


def _toml(value: Any) -> str:
    """A JSON string, number or boolean is one in TOML too."""
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{key} = {_toml(one)}" for key, one in value.items()) + " }"
    return f"[{', '.join(map(_toml, value))}]" if isinstance(value, list | tuple) else json.dumps(value)
