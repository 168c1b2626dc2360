"""After an outage some recipients turn out not to exist: senders who exist are told, and nobody else is."""

from __future__ import annotations

from email import message_from_bytes
from pathlib import Path

import pytest

from relay.mail import Reply
from tests.scenarios.balance import SENDER
from tests.scenarios.stage import DOMAIN, NIGHT, stage
from tests.support.desk import PATIENCE
from tests.support.primary import Answer, on_port_25
from tests.support.waiting import eventually

pytestmark = pytest.mark.usefixtures("engine")

FORGED = "victim@forged.example"


async def test_senders_who_exist_are_told_and_others_never(tmp_path: Path) -> None:
    """When the window after the return has closed, one report for each message; the ledger says bounced, not held."""
    async with stage(tmp_path, at=NIGHT) as acme, on_port_25() as world:
        acme.dns.records["world.example TXT"] = ['"v=spf1 ip4:127.0.0.1 -all"']
        acme.dns.records["forged.example TXT"] = ['"v=spf1 -all"']
        for domain in ("world.example", "forged.example"):
            acme.dns.records[f"{domain} MX"] = ["10 mx.world.example."]
        acme.dns.records["mx.world.example A"] = [world.host]
        await acme.goes_down()
        recipients = (f"anna@{DOMAIN}", f"typo1@{DOMAIN}", f"typo2@{DOMAIN}")
        await acme.send(range(3), to=recipients)
        await acme.send(range(3, 6), to=recipients, sender=FORGED)
        await acme.node.until(DOMAIN, ticket=3)

        def knows(address: str) -> Answer:
            return Reply(550, "5.1.1", "No such user") if address.startswith("typo") else None

        acme.primary.on_rcpt = knows
        await acme.primary.start()
        ticket = await acme.node.until_resolved()
        assert f"\n{DOMAIN}: 18 accepted = 6 delivered + 12 held" in ticket.told("resolved")[0], ticket.story
        assert world.messages == []

        acme.clock.leap(901)
        await acme.node.until_waiting(lambda rows: {row["reason"] for row in rows} == {"quarantined"})
        await eventually(lambda: len(world.messages) == 3, timeout=PATIENCE)
        for taken in world.messages:
            assert (taken.sender, taken.recipients) == ("", (SENDER,))
            report = message_from_bytes(taken.content)
            assert report.get_content_type() == "multipart/report"
            _, *people = report.get_payload()[1].get_payload()
            assert [one["Final-Recipient"] for one in people] == [f"rfc822; {name}" for name in recipients[1:]]
        ledger = (await acme.balance())[DOMAIN]
        assert (ledger["delivered"], ledger["bounced"], ledger["held"]) == (6, 6, 6)
        assert await acme.node.relayctl("queue", "reports") == []
        (traced,) = await acme.node.relayctl("trace", "--id", "1")
        assert traced["recipients"][1]["last_reply"] == "550 5.1.1 No such user (reported to its sender)"
