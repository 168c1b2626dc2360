"""Who is told of an outage: whoever is on call, and the customer's own people, in plain words and once."""

from __future__ import annotations

import email
import email.policy
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from relay.errors import Refused
from tests.scenarios.stage import DOMAIN, HOURS, MORNING, NIGHT, ZONE, Stage, stage
from tests.support.desk import PATIENCE
from tests.support.hook import Hook, hook
from tests.support.primary import ScriptedPrimary
from tests.support.waiting import eventually

OPS = "ops@elsewhere.example"


def settings(oncall: Hook, mail: ScriptedPrimary) -> Mapping[str, Mapping[str, Any]]:
    return {
        "support": {"hours": HOURS, "timezone": ZONE},
        "notify": {
            "mail": f"mailto://127.0.0.1:{mail.port}?from=relay@desk.example",
            "rules": [{"name": "oncall", "urls": [oncall.url()], "priorities": [1]}],
        },
    }


def subjects(mail: ScriptedPrimary) -> list[str]:
    found = [email.message_from_bytes(one.content, policy=email.policy.default) for one in mail.messages]
    return [str(one["Subject"]) for one in found]


async def told(acme: Stage) -> bool:
    """Everybody has been told everything."""
    status = (await acme.node.relayctl("status"))["notify"]
    return status["waiting"] == 0 and status["trouble"] == []


async def test_an_outage_off_hours_is_told_to_whoever_is_on_call_and_to_the_customer(tmp_path: Path) -> None:
    """On call hears P1, P3 and resolved; the contact reads of the start, the takeover and the end, and nothing else."""
    options = ("--contact", OPS)
    async with hook() as oncall, ScriptedPrimary() as mail:
        async with stage(tmp_path, at=NIGHT, options=options, settings=settings(oncall, mail)) as acme:
            await acme.goes_down()
            await acme.send(range(20))
            await acme.node.until(DOMAIN, ticket=3)
            await eventually(lambda: (len(oncall.posts), len(mail.messages)) == (2, 2), timeout=PATIENCE)
            await acme.primary.start()
            await acme.all_home()
            ticket = await acme.node.until_resolved()
            await eventually(lambda: (len(oncall.posts), len(mail.messages)) == (3, 3), timeout=PATIENCE)
            await eventually(lambda: told(acme), timeout=PATIENCE)
            shown = await acme.node.relayctl("ticket", "show", str(ticket.id))
            await acme.balance()
        first, second, third = (post.first_line for post in oncall.posts)
        assert first.startswith(f"P1 opened: Acme Ltd, no mail flow ({DOMAIN}), Sat 28 Nov 20:0")
        assert second.startswith(f"P1 → P3: Acme Ltd, no mail flow, the relay has taken over ({DOMAIN})")
        assert "loop: " in oncall.posts[1].text, "the proof is told too"
        assert third.startswith("P3 resolved: Acme Ltd")
        assert f"{DOMAIN}: 20 accepted = 20 delivered" in oncall.posts[2].text
        assert {one.recipients for one in mail.messages} == {(OPS,)}
        assert subjects(mail) == [
            f"Your mail server can't be reached; your mail is being kept safe (ticket {ticket.id})",
            f"The continuity service keeps your mail while your mail server is away (ticket {ticket.id})",
            f"Your mail server is back, and your mail has been handed over (ticket {ticket.id})",
        ]
        assert b"20 messages for you were kept in that time; 20 were handed over" in mail.messages[2].content
        assert {row["outcome"] for row in shown["told"]} == {"sent"}
        assert sorted(row["what"] for row in shown["told"] if row["to"] == "oncall") == [
            "lowered",
            "opened",
            "resolved",
        ]


async def test_a_contact_at_the_domain_that_is_down_is_refused_and_skipped(tmp_path: Path) -> None:
    """Refused when configured; what a rule writes there all the same is skipped when sent, and the ticket says why."""
    async with hook() as oncall, ScriptedPrimary() as mail:
        given = dict(settings(oncall, mail))
        async with stage(tmp_path, at=MORNING, settings=given) as acme:
            with pytest.raises(Refused, match=f"contact boss@{DOMAIN} gets no mail while {DOMAIN} is down"):
                await acme.node.relayctl("appliance", "set", "acme", "--contact", f"boss@{DOMAIN}")
            with pytest.raises(Refused, match=f"contact boss@sub.{DOMAIN} gets no mail"):
                await acme.node.relayctl("appliance", "set", "acme", "--contact", f"boss@sub.{DOMAIN}")
            await acme.is_up()
            config = tmp_path / "relay.toml"
            url = f"mailto://127.0.0.1:{mail.port}?from=relay@desk.example&to=boss@{DOMAIN}"
            config.write_text(config.read_text().replace(f'"{oncall.url()}"', f'"{oncall.url()}", "{url}"'))
            acme.node.app.reload()
            await acme.primary.stop()
            await acme.is_down()
            ticket = await acme.node.until_told(f"oncall#2 was not told: boss@{DOMAIN} gets no mail while {DOMAIN} is")
            assert ticket.priorities == [1]
            await eventually(lambda: oncall.posts, timeout=PATIENCE)
            assert mail.messages == []


@pytest.mark.parametrize("announced", [True, False])
async def test_what_is_announced_or_over_before_the_ticket_nobody_hears_of(tmp_path: Path, announced: bool) -> None:
    """A failure in a maintenance window, and one shorter than ticket_after, wake and worry nobody."""
    async with hook() as oncall, ScriptedPrimary() as mail:
        after = {} if announced else {"continuity": {"ticket_after": 3600, "settle": 0.2}}
        given = {**settings(oncall, mail), **after}
        async with stage(tmp_path, at=NIGHT, options=("--contact", OPS), settings=given) as acme:
            await acme.is_up()
            if announced:
                await acme.node.relayctl("maintenance", "add", "acme", "--for", "2h", "--reason", "new disks")
            await acme.primary.stop()
            await acme.node.until(DOMAIN, health="down", continuity="active")
            await acme.primary.start()
            await acme.node.until(DOMAIN, health="up", continuity="standby")
            assert await acme.node.tickets() == []
            assert (oncall.tries, mail.messages) == ([], [])
            assert (await acme.node.relayctl("status"))["notify"]["waiting"] == 0
