"""What operators see of mail that failed, of quarantine, and of the reports that wait."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from relay.clock import Clock
from relay.queue.states import Reason, State
from tests.integration.cli.console import Relayctl, balanced
from tests.integration.queue.material import NO, house, outcomes, settlement


@pytest.fixture
def judged(relayctl: Relayctl) -> tuple[int, int]:
    """Two messages that were refused for good: the first was reported to its sender, the second is in quarantine."""

    async def fill(folder: Path) -> tuple[int, int]:
        async with house(folder, Clock()) as home:
            now = home.clock.now()
            (told,) = await home.accept("gone@acme.example", received_at=now)
            (kept,) = await home.accept("kept@acme.example", sender="victim@forged.example", received_at=now)
            due = await home.due(now=now)
            await home.queue.record(outcomes(due, State.HELD, NO, at=now, reason=Reason.FAILED))
            first, second = await home.failed(now=now)
            assert await home.queue.failures.settle(settlement(first, State.BOUNCED, report=b"a report"), now)
            assert await home.queue.failures.settle(settlement(second, State.HELD), now)
            return told, kept

    return asyncio.run(fill(relayctl.folder))


def test_reports_that_wait_are_listed(relayctl: Relayctl, judged: tuple[int, int]) -> None:
    """To whom, about whom, since when, how often it was tried, and what was said."""
    (row,) = relayctl.json("queue", "reports")
    assert list(row) == [
        "id",
        "message",
        "to",
        "about",
        "kind",
        "created_at",
        "attempts",
        "next_attempt_at",
        "last_reply",
    ]
    assert (row["message"], row["to"], row["about"]) == (judged[0], "ann@elsewhere.example", ["gone@acme.example"])
    assert (row["kind"], row["attempts"], row["last_reply"]) == ("failed", 0, "")
    assert "ann@elsewhere.example" in relayctl.does("queue", "reports")


def test_without_reports_that_is_said(relayctl: Relayctl) -> None:
    """An empty table would look like a fault."""
    assert relayctl.does("queue", "reports").strip() == "no report waits to be sent"
    assert relayctl.json("queue", "reports") == []


def test_quarantine_says_why(relayctl: Relayctl, judged: tuple[int, int]) -> None:
    """In the list, for the one message, and in the status of the domain."""
    (row,) = relayctl.json("queue", "list", "--reason", "quarantined")
    assert (row["id"], row["state"], row["reason"]) == (judged[1], "held", "quarantined")
    assert row["evidence"] == "as the test says"
    assert "as the test says" in relayctl.does("queue", "show", judged[1])
    assert "1 recipient: as the test says" in relayctl.does("status", "acme.example")


@pytest.mark.parametrize(("verb", "state"), [("release", "queued"), ("drop", "dropped")])
def test_an_operator_decides_about_quarantine(
    relayctl: Relayctl, judged: tuple[int, int], verb: str, state: str
) -> None:
    """Released it is tried again, dropped it is gone; the ledger counts it."""
    yes = ("--yes",) if verb == "drop" else ()
    assert relayctl.json("queue", verb, *yes, "--reason", "quarantined")["recipients"] == 1
    (row,) = relayctl.json("ledger")
    assert balanced([row]) and (row["bounced"], row[state]) == (1, 1)
    assert relayctl.json("db", "check") == {"ok": True, "faults": []}


def test_a_trace_says_that_the_sender_was_told(relayctl: Relayctl, judged: tuple[int, int]) -> None:
    """Bounced, with the primary's reply and what was done about it."""
    ((one,),) = [row["recipients"] for row in relayctl.json("trace", "--id", judged[0])]
    assert (one["state"], one["last_reply"]) == ("bounced", f"{NO} (judged)")
