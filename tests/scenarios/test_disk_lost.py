"""A node loses its disk in an outage: what was saved while it took mail goes home from another machine."""

from __future__ import annotations

import asyncio
import shutil
from itertools import count
from pathlib import Path

import pytest

from tests.integration.cli.console import Relayctl
from tests.scenarios.balance import Copy, at_home, balance, send
from tests.scenarios.stage import DOMAIN
from tests.support.desk import PATIENCE, Desk
from tests.support.node import running
from tests.support.postgres import PostgresCluster
from tests.support.primary import ScriptedPrimary
from tests.support.waiting import eventually


@pytest.mark.parametrize("engine", ["sqlite", "postgresql"])
async def test_what_a_backup_holds_is_delivered_by_a_node_elsewhere(
    tmp_path: Path, engine: str, postgres: PostgresCluster
) -> None:
    """Saved by another process while mail comes; each message of its moment arrives once, and the ledger agrees."""
    lost, other = tmp_path / "lost", tmp_path / "other"
    for folder in (lost, other):
        folder.mkdir()
    saved = tmp_path / "saved.tar"
    places = [{"database": postgres.empty()} if engine == "postgresql" else {} for _ in range(2)]
    sent: list[Copy] = []
    async with ScriptedPrimary() as primary:
        async with running(lost, settings={"node": places[0]}) as node:
            await _customer(node, primary)
            await primary.stop()
            await node.until(DOMAIN, health="down")
            await asyncio.to_thread(_send, node.address, range(50), sent)
            before = list(sent)
            numbers = count(50)
            ended = False

            def keep_sending() -> None:
                while not ended:
                    _send(node.address, [next(numbers) for _ in range(20)], sent)

            sending = asyncio.create_task(asyncio.to_thread(keep_sending))
            backup = await asyncio.to_thread(Relayctl(lost).process, "db", "backup", str(saved))
            ended = True
            await sending
            assert backup.returncode == 0, backup.stderr
        config = (lost / "relay.toml").read_text()
        shutil.rmtree(lost)

        for here, there in zip(places[0].values(), places[1].values(), strict=True):
            config = config.replace(here, there)
        (other / "relay.toml").write_text(config)
        restored = Relayctl(other)
        told = await asyncio.to_thread(restored.json, "db", "restore", saved)
        held = told["counts"]["queued"]
        assert len(before) <= held <= len(sent)
        async with running(other, settings={"node": {"name": "two", **places[1]}}) as node:
            assert [row["state"] for row in await node.relayctl("node", "list")] == ["stopped", "live"]
            await primary.start()
            await eventually(lambda: at_home(primary).total() == held, timeout=PATIENCE)
            await node.until(DOMAIN, health="up", queued=0, continuity="standby")
            assert set(before) <= at_home(primary).keys() <= set(sent)
            known = [copy for copy in sent if copy in at_home(primary)]
            ledger = await balance(node.relayctl, other, primary, known)
            assert ledger[DOMAIN]["delivered"] == held


def _send(address: tuple[str, int], numbers: range | list[int], sent: list[Copy]) -> None:
    unsure: list[Copy] = []
    send(address, [(number, [f"user{number}@{DOMAIN}"]) for number in numbers], sent, unsure)
    assert not unsure


async def _customer(node: Desk, primary: ScriptedPrimary) -> None:
    await node.relayctl("appliance", "add", "acme", "--primary", primary.address, "--skip-proof", "dns")
    await node.relayctl("domain", "add", DOMAIN, "--appliance", "acme")
    await node.until(DOMAIN, health="up")
