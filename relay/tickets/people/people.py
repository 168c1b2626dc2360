"""The loop that tells people of tickets: reads the outbox, decides whom it concerns, sends.

One in a cluster, beside the helpdesk's outbox. Promises: nothing here holds up mail, tickets or the helpdesk; a target
that fails or hangs holds up no other; for each ticket and target messages go in order, at least once, ever more slowly
while they fail, for a day. What can't reach anybody, since it would go to a domain that is down, isn't sent, and the
ticket says so.
"""

from __future__ import annotations

import asyncio
import functools
import random
from collections import Counter
from collections.abc import Callable, Sequence
from typing import NamedTuple

from sqlalchemy import Connection

from relay import events
from relay.appliances import store as appliances
from relay.clock import Clock
from relay.db import Database
from relay.errors import NotifyError
from relay.tickets.people import addresses, letters, plan, store, words
from relay.tickets.people.batch import Notice
from relay.tickets.people.book import MAIL, Book
from relay.tickets.people.facts import Told
from relay.tickets.people.letters import Letter
from relay.tickets.people.message import Message, Reach
from relay.tickets.people.rules import CONTACT
from relay.tickets.people.store import CONTACTS
from relay.tickets.people.threads import Threads
from relay.tickets.plan import Terms
from relay.tickets.states import Condition
from relay.tickets.telling import cluster_name

AT_ONCE = 8
"""Messages that are on their way at the same time."""
IN_LANE = {CONTACTS: 4}
"""… and in one lane; 1 in those that aren't named."""
INTERVAL = 1.0
SELDOM = 60.0
LAST_CHANCE = 3.0
"""Seconds that what is on its way has when the node stops: else it is told again by the next one."""
LETTER = "letter"
"""The kind of notices that tell a customer's contacts of an outage."""


class Unsent(NamedTuple):
    """Why somebody isn't told; ``said``: in the ticket too, for it is about this ticket and not about the settings."""

    why: str
    said: bool


class People:
    """``may``: whether it is this node's turn. ``threads``: of its own."""

    def __init__(
        self,
        db: Database,
        clock: Clock,
        book: Book,
        terms: Terms,
        *,
        may: Callable[[], bool] = lambda: True,
        threads: Threads | None = None,
    ) -> None:
        self._db = db
        self._clock = clock
        self._book = book
        self._terms = terms
        self._may = may
        self._threads = threads or Threads()
        self._under_way: dict[tuple[int, str], asyncio.Task[None]] = {}
        self._seldom_at = float("-inf")
        self._look_again = bool(book)
        self._cluster = ""

    def reconfigure(self, book: Book, terms: Terms) -> None:
        """Go by another address book, and try at once whoever couldn't be reached."""
        self._look_again |= book != self._book
        self._book, self._terms = book, terms

    async def run(self) -> None:
        """Until it is cancelled."""
        try:
            while True:
                try:
                    if self._may():
                        await self.turn()
                except Exception as error:
                    # What there is to tell is on disk; a database that is busy now is free a moment later.
                    events.fault("people", error)
                await asyncio.sleep(INTERVAL)
        finally:
            await self.close()

    async def turn(self) -> list[asyncio.Task[None]]:
        """Read what is new and begin what is due; returns what was begun."""
        while await self._db.run(plan.unread):
            if await self._db.change(plan.read, self._book, self._terms, self._clock.now()) < plan.AT_ONCE:
                break
        now = self._clock.now()
        if self._look_again:
            await self._look(self._book)
            self._look_again = False
        if now - self._seldom_at >= SELDOM:
            await self._tidy(now)
            self._seldom_at = now
        return await self._begin_due(now)

    async def close(self) -> None:
        tasks = list(self._under_way.values())
        if tasks:
            await asyncio.wait(tasks, timeout=LAST_CHANCE)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _look(self, book: Book) -> None:
        """An address book that is new to us: see whom it can't reach, and try everybody at once."""
        for reason in await self._db.run(_conflicts, book):
            events.notify_conflict(reason)
        await self._db.change(store.ask_again)

    async def _tidy(self, now: float) -> None:
        for ticket_id, target, why in await self._db.change(store.give_up, now):
            events.person_given_up(target, ticket_id, why)
        await self._db.change(store.forget, now)

    async def _begin_due(self, now: float) -> list[asyncio.Task[None]]:
        self._cluster = self._cluster or await self._db.run(cluster_name)
        batches = await self._db.run(store.due, now, frozenset(self._under_way))
        if not batches:
            return []
        lanes = await self._db.run(store.all_lanes)
        at_work = Counter(store.lane_of(target) for _, target in self._under_way)
        begun = []
        for batch in batches:
            if len(self._under_way) >= AT_ONCE:
                break
            name = store.lane_of(batch[0].target)
            lane = lanes.get(name)
            room = 1 if lane is not None and lane.trouble else IN_LANE.get(name, 1)
            if at_work[name] >= room or not self._threads.free(name) or (lane is not None and now < lane.retry_at):
                continue
            at_work[name] += 1
            key = (batch[0].ticket_id, batch[0].target)
            task = asyncio.create_task(self._tell(self._book, batch))
            self._under_way[key] = task
            task.add_done_callback(functools.partial(self._ended, key))
            begun.append(task)
        return begun

    def _ended(self, key: tuple[int, str], _task: asyncio.Task[None]) -> None:
        del self._under_way[key]

    async def _tell(self, book: Book, batch: Sequence[Notice]) -> None:
        """One message from its beginning to its end; what goes wrong with the database itself comes again."""
        first, lane = batch[0], store.lane_of(batch[0].target)
        try:
            if (reason := await self._db.run(unsent, book, batch)) is not None:
                await self._db.change(_skip, batch, reason, self._clock.now())
                events.person_skipped(first.target, first.ticket_id, reason.why)
                return
            message = compose(book, batch, self._cluster)
            await self._db.change(store.begin, batch)
            try:
                told = await self._threads.call(lane, functools.partial(_send, book, first.target, message))
            except NotifyError as error:
                await self._db.change(_failed, batch, lane, error, self._clock.now(), _spread())
                events.person_not_told(first.target, first.ticket_id, str(error), first.attempts + 1)
            else:
                await self._db.change(_sent, batch, lane, told, self._clock.now())
                events.person_told(first.target, first.ticket_id, message.title)
        except Exception as error:
            events.fault("people", error)
            await asyncio.sleep(INTERVAL)


