"""How the drain of an appliance gets on, and what the drains of an outage have handed back: facts and words.

Progress lives in the memory of the appliance's owner; delivery alone writes it here, a row for each drain that goes on,
every few seconds, for operators' processes and tickets to read. A node that dies leaves its rows behind: a reader goes
by rows that are ``fresh``. Functions work inside the caller's transaction.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum

from sqlalchemy import Connection, delete, insert, select, update

from relay.appliances.tables import appliances, drain_progress, handbacks, outages

MINUTE = 60.0
"""Seconds that a rate is taken over; and without a recipient that gets anywhere for so long, a drain stands still."""
FRESH = 15.0
"""Seconds after which a row that nobody has renewed says nothing any more."""
EARLY = 10.0
"""Seconds of a drain that say nothing yet about how fast it is, or when it ends."""


class Phase(StrEnum):
    """What a drain is at."""

    CANARY = "canary"
    """One message is tried, and no other before its answer."""
    STOPPED = "stopped"
    """The breaker has tripped."""
    RUNNING = "running"


@dataclass(frozen=True, slots=True)
class Progress:
    """Of one drain, in recipients, as of ``at``.

    ``tried`` have an outcome, ``left`` are queued. ``rate``: how many a second got somewhere (delivered or held, not
    deferred), over the last minute or since it began. ``moved_at``: when the last one did; the beginning where none
    has. ``why``: why it is slow, stands still or is stopped, as far as that is known.
    """

    appliance_id: int
    node: str
    began_at: float
    at: float
    phase: Phase
    tried: int
    left: int
    rate: float
    moved_at: float
    why: str = ""

    @property
    def stalled(self) -> bool:
        """Nothing got anywhere for a minute, though it might have."""
        return self.phase is Phase.RUNNING and self.at - self.moved_at >= MINUTE

    def fresh(self, now: float) -> bool:
        return now - self.at < FRESH

    def seconds_left(self, left: int) -> float | None:
        """Until ``left`` recipients are handed over, at this rate; None where nobody can say."""
        early = self.at - self.began_at < EARLY
        if self.phase is not Phase.RUNNING or self.stalled or early or self.rate <= 0:
            return None
        return left / self.rate

    def told(self, left: int) -> str:
        """In words: how fast, how much is left, about how long that takes, or why nobody can say.

        ``left``: recipients that can be handed over now, without those that the primary has put off.
        """
        because = f": {self.why}" if self.why else ""
        if self.phase is Phase.STOPPED:
            return f"the drain is stopped{because}; {number(left)} left"
        if self.phase is Phase.CANARY:
            return f"one message is tried first{because}; {number(left)} left"
        if self.stalled:
            return f"the drain stands still for {about(self.at - self.moved_at)}{because}; {number(left)} left"
        seconds = self.seconds_left(left)
        when = f", about {about(seconds)} left" if seconds is not None else ""
        slow = f"; {self.why}" if self.why else ""
        how = "the drain has just begun" if self.at - self.began_at < EARLY else pace(self.rate)
        return f"{how}, {number(left)} left{when}{slow}"


def pace(rate: float) -> str:
    """Of ``rate`` a second: 1 204 a second, 24 a minute."""
    if rate <= 0:
        return "nothing yet"
    return f"{number(round(rate))} a second" if rate >= 5 else f"{max(1, round(60 * rate))} a minute"


def number(count: int) -> str:
    """1 000 000."""
    return f"{count:,}".replace(",", " ")


def about(seconds: float) -> str:
    """A time that nobody knows exactly: 20 s, 4 min, 3 h, 2 d."""
    for unit, name, enough in ((86400, "d", 48 * 3600), (3600, "h", 90 * 60), (60, "min", 60)):
        if seconds >= enough:
            return f"{round(seconds / unit)} {name}"
    return f"{max(1, round(seconds))} s"


def write(connection: Connection, node: str, going_on: Iterable[Progress], ended: Iterable[int]) -> None:
    """Renew the rows of this node's drains, and remove those of drains that have ended (by appliance)."""
    rows = {row.appliance_id: row for row in going_on}
    connection.execute(delete(drain_progress).where(drain_progress.c.appliance_id.in_(rows)))
    mine = drain_progress.c.node == node
    connection.execute(delete(drain_progress).where(mine, drain_progress.c.appliance_id.in_(list(ended))))
    there = connection.execute(select(appliances.c.id).where(appliances.c.id.in_(rows))).scalars()  # not removed since
    values = [{**asdict(rows[one]), "phase": str(rows[one].phase)} for one in there]
    if values:
        connection.execute(insert(drain_progress), values)


