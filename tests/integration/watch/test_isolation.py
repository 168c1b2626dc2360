"""A node that is itself cut off calls nobody down, and says so."""

from __future__ import annotations

import asyncio
from pathlib import Path

from relay.appliances.facts import Health
from relay.appliances.pulse import Reach
from relay.cluster.nodes import nodes
from relay.settings import Watch
from tests.integration.watch.watching import PATIENT, Watching, primaries, watching
from tests.support.primary import ScriptedPrimary
from tests.support.processes import free_port
from tests.support.waiting import eventually


def isolation(node: Watching) -> str:
    """What the node's row says of it."""
    with node.db.read() as connection:
        return nodes(connection)[0].isolated


async def test_all_of_three_failing_together_are_not_called_down(tmp_path: Path) -> None:
    """Nothing is down while more than half of at least three fail; the operator sees why; one that stays away is
    called down when the others are back."""
    async with watching(tmp_path, PATIENT) as node, primaries(3) as hosts:
        acme, *others = [await node.add(f"appliance{number}", host) for number, host in enumerate(hosts)]
        await node.becomes(Health.UP, acme, *others)
        for host in hosts:
            await host.stop()
        node.pulse.suspect(acme.id)
        await eventually(lambda: isolation(node) == "3 of 3 primaries fail together")
        await node.reaches(Reach.NO, acme)
        assert [node.written(one).state for one in (acme, *others)] == [Health.UP] * 3
        await asyncio.sleep(1.0)
        assert [node.written(one).state for one in (acme, *others)] == [Health.UP] * 3
        for host in hosts[1:]:
            await host.start()
        await node.becomes(Health.DOWN, acme)
        await eventually(lambda: isolation(node) == "")
        assert [node.written(one).state for one in others] == [Health.UP] * 2


async def test_one_of_three_is_called_down_without_delay(tmp_path: Path) -> None:
    """The others are asked at once whether they answer, though their turn is far off."""
    async with watching(tmp_path, PATIENT) as node, primaries(3) as hosts:
        acme, *others = [await node.add(f"appliance{number}", host) for number, host in enumerate(hosts)]
        await node.becomes(Health.UP, acme, *others)
        await hosts[0].stop()
        node.pulse.suspect(acme.id)
        await node.becomes(Health.DOWN, acme)
        assert isolation(node) == ""
        assert [node.written(one).state for one in others] == [Health.UP] * 2


async def test_old_outages_cast_no_doubt_on_a_new_one(tmp_path: Path) -> None:
    """Three customers who lose their appliances one after the other are all called down."""
    async with watching(tmp_path, PATIENT) as node, primaries(3) as hosts:
        all_of_them = [await node.add(f"appliance{number}", host) for number, host in enumerate(hosts)]
        await node.becomes(Health.UP, *all_of_them)
        for appliance, host in zip(all_of_them, hosts, strict=True):
            await host.stop()
            node.pulse.suspect(appliance.id)
            await node.becomes(Health.DOWN, appliance)
        assert isolation(node) == ""


async def test_a_reference_host_settles_it(tmp_path: Path) -> None:
    """Where a reference host answers, any number of appliances can be down."""
    async with ScriptedPrimary() as reference, primaries(3) as hosts:
        settings = Watch(**{**PATIENT.model_dump(), "references": [reference.address]})
        async with watching(tmp_path, settings) as node:
            all_of_them = [await node.add(f"appliance{number}", host) for number, host in enumerate(hosts)]
            await node.becomes(Health.UP, *all_of_them)
            for host in hosts:
                await host.stop()
            for appliance in all_of_them:
                node.pulse.suspect(appliance.id)
            await node.becomes(Health.DOWN, *all_of_them)


async def test_silent_references_leave_the_doubt_until_one_answers(tmp_path: Path) -> None:
    """All of three fail and no reference answers: nothing is called down; when one answers, all are."""
    async with ScriptedPrimary() as reference, primaries(3) as hosts:
        await reference.stop()
        settings = Watch(**{**PATIENT.model_dump(), "references": [f"127.0.0.1:{free_port()}", reference.address]})
        async with watching(tmp_path, settings) as node:
            all_of_them = [await node.add(f"appliance{number}", host) for number, host in enumerate(hosts)]
            await node.becomes(Health.UP, *all_of_them)
            for host in hosts:
                await host.stop()
            for appliance in all_of_them:
                node.pulse.suspect(appliance.id)
            await eventually(lambda: "no reference host answers" in isolation(node))
            assert [node.written(one).state for one in all_of_them] == [Health.UP] * 3
            await reference.start()
            await node.becomes(Health.DOWN, *all_of_them)
            await eventually(lambda: isolation(node) == "")


async def test_a_reference_that_is_never_there_keeps_no_outage_quiet(tmp_path: Path) -> None:
    """With too few endpoints to doubt oneself, a mistyped reference changes nothing: the appliance is called down."""
    settings = Watch(**{**PATIENT.model_dump(), "references": [f"127.0.0.1:{free_port()}"]})
    async with ScriptedPrimary() as primary, watching(tmp_path, settings) as node:
        acme = await node.add("acme", primary)
        await node.becomes(Health.UP, acme)
        await primary.stop()
        node.pulse.suspect(acme.id)
        await node.becomes(Health.DOWN, acme)
        assert isolation(node) == ""
