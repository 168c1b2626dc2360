"""What became of a message, while it is here and after it has left."""

from __future__ import annotations

from pathlib import Path

import pytest

from relay.clock import Clock
from relay.queue import housekeeping
from relay.queue.states import Reason, State
from relay.queue.trace import trace
from tests.integration.queue.material import CONTENT, NO, NOW, House, house, outcomes

pytestmark = pytest.mark.usefixtures("engine")

DAY = 86400.0


async def _one_here_and_one_gone(home: House) -> tuple[int, int]:
    (gone,) = await home.accept("Gone%_@acme.example", "x@acme.example", message_id="<gone@elsewhere.example>")
    (message,) = await home.due()
    delivered, _ = outcomes([message])
    _, failed = outcomes([message], State.HELD, NO, reason=Reason.FAILED)
    await home.queue.record([delivered, failed])
    await home.queue.record(outcomes([message], at=NOW + 5)[1:])
    (here,) = await home.accept("here@acme.example", sender="Ben@Elsewhere.example", message_id="<here@x.example>")
    return here, gone


async def test_a_message_is_found_by_whatever_is_known_of_it(tmp_path: Path) -> None:
    """By sender, recipient, Message-ID or number; without case, with or without brackets; newest first."""
    async with house(tmp_path) as home:
        here, gone = await _one_here_and_one_gone(home)
        assert [one.id for one in trace(home.db)] == [here, gone]
        assert [one.id for one in trace(home.db, limit=1)] == [here]
        assert [one.id for one in trace(home.db, sender="ANN@elsewhere.example")] == [gone]
        assert [one.id for one in trace(home.db, sender="ben@elsewhere.example")] == [here]
        assert [one.id for one in trace(home.db, recipient="gone%_@ACME.example")] == [gone]
        assert [one.id for one in trace(home.db, recipient="HERE@acme.example")] == [here]
        assert trace(home.db, recipient="one@acme.example") == []
        assert trace(home.db, recipient="gone@acme.example") == []
        assert trace(home.db, recipient="delivered") == []
        assert [one.id for one in trace(home.db, message_id="gone@elsewhere.example")] == [gone]
        assert [one.id for one in trace(home.db, message_id="<here@x.example>")] == [here]
        assert [one.id for one in trace(home.db, id=gone)] == [gone]
        assert trace(home.db, id=gone, recipient="here@acme.example") == []


async def test_a_trace_tells_the_whole_story(tmp_path: Path) -> None:
    """Envelope, size, times and each recipient's state, attempts and last reply."""
    async with house(tmp_path) as home:
        here, gone = await _one_here_and_one_gone(home)
        (left,), (stays,) = trace(home.db, id=gone), trace(home.db, id=here)
        assert (left.sender, left.size, left.received_at) == ("ann@elsewhere.example", len(CONTENT), NOW)
        assert (left.appliance_id, left.client_ip, left.client_helo) == (home.acme, "192.0.2.7", "client.example")
        first, second = left.recipients
        assert (first.address, first.state, first.attempts, first.at) == (
            "Gone%_@acme.example",
            State.DELIVERED,
            1,
            NOW,
        )
        assert (second.state, second.attempts, second.reply) == (State.DELIVERED, 2, "250 2.0.0 queued as 4711")
        assert stays.removed_at is None
        assert stays.recipients[0].state is State.QUEUED


async def test_traces_are_kept_for_thirty_days(tmp_path: Path) -> None:
    """What left more than 30 days ago is forgotten; what left later stays, however long ago it came."""
    shift = 0.0
    start = Clock().now()
    async with house(tmp_path, Clock(wall=lambda: start, monotonic=lambda: shift)) as home:
        for _ in range(600):
            await home.accept(received_at=start)
        mail = await home.due(now=start)
        await home.queue.record(outcomes(mail[:550], at=start))
        shift = 20 * DAY
        await home.queue.record(outcomes(mail[550:], at=start))
        await housekeeping.sweep(home.queue._call, start + 29 * DAY)
        assert home.rows("trace") == 600
        await housekeeping.sweep(home.queue._call, start + 31 * DAY)
        assert home.rows("trace") == 50
        await housekeeping.sweep(home.queue._call, start + 51 * DAY)
        assert home.rows("trace") == 0
