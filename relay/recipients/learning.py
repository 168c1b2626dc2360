"""Learns who exists at a domain by asking its primary, while that is up, and answers from memory.

Promises: what is known is answered at once, also in an outage; a question takes WITHIN seconds at most, and each
appliance is asked so much and no more (see ``budget``), so that nobody else waits for a primary that hangs; what an
answer means is decided in ``learned``, whether a refusal counts in ``control``. Whichever node is asked by a client
asks, by an address and with a budget of its own, and every node remembers; what grows old the owner asks about. The
asking itself is somebody else's: ``ask(domain, address)`` gives the reply to RCPT, or None where there was none.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection

from relay import events
from relay.appliances.directory import Directory
from relay.appliances.facts import Health
from relay.appliances.model import Domain, RecipientPolicy
from relay.appliances.pulse import Pulse
from relay.clock import Clock
from relay.db import Database
from relay.mail import Reply, domain_of
from relay.recipients.budget import FULL, Budget
from relay.recipients.control import Control
from relay.recipients.learned import Answer, decide, fresh, horizon, read
from relay.recipients.memories import Memories
from relay.recipients.verdict import Verdict
from relay.recipients.wildcards import Wildcards

Ask = Callable[[Domain, str], Awaitable[Reply | None]]

WITHIN = 5.0
"""Seconds that a client waits for what the primary says."""
TICK = 2.0
"""Seconds between two looks at what is to be asked, or written."""
REFRESH_EVERY = 10.0
"""Seconds between two questions in the background, for each appliance."""
LOOK_EVERY = 600.0
"""Seconds until a domain of which nothing was old is looked through again."""
AT_ONCE = 100
"""Recipients that such a look picks."""
LONGEST = 64
"""Octets of what stands before the @ (RFC 5321 4.5.3.1.1): for more nobody is asked, and nothing remembered."""
WITNESS = "postmaster"
"""Exists everywhere (RFC 5321 4.5.1)."""


@dataclass(slots=True)
class _Rota:
    """Who of a domain is to be asked about again."""

    waiting: deque[str] = field(default_factory=deque)
    look_at: float = float("-inf")


class Learning:
    """One for each node. ``owns``, ``holds``: whether this node works for an appliance, asked of memory and, inside a
    transaction, of the database."""

    def __init__(
        self,
        db: Database,
        directory: Directory,
        pulse: Pulse,
        clock: Clock,
        owns: Callable[[int], bool],
        holds: Callable[[Connection, int], bool],
        ask: Ask,
    ) -> None:
        self._directory = directory
        self._pulse = pulse
        self._clock = clock
        self._owns = owns
        self._ask = ask
        self._memories = Memories(db, directory)
        self._wildcards = Wildcards(db, clock, owns, holds)
        self._budgets: dict[int, Budget] = {}
        self._controls: dict[int, Control] = {}
        self._rotas: dict[int, _Rota] = {}
        self._refresh_at: dict[int, float] = {}
        self._questions: dict[tuple[int, str], asyncio.Task[tuple[Answer | None, bool]]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._turn = 0

    # What the edge asks

    def verdict(self, domain: Domain, local: str) -> Verdict:
        """From memory, at once."""
        return self._decide(domain, local.lower(), None, counts=False)

    def worth_asking(self, domain: Domain, local: str) -> bool:
        """Whether the primary knows better than memory does, and may be asked now."""
        local = local.lower()
        memory = self._memories.of(domain)
        if memory.wildcard or fresh(memory.get(local), self._clock.now()):
            return False
        if len(local) > LONGEST or not local.isascii() or not self._proven_up(domain):
            return False
        return (domain.id, local) in self._questions or self._budget(domain).may_ask(self._clock.monotonic())

    async def ask(self, domain: Domain, local: str) -> Verdict:
        """Ask the primary, and decide by what it says within WITHIN seconds; else by what is remembered."""
        local = local.lower()
        question = self._questions.get((domain.id, local)) or self._begin(domain, local)
        told, counts = None, False
        try:
            async with asyncio.timeout(WITHIN):
                told, counts = await asyncio.shield(question)
        except TimeoutError:
            pass  # it goes on, and what it brings is remembered
        return self._decide(domain, local, told, counts=counts)

    # What deliveries say

    def heard(self, address: str, reply: Reply) -> None:
        """A healthy primary has answered RCPT for somebody in a delivery."""
        if not self._memories:
            return
        domain = self._directory.domain(domain_of(address))
        answer = read(reply)
        if answer is None or domain is None or domain.recipients is not RecipientPolicy.LEARNED:
            return
        control, local = self._control(domain), address.rpartition("@")[0].lower()
        if answer is Answer.ACCEPTED:
            control.accepted_at = self._clock.now()
        elif not (control.settled(self._directory.health(domain.appliance_id)) and control.accepts()):
            return
        memory = self._memories.of(domain)
        if not memory.wildcard and len(local) <= LONGEST:
            memory.learn(local, answer, self._clock.now())

    # Its life

    async def refresh(self) -> None:
        """Take in what is in the database. Raises DatabaseError."""
        await self._memories.refresh()

    async def run(self) -> None:
        """Refresh what is old, look for wildcards, write down what was learned, until cancelled."""
        version, looked_at = -1, float("-inf")
        while True:
            try:
                seen, now = self._directory.snapshot.version, self._clock.monotonic()
                if seen != version or now - looked_at >= REFRESH_EVERY:
                    await self._memories.refresh()
                    self._wildcards.news |= seen != version
                    version, looked_at = seen, now
                self._look_around()
                await self._memories.write()
                if self._wildcards.news:
                    await self._wildcards.say(
                        [one for one in self._memories.learned() if self._memories.of(one).wildcard]
                    )
            except Exception as error:  # the database is busy: the next tick tries again
                events.fault("recipients", error)
            await asyncio.sleep(TICK)

    async def close(self) -> None:
        """Ask nothing more, and write down what was learned last."""
        tasks = [*self._tasks, *self._questions.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._memories.write()

    # In the background

    def _look_around(self) -> None:
        """Begin what is due: for each appliance one question now and then."""
        domains = self._memories.learned()
        self._turn += 1
        now, monotonic = self._clock.now(), self._clock.monotonic()
        start = self._turn % len(domains) if domains else 0
        for domain in domains[start:] + domains[:start]:
            if not self._owns(domain.appliance_id) or not self._proven_up(domain):
                continue
            memory = self._memories.of(domain)
            settled = self._control(domain).settled(self._directory.health(domain.appliance_id))
            if self._wildcards.due(domain, memory, settled=settled):
                if self._budget(domain).may_ask(monotonic):
                    self._start(self._look_for_wildcard(domain))
            elif settled and not memory.wildcard and now >= self._refresh_at.get(domain.appliance_id, 0.0):
                local = self._next_old(domain)
                if local is not None and self._budget(domain).may_ask(monotonic, keep=FULL / 4):
                    self._refresh_at[domain.appliance_id] = now + REFRESH_EVERY
                    self._begin(domain, local)

    def _next_old(self, domain: Domain) -> str | None:
        rota, memory = self._rotas.setdefault(domain.id, _Rota()), self._memories.of(domain)
        now = self._clock.now()
        if not rota.waiting and now >= rota.look_at:
            memory.forget_old(now)
            rota.waiting.extend(memory.due(now, AT_ONCE))
            if not rota.waiting:
                rota.look_at = now + LOOK_EVERY
        while rota.waiting:
            local = rota.waiting.popleft()
            known = memory.get(local)
            due_at = known.due_at() if known else None
            if due_at is not None and due_at <= now and (domain.id, local) not in self._questions:
                return local
        return None

    async def _look_for_wildcard(self, domain: Domain) -> None:
        answer = await self._put(domain, self._wildcards.stranger(domain))
        if answer is not None:
            self._wildcards.answered(domain, self._memories.of(domain), answer)

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            events.fault("recipients", error)

    # Asking

    def _begin(self, domain: Domain, local: str) -> asyncio.Task[tuple[Answer | None, bool]]:
        """One question for one recipient, however many wait for the answer."""
        key = domain.id, local
        task = self._questions[key] = asyncio.create_task(self._inquire(domain, local))
        task.add_done_callback(lambda _: self._questions.pop(key))
        return task

    async def _inquire(self, domain: Domain, local: str) -> tuple[Answer | None, bool]:
        """What the primary says, and whether it counts; that is remembered."""
        try:
            answer = await self._put(domain, local)
            control, memory = self._control(domain), self._memories.of(domain)
            if answer is Answer.ACCEPTED:
                control.accepted_at = self._clock.now()
            counts = answer is Answer.ACCEPTED
            if answer is Answer.REJECTED:

                def witnesses() -> list[str]:
                    known = memory.best()
                    return [one for one in (known, WITNESS) if one is not None and one != local]

                async def exists(witness: str) -> bool:
                    return await self._put(domain, witness) is Answer.ACCEPTED

                counts = await control.counts(self._directory.health(domain.appliance_id), witnesses, exists)
            if answer is not None and counts:
                memory.learn(local, answer, self._clock.now())
            return answer, counts
        except Exception as error:
            events.fault("recipients", error)
            return None, False

    async def _put(self, domain: Domain, local: str) -> Answer | None:
        budget, reply = self._budget(domain), None
        budget.begin(self._clock.monotonic())
        try:
            async with asyncio.timeout(WITHIN):
                reply = await self._ask(domain, f"{local}@{domain.name}")
        except TimeoutError:
            pass  # it is silent
        finally:
            refused = reply is not None and reply.permanent
            budget.end(self._clock.monotonic(), silent=reply is None, refused=refused)
        answer = read(reply)
        events.recipient_asked(str(answer or ("unclear" if reply else "silent")))
        return answer

    # What is known

    def _decide(self, domain: Domain, local: str, told: Answer | None, *, counts: bool) -> Verdict:
        memory = self._memories.of(domain)
        if memory.wildcard:
            return Verdict.TAKEN
        health = self._directory.health(domain.appliance_id)
        up, until = health.state is Health.UP, horizon(health, self._clock.now())
        return decide(memory.get(local), told, domain.never_seen, counts=counts, up=up, until=until)

    def _proven_up(self, domain: Domain) -> bool:
        health = self._directory.health(domain.appliance_id)
        return health.state is Health.UP and self._pulse.proven(domain.appliance_id, self._clock.monotonic())

    def _budget(self, domain: Domain) -> Budget:
        budget = self._budgets.get(domain.appliance_id)
        if budget is None:
            budget = self._budgets[domain.appliance_id] = Budget(counted_at=self._clock.monotonic())
        return budget

    def _control(self, domain: Domain) -> Control:
        control = self._controls.get(domain.id)
        if control is None:
            control = self._controls[domain.id] = Control(self._clock)
        return control