def forget(connection: Connection, node: str) -> None:
    """This node has no drains: those of its rows that are there are an earlier process's."""
    connection.execute(delete(drain_progress).where(drain_progress.c.node == node))


def forget_all(connection: Connection) -> None:
    """There are no drains at all in this copy of a database."""
    connection.execute(delete(drain_progress))


def going_on(connection: Connection) -> dict[int, Progress]:
    """What was last written, by appliance; also by nodes that have died since."""
    return {
        row.appliance_id: Progress(**{**row._mapping, "phase": Phase(row.phase)})
        for row in connection.execute(select(drain_progress))
    }


@dataclass(frozen=True, slots=True)
class Handback:
    """What drains have handed over of an outage's mail until it was drained.

    ``messages``, ``recipients``: that got somewhere. ``seconds``: for which drains were at it. ``peak``: the most
    recipients a second, over five seconds.
    """

    messages: int = 0
    recipients: int = 0
    seconds: float = 0.0
    peak: float = 0.0

    @property
    def mean(self) -> float:
        """Recipients a second."""
        return self.recipients / self.seconds if self.seconds else 0.0

    def told(self) -> str:
        """In words; empty where nothing was handed over."""
        if not self.recipients:
            return ""
        recipients = "1 recipient" if self.recipients == 1 else f"{number(self.recipients)} recipients"
        messages = "1 message" if self.messages == 1 else f"{number(self.messages)} messages"
        rate = f", {pace(self.mean)}" if self.seconds >= 1 else ""
        # The peak is taken over five seconds: of a drain that took less it says nothing.
        peak = f", {pace(self.peak)} at the most" if rate and self.peak > self.mean else ""
        return f"{recipients} ({messages}) in {about(self.seconds)}{rate}{peak}"


def add_handbacks(connection: Connection, since: float, found: Mapping[int, Handback]) -> None:
    """Add what was handed over since then, by outage; to one that was drained before, nothing."""
    open_ones = connection.execute(
        select(outages.c.id).where(
            outages.c.id.in_(found), (outages.c.drained_at.is_(None)) | (outages.c.drained_at >= since)
        )
    ).scalars()
    for outage_id in list(open_ones):
        more = found[outage_id]
        row = handbacks.c.outage_id == outage_id
        before = connection.execute(select(handbacks.c.peak).where(row)).scalar()
        if before is None:
            connection.execute(insert(handbacks).values(outage_id=outage_id, **asdict(more)))
        else:
            connection.execute(
                update(handbacks)
                .where(row)
                .values(
                    messages=handbacks.c.messages + more.messages,
                    recipients=handbacks.c.recipients + more.recipients,
                    seconds=handbacks.c.seconds + more.seconds,
                    peak=max(before, more.peak),
                )
            )


def list_handbacks(connection: Connection, outage_ids: Iterable[int]) -> dict[int, Handback]:
    """By outage; those that nothing was handed over of are left out."""
    rows = connection.execute(select(handbacks).where(handbacks.c.outage_id.in_(list(outage_ids))))
    return {row.outage_id: Handback(row.messages, row.recipients, row.seconds, row.peak) for row in rows}
