"""A primary that comes back, and dies with a message in its mouth."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.scenarios.stage import DOMAIN, NIGHT, stage
from tests.support.desk import PATIENCE
from tests.support.primary import DROP, Answer, Taken
from tests.support.waiting import eventually


async def test_a_primary_that_dies_in_the_middle_of_data_gets_each_letter_once(tmp_path: Path) -> None:
    """What it hadn't taken whole is sent again after its next return; the outage goes on in the same ticket."""
    async with stage(tmp_path, at=NIGHT) as acme:
        await acme.goes_down()
        await acme.send(range(40))
        await acme.node.until(DOMAIN, ticket=3)

        def dies_after_ten(_recipients: tuple[str, ...]) -> Answer:
            if len(acme.primary.messages) >= 10:
                acme.primary.drop_content_after = 50
                acme.primary.on_banner = DROP
            return None

        acme.primary.on_data = dies_after_ten
        await acme.primary.start()
        await eventually(lambda: acme.primary.drop_content_after is not None, timeout=PATIENCE)
        await acme.primary.stop()
        await acme.is_down()
        assert len(acme.primary.messages) < 40

        acme.primary.on_data = acme.primary.on_banner = acme.primary.drop_content_after = None
        await acme.primary.start()
        await acme.all_home()
        ticket = await acme.node.until_resolved()
        assert ticket.priorities[0] == 1 and ticket.events.count("opened") == 1
        assert ticket.events.count("resolved") == 1, ticket.story
        await acme.balance()


async def test_an_answer_that_never_came_is_recorded_as_unknown_and_sent_again(tmp_path: Path) -> None:
    """A letter whose final 250 was cut off may arrive twice (RFC 1047), is never lost, and the queue says why."""
    async with stage(tmp_path, at=NIGHT) as acme:
        await acme.goes_down()
        await acme.send(range(5))
        await acme.node.until(DOMAIN, ticket=3)

        def dies(taken: Taken) -> Answer:
            acme.primary.on_banner = DROP
            return DROP

        acme.primary.on_content = dies
        await acme.primary.start()

        rows = await acme.node.until_waiting(lambda rows: any(map(unknown, rows)))
        (recipient,) = [row["recipients"][0] for row in rows if unknown(row)]
        assert [taken.recipients for taken in acme.primary.messages] == [(recipient,)]
        acme.primary.on_content = acme.primary.on_banner = None
        await acme.all_home()
        await acme.node.until_resolved()
        await acme.node.until_waiting(lambda rows: not rows)
        assert [line["state"] for line in await acme.node.traced(recipient)] == ["delivered"]
        await acme.balance(twice=[recipient])


def unknown(row: dict[str, Any]) -> bool:
    """Whether a line of the queue says that the outcome of its last attempt isn't known."""
    return "outcome unknown" in (row["last_reply"] or "")
