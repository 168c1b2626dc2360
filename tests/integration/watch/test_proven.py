"""Proven up, as every node of the cluster knows it: by the health that was written, and by the owner's own word."""

from __future__ import annotations

from pathlib import Path

import pytest

from relay.appliances import pulse, store
from relay.appliances.facts import Health
from relay.appliances.model import WhenUp
from relay.cluster import vouching
from relay.cluster.observer import Timing
from tests.integration.watch.watching import Watching, watching
from tests.support.primary import ScriptedPrimary
from tests.support.waiting import eventually

LONG = Timing(dead_after=600.0, renew=0.2)
"""Nobody is given a share in the time of a test."""

pytestmark = pytest.mark.usefixtures("engine")


def proven(node: Watching, number: int) -> bool:
    return node.pulse.proven(number, node.clock.monotonic())


async def defers(node: Watching) -> None:
    """Only then it matters to other nodes."""
    await node.db.change(store.set_domain, "acme.example", when_up=WhenUp.DEFER)
    await node.directory.refresh()


async def test_what_the_owner_proves_other_nodes_know(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As long as its probes keep their schedule."""
    monkeypatch.setattr(pulse, "HEARTBEAT_LIMIT", 4.0)
    async with ScriptedPrimary() as primary, watching(tmp_path, name="owner", timing=LONG) as owner:
        acme = await owner.add("acme", primary, domain="acme.example")
        await defers(owner)
        async with watching(tmp_path, name="other", timing=LONG) as other:
            await owner.becomes(Health.UP, acme)
            await eventually(lambda: proven(owner, acme.id) and proven(other, acme.id))
            on_schedule = owner.watcher._prober.on_schedule
            owner.watcher._prober.on_schedule = lambda _: False  # type: ignore[method-assign]
            await eventually(lambda: not proven(other, acme.id))
            assert other.health(acme).state is Health.UP
            owner.watcher._prober.on_schedule = on_schedule  # type: ignore[method-assign]
            await eventually(lambda: proven(other, acme.id))
            assert not other.node.owns(acme.id)


async def test_who_does_not_say_what_it_proves_proves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A node that is behind with more than it can say; or of an older program, beside which this one is upgraded."""
    monkeypatch.setattr(vouching, "BEHIND_MOST", -1)
    async with ScriptedPrimary() as primary, watching(tmp_path, name="old", timing=LONG) as old:
        acme = await old.add("acme", primary, domain="acme.example")
        await defers(old)
        async with watching(tmp_path, name="new", timing=LONG) as new:
            await new.becomes(Health.UP, acme)
            await eventually(lambda: proven(old, acme.id) and new.node.others)
            assert not proven(new, acme.id)
