"""A whole node and a receiver of webhooks: an outage is told, a report stops the clock, and trouble is seen."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from standardwebhooks import Webhook as Signer

from tests.support.node import Node, running
from tests.support.processes import free_port
from tests.support.receiver import Answer, Receiver, receiver
from tests.support.waiting import eventually

SECRET = "whsec_" + "c2VjcmV0" * 5


def settings(desk: Receiver) -> dict[str, dict[str, Any]]:
    return {
        "helpdesk": {
            "kind": "webhook",
            "url": desk.url,
            "secret": SECRET,
            "allow_private": True,
            "listen": "127.0.0.1:0",
        }
    }


async def add_an_outage(node: Node) -> None:
    """An appliance whose primary nobody has ever reached is down within seconds."""
    primary = f"127.0.0.1:{free_port()}"
    await node.relayctl("domain", "add", "gold.example", "--primary", primary, "--business-hours", "always")


def told(desk: Receiver) -> list[dict[str, Any]]:
    """What the receiver knows of the outage; that the DNS doesn't name us has a ticket of its own."""
    return [message for message in desk.told if message["data"]["ticket"]["condition"] == "mailflow"]


async def all_told(node: Node) -> bool:
    status = await node.relayctl("status")
    return (status["helpdesk"]["trouble"], status["helpdesk"]["waiting"]) == (None, 0)


async def report(node: Node, **said: Any) -> dict[str, Any]:
    body, at = json.dumps({"actor": "dana", **said}), datetime.now(UTC)
    reader, writer = await asyncio.open_connection("127.0.0.1", node.app.listener.port)
    lines = [
        "POST /desk HTTP/1.1",
        "Host: relay.example",
        f"Content-Length: {len(body)}",
        "webhook-id: r1",
        f"webhook-timestamp: {int(at.timestamp())}",
        f"webhook-signature: {Signer(SECRET).sign('r1', at, body)}",
    ]
    writer.write("\r\n".join([*lines, "", body]).encode())
    answer = await reader.read()
    writer.close()
    assert answer.startswith(b"HTTP/1.1 200 "), answer
    facts: dict[str, Any] = json.loads(answer.partition(b"\r\n\r\n")[2])
    return facts


async def test_an_outage_is_told_and_an_engineers_report_stops_the_clocks(tmp_path: Path) -> None:
    """From the failing probe to the receiver, and back from its answer to the customer to our clocks."""
    async with receiver(SECRET) as desk, running(tmp_path, settings=settings(desk)) as node:
        await add_an_outage(node)
        await eventually(lambda: told(desk))
        ticket = told(desk)[0]["data"]["ticket"]
        assert (ticket["appliance"], ticket["priority"], ticket["status"]) == ("gold.example", 1, "open")
        answer = await report(node, ticket=ticket["id"], action="respond", text="we are on it")
        assert answer["ticket"]["status"] == "responded"
        shown = await node.relayctl("ticket", "show", str(ticket["id"]))
        assert [entry["event"] for entry in shown["history"]] == ["opened", "acknowledged", "responded"]
        assert {entry["actor"] for entry in shown["history"][1:]} == {"dana"}
        await eventually(lambda: all_told(node))
        about_it = [one for one in told(desk) if one["data"]["ticket"]["id"] == ticket["id"]]
        assert "dana" not in {one["data"]["event"]["actor"] for one in about_it}, "what came from there doesn't go back"


async def test_what_the_helpdesk_wasnt_told_is_seen_and_told_after_a_reload(tmp_path: Path) -> None:
    """ticket show, status and doctor say what waits and why; SIGHUP asks at once."""
    async with receiver(SECRET) as desk:
        desk.otherwise = Answer(401, body=b"bad signature")
        async with running(tmp_path, settings=settings(desk)) as node:
            await add_an_outage(node)

            async def in_trouble() -> bool:
                status = await node.relayctl("status")
                return "401" in (status["helpdesk"]["trouble"] or "")

            await eventually(in_trouble)
            shown = await node.relayctl("ticket", "show", "1")
            assert shown["helpdesk"]["waiting"] == 1
            assert "401" in shown["helpdesk"]["last_error"]
            assert shown["helpdesk"]["next_attempt_at"] is not None
            desk.otherwise = Answer(204)
            node.app.reload()
            await eventually(lambda: told(desk))
            await eventually(lambda: all_told(node))
