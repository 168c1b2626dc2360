"""The ledger under everything that can happen: it balances, and it agrees with the rows and with a count by hand."""

from __future__ import annotations

import random
from collections import Counter
from pathlib import Path

import pytest

from relay.queue import operators
from relay.queue.cases import Case
from relay.queue.filter import Filter
from relay.queue.model import Outcome
from relay.queue.states import Reason, State
from tests.integration.queue.material import LATER, NO, NOW, House, house, outcomes, settlement
from tests.support.waiting import eventually

pytestmark = pytest.mark.usefixtures("engine")

ADDRESSES = [f"{name}@{domain}" for name in "abc" for domain in ("acme.example", "acme.test", "bolt.example")]


class Life:
    """Random events in a queue's life; what they accepted and delivered is counted by hand."""

    def __init__(self, home: House, seed: int) -> None:
        self.home = home
        self.random = random.Random(seed)
        self.now = NOW
        self.accepted: Counter[str] = Counter()
        self.delivered: set[tuple[int, str]] = set()
        self.in_flight: list[Outcome] = []
        self.outages = 0

    async def step(self) -> None:
        self.now += 1
        event = self.random.choice([self.accept] * 4 + [self.attempt] * 4 + [self.again, self.operate, self.decide])
        await event()

    async def accept(self) -> None:
        addresses = self.random.sample(ADDRESSES, self.random.randint(1, 6))
        await self.home.accept(*addresses, content=self.random.randbytes(self.random.randint(0, 3000)))
        self.accepted.update(address.partition("@")[2] for address in addresses)

    async def attempt(self) -> None:
        appliance = self.random.choice([self.home.acme, self.home.bolt])
        for message in await self.home.queue.due(appliance, self.now, limit=3, newest=self.random.random() < 0.3):
            for recipient, outcome in zip(message.recipients, outcomes([message], at=self.now), strict=True):
                kind = self.random.choice(["delivered", "delivered", "deferred", "failed", "breaker", "lost"])
                if kind == "delivered":
                    self.delivered.add((recipient.id, recipient.domain))
                elif kind == "deferred":
                    (outcome,) = _other(outcome, State.QUEUED, next_attempt_at=self.now + self.random.randint(1, 20))
                elif kind in ("failed", "breaker"):
                    (outcome,) = _other(outcome, State.HELD, reason=Reason(kind))
                if kind != "lost":
                    self.in_flight.append(outcome)
        self.random.shuffle(self.in_flight)
        recorded = [self.in_flight.pop() for _ in range(self.random.randint(0, len(self.in_flight)))]
        await self.home.queue.record(recorded)
        if self.random.random() < 0.3:
            await self.home.queue.record(recorded)

    async def again(self) -> None:
        """An outcome that was recorded long ago comes in again."""
        if self.in_flight:
            await self.home.queue.record(self.in_flight[:2])

    async def operate(self) -> None:
        verb = self.random.choice([operators.hold, operators.release, operators.retry])
        verb(self.home.db, Filter(domain=self.random.choice(["acme.example", "bolt.example"])), self.now, "ann")

    async def decide(self) -> None:
        appliance = self.random.choice([self.home.acme, self.home.bolt])
        queue = self.home.queue
        match self.random.randrange(6):
            case 0:
                self.outages += 1
                await queue.begin_outage(appliance, self.outages)
            case 1:
                await queue.release(appliance, Reason.BREAKER)
            case 2:
                await queue.convert(appliance, Reason.BREAKER, Reason.FAILED)
            case 3:
                long_after = self.now + 15 * 86400
                await self.judge(await self.home.overdue(appliance, long_after), State.EXPIRED)
            case _:
                await self.judge(await self.home.failed(appliance, self.now), State.BOUNCED)

    async def judge(self, cases: list[Case], state: State) -> None:
        """All but what is on its way."""
        in_flight = {outcome.recipient_id for outcome in self.in_flight}
        for case in cases:
            if in_flight.isdisjoint(one.id for one in case.recipients):
                fate = self.random.choice([state, state, State.HELD])
                report = self.random.randbytes(1000) if fate is state and self.random.random() < 0.5 else None
                decided = settlement(case, fate, expired=state is State.EXPIRED, report=report)
                assert await self.home.queue.failures.settle(decided, self.now)
                assert not await self.home.queue.failures.settle(decided, self.now)


def _other(outcome: Outcome, state: State, **changes: object) -> list[Outcome]:
    reply = LATER if state is State.QUEUED else NO
    return [Outcome(outcome.message_id, outcome.recipient_id, state, reply, outcome.at, **changes)]  # type: ignore[arg-type]


@pytest.mark.parametrize("seed", range(6))
async def test_the_ledger_balances_whatever_happens(tmp_path: Path, seed: int) -> None:
    """Accepted = delivered + bounced + expired + dropped + queued + held, per domain and outage, as the rows say."""
    async with house(tmp_path) as home:
        life = Life(home, seed)
        for _ in range(60):
            await life.step()
        await home.queue.record(life.in_flight)
        assert home.problems() == []
        delivered = Counter(domain for _, domain in life.delivered)
        for domain in home.domains:
            found = home.ledger(domain)
            assert found.balanced
            assert (found.accepted, found.delivered) == (life.accepted[domain], delivered[domain])
            outages = [home.ledger(domain, outage) for outage in range(life.outages + 1)]
            assert all(outage.balanced and min(outage.accepted, outage.queued, outage.held) >= 0 for outage in outages)
            assert sum(outage.accepted for outage in outages) == found.accepted
        queued = home.ledger("acme.example").queued + home.ledger("acme.test").queued
        await eventually(
            lambda: home.queue.depth(home.acme).queued == queued
        )  # an operator's changes show within a second
        operators.drop(home.db, Filter(), life.now, "ann")
        assert home.problems() == []
        assert [home.rows(table) for table in ("messages", "recipients", "content")] == [0, 0, 0]
        assert home.rows("trace") > 0