def compose(book: Book, batch: Sequence[Notice], cluster: str) -> Message:
    """The message of a batch."""
    if batch[0].kind == LETTER:
        return letters.compose(Letter.of(batch[-1].facts), cluster)
    told = [Told.of(notice.facts) for notice in batch]
    if batch[0].target.startswith(CONTACT):
        return words.plain(told, book.zone, cluster)
    return words.compose(told, book.zone, cluster)


def unsent(connection: Connection, book: Book, batch: Sequence[Notice]) -> Unsent | None:
    """Why a batch isn't sent, as it is now, however long ago it was planned; None where it may be."""
    target, facts = batch[0].target, batch[-1].facts
    appliance = str(facts["appliance"])
    reach = book.reach.get(target)
    if target.startswith(CONTACT):
        address = target.removeprefix(CONTACT)
        found = appliances.find_appliance(connection, appliance)
        if found is None or address not in found.contacts:
            return Unsent("it is no contact of the appliance any more", False)
        if not book.mail:
            return Unsent("no [notify] mail says by which server contacts are written to", False)
        reach = Reach(frozenset({address}), book.reach[MAIL].server)
    if reach is None:
        return Unsent("no rule names it any more", False)
    about_mail = batch[0].kind == LETTER or facts["condition"] == Condition.MAILFLOW
    reason = addresses.lost_now(connection, reach, appliance, about_mail)
    return Unsent(reason, True) if reason else None


def _send(book: Book, target: str, message: Message) -> bool:
    """In a thread; False where the target isn't told such things. Raises NotifyError."""
    from relay.tickets.people import targets

    try:
        if target.startswith(CONTACT):
            return targets.send(targets.mail_to(book.mail, target.removeprefix(CONTACT)), message)
        return targets.send(targets.load(book.urls[target]), message)
    except NotifyError:
        raise
    except Exception as error:  # whatever a plugin may do, it isn't to be asked again at once
        raise NotifyError(f"fails here: {type(error).__name__}") from error


def _conflicts(connection: Connection, book: Book) -> list[str]:
    return list(addresses.conflicts(book, addresses.served(connection)))


def _skip(connection: Connection, batch: Sequence[Notice], reason: Unsent, now: float) -> None:
    store.end(connection, batch, store.SKIPPED, now, reason.why)
    if reason.said:
        store.remark(connection, batch[0].ticket_id, f"{batch[0].target} was not told: {reason.why}", now)


def _sent(connection: Connection, batch: Sequence[Notice], lane: str, told: bool, now: float) -> None:
    if not told:
        store.end(connection, batch, store.SKIPPED, now, "a pager is told of incidents alone")
        return
    store.end(connection, batch, store.SENT, now)
    store.save_lane(connection, store.load_lane(connection, lane).reached(now))


def _failed(
    connection: Connection, batch: Sequence[Notice], lane: str, error: NotifyError, now: float, spread: float
) -> None:
    store.put_off(connection, batch, str(error), now, spread)
    if not error.theirs:
        store.save_lane(connection, store.load_lane(connection, lane).lost(str(error), now, spread))


def _spread() -> float:
    return random.uniform(0.5, 1.0)  # noqa: S311 - it keeps no secret
