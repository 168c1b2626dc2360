"""Whose mail is stored when, while it comes for several domains."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from relay.clock import Clock
from relay.edge import shares as module
from relay.edge.shares import EACH, MOST_WAITING, TOGETHER, UNIT, WINDOW, Shares, Turn
from relay.errors import Deferred


class World:
    """Shares whose time goes by when told."""

    def __init__(self) -> None:
        self.time = 1000.0
        self.shares = Shares(Clock(lambda: self.time, lambda: self.time))

    def both(self) -> None:
        """Mail comes for two domains at the same time."""
        for domain in ("loud", "quiet"):
            self.shares.seen(domain)

    def ask(self, domain: str, size: int = 0) -> Turn:
        return self.shares.ask([domain], size)


@pytest.fixture
def world() -> World:
    return World()


def come(*turns: Turn) -> list[bool]:
    """Which turns have come."""
    return [turn.ready is None or turn.ready.done() for turn in turns]


async def test_a_domain_alone_has_no_limit(world: World) -> None:
    """Nor does it cost a future."""
    world.shares.seen("loud")
    assert all(world.ask("loud").ready is None for _ in range(10 * TOGETHER))


async def test_a_domain_has_no_more_than_its_share_beside_another(world: World) -> None:
    """The rest of it waits, first come, first served; the other goes at once."""
    world.both()
    going = [world.ask("loud") for _ in range(EACH)]
    waiting = [world.ask("loud") for _ in range(3)]
    assert come(*going) == [True] * EACH
    assert come(*waiting) == [False] * 3
    assert come(world.ask("quiet")) == [True]
    going[1].end()
    going[1].end()
    assert come(*waiting) == [True, False, False]


async def test_domains_go_by_turns(world: World) -> None:
    """Where all there is is taken, the next to be free goes to each domain once before to one twice."""
    world.both()
    going = [world.ask(f"domain{number}") for number in range(TOGETHER)]
    waiting = [world.ask(domain) for domain in ("loud", "loud", "quiet", "other")]
    assert not any(come(*waiting))
    for number, expected in enumerate(([1, 0, 0, 0], [1, 0, 1, 0], [1, 0, 1, 1], [1, 1, 1, 1])):
        going[number].end()
        assert come(*waiting) == list(map(bool, expected))


async def test_a_flood_that_was_there_first_waits_once_another_comes(world: World) -> None:
    """What it has going on is finished, nothing more is begun beside its share."""
    world.shares.seen("loud")
    going = [world.ask("loud") for _ in range(50)]
    world.shares.seen("quiet")
    late = world.ask("loud")
    assert come(late) == [False]
    assert come(world.ask("quiet")) == [False]  # there is more going on than should be
    for turn in going[: 50 - TOGETHER + 1]:
        turn.end()
    assert come(late) == [False]
    for turn in going[50 - TOGETHER + 1 :]:
        turn.end()
    assert come(late) == [True]


async def test_limits_end_with_the_last_mail_for_another(world: World) -> None:
    """All that waits then goes with the next turn that ends."""
    world.both()
    going = [world.ask("loud") for _ in range(EACH)]
    waiting = [world.ask("loud") for _ in range(20)]
    world.time += WINDOW
    going[0].end()
    assert all(come(*waiting, world.ask("loud")))


async def test_mail_again_and_again_for_one_domain_is_no_crowd(world: World) -> None:
    """Only a change of domains says that there are several."""
    world.both()
    world.time += WINDOW
    for _ in range(10):
        world.shares.seen("quiet")
    assert all(come(*(world.ask("quiet") for _ in range(50))))


async def test_a_large_message_counts_for_several(world: World) -> None:
    """One at a time of a domain, whatever its size."""
    world.both()
    first, second = world.ask("loud", 50 * UNIT), world.ask("loud", 50 * UNIT)
    assert come(first, second) == [True, False]
    assert come(world.ask("quiet", UNIT - 1), world.ask("quiet"), world.ask("quiet")) == [True, True, False]
    first.end()
    assert come(second) == [True]


async def test_a_message_for_several_domains_counts_for_the_busiest(world: World) -> None:
    """Who floods one domain can't hide behind another."""
    world.both()
    for _ in range(EACH):
        world.ask("loud")
    both = world.shares.ask(["quiet", "loud"], 0)
    assert come(both) == [False]


async def test_who_gives_up_leaves_nothing_behind(world: World) -> None:
    """Waiting or not; the next in line has the turn."""
    world.both()
    going = [world.ask("loud") for _ in range(EACH)]
    first, second = world.ask("loud"), world.ask("loud")
    first.end()
    assert come(second) == [False]
    going[0].end()
    assert come(second) == [True]
    for turn in (*going, second):
        turn.end()
    assert (world.shares._total, dict(world.shares._storing), world.shares._waiting) == (0, {}, {})


async def test_too_many_that_wait_are_told_so_early(world: World) -> None:
    """At RCPT, for now; another domain isn't."""
    world.both()
    for _ in range(EACH + MOST_WAITING):
        world.shares.seen("loud")
        world.ask("loud")
    with pytest.raises(Deferred, match=r"451 4\.4\.5"):
        world.shares.seen("loud")
    world.shares.seen("quiet")


async def test_without_shares_nobody_waits(world: World) -> None:
    """[smtp] fair_shares = false, also for those who wait when it is set."""
    world.both()
    going = [world.ask("loud") for _ in range(EACH)]
    waiting = world.ask("loud")
    world.shares.on = False
    going[0].end()
    assert all(come(waiting, *(world.ask("loud") for _ in range(20))))


@pytest.fixture
def hurried(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(module, "LONGEST", 0.01)
    yield


@pytest.mark.usefixtures("hurried")
async def test_nobody_waits_for_ever(world: World) -> None:
    """A piece of a large message is deferred after a while, and its place in the line is free."""
    world.both()
    going = [world.ask("loud") for _ in range(EACH)]
    with pytest.raises(Deferred, match=r"451 4\.4\.5"):
        async with world.shares.turn(["loud"], 0):
            pass
    going[0].end()
    async with world.shares.turn(["loud"], 0):
        pass
