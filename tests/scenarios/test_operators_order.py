"""What an operator says goes before hours and policies, for one outage."""

from __future__ import annotations

from pathlib import Path

from tests.scenarios.stage import DOMAIN, MORNING, NIGHT, proven, stage


async def test_an_operator_activates_continuity_during_an_outage(tmp_path: Path) -> None:
    """With the policy 'manual' the P1 says how to activate; done, it is a P3 that names who did it."""
    async with stage(tmp_path, at=NIGHT, options=("--activation", "manual")) as acme:
        await acme.goes_down()
        await acme.send(range(10))
        await acme.node.until(DOMAIN, ticket=1, continuity="standby")
        await acme.node.relayctl("failover", "activate", "acme", "-m", "the customer asked for it")
        await acme.node.until(DOMAIN, ticket=3, continuity="active")
        await acme.primary.start()
        await acme.all_home()

        ticket = await acme.node.until_resolved()
        assert ticket.priorities == [1, 3]
        assert "'relayctl failover activate acme' does it" in ticket.told("opened")[0]
        assert f"{acme.node.who} ordered it" in proven(ticket)
        history = (await acme.node.relayctl("failover", "history", "acme"))["history"]
        assert ("the customer asked for it", acme.node.who) in [(line["reason"], line["actor"]) for line in history]
        await acme.balance()


async def test_an_order_given_while_the_appliance_is_up_arms_the_next_outage_alone(tmp_path: Path) -> None:
    """Armed in business hours, the next outage is taken over at once; the one after it isn't."""
    async with stage(tmp_path, at=MORNING) as acme:
        await acme.is_up()
        ordered = await acme.node.relayctl("failover", "activate", "acme", "-m", "they move the server at noon")
        assert ordered["armed"]
        await acme.primary.stop()
        await acme.is_down()
        await acme.send(range(5))
        await acme.node.until(DOMAIN, ticket=3, continuity="active")
        await acme.primary.start()
        first = await acme.node.until_resolved()
        assert first.priorities == [1, 3]
        assert f"{acme.node.who} ordered it" in proven(first)

        await acme.primary.stop()
        await acme.is_down()
        await acme.send(range(5, 10))
        await acme.node.until(DOMAIN, ticket=1, continuity="standby")
        await acme.primary.start()
        await acme.all_home()
        second = await acme.node.until_resolved()
        assert (second.id, second.priorities) == (first.id, [1, 3, 1])
        await acme.balance()


async def test_an_operator_ends_continuity_during_an_outage(tmp_path: Path) -> None:
    """Deactivated by night: a P1 that names who said so, and mail is queued and comes home as ever."""
    async with stage(tmp_path, at=NIGHT) as acme:
        await acme.goes_down()
        await acme.send(range(5))
        await acme.node.until(DOMAIN, ticket=3)
        await acme.node.relayctl("failover", "deactivate", "acme")
        await acme.node.until(DOMAIN, ticket=1, continuity="standby")
        await acme.send(range(5, 10))
        await acme.primary.start()
        await acme.all_home()
        ticket = await acme.node.until_resolved()
        assert ticket.priorities == [1, 3, 1]
        assert f"Continuity stays off: so said {acme.node.who}." in ticket.told("priority", to=1)[0]
        await acme.balance()
