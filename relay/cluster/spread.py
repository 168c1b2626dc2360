"""Who should own how much: pure functions of what each node owns.

Even, to within one; no move that doesn't make it more even, so that nothing flaps; and every node that computes it from
the same rows comes to the same. Given to are only nodes that weren't asked to drain, don't take themselves for cut off,
and have been seen alive for a while; where there are none, the next best ones. What is moved is moved in portions: a
node that joins doesn't get a thousand appliances to probe in one second.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

PORTION = 10
"""Appliances that a node gives away in one round at least, where it has so many too many; else a quarter of these."""


@dataclass(frozen=True, slots=True)
class Peer:
    """A live node, and how much it ``owns``. ``steady``: it has been seen alive for a while; ``draining``: an operator
    wants it to own nothing; ``isolated``: it takes itself for cut off."""

    name: str
    owns: int
    steady: bool = True
    draining: bool = False
    isolated: bool = False


def heirs(peers: Iterable[Peer]) -> list[Peer]:
    """Those who may be given something, by name: the best that there are."""
    everybody = sorted(peers, key=lambda peer: peer.name)
    wanted = [peer for peer in everybody if not peer.draining]
    connected = [peer for peer in wanted if not peer.isolated]
    return connected or wanted or everybody


def adopt(orphans: Collection[int], peers: Collection[Peer], avoid: Mapping[int, Collection[str]]) -> dict[int, str]:
    """Who takes each orphan: whoever has least then. ``avoid``: nodes that can't reach an appliance, by its id; they
    get it only where nobody else is left."""
    counts = {peer.name: peer.owns for peer in heirs(peers)}
    chosen: dict[int, str] = {}
    for orphan in sorted(orphans) if counts else ():
        able = [name for name in counts if name not in avoid.get(orphan, ())] or list(counts)
        name = min(able, key=lambda each: (counts[each], each))
        counts[name] += 1
        chosen[orphan] = name
    return chosen


def surplus(name: str, peers: Collection[Peer]) -> dict[str, int]:
    """How many ``name`` should give to each of the others, so that all have the same to within one."""
    able = heirs(peers)
    takers = [peer for peer in able if peer.steady or peer.name == name]
    leavers = [peer for peer in peers if peer.draining and peer not in able]
    if name not in {peer.name for peer in (*takers, *leavers)} or not takers:
        return {}
    each, more = divmod(sum(peer.owns for peer in (*takers, *leavers)), len(takers))
    by_size = sorted(takers, key=lambda peer: (-peer.owns, peer.name))
    shares = {peer.name: each + (place < more) for place, peer in enumerate(by_size)}
    # Donors and takers are matched in one order that all agree on, so that no two fill the same gap.
    over = [(peer.name, peer.owns - shares.get(peer.name, 0)) for peer in (*leavers, *takers)]
    gaps = {peer.name: shares[peer.name] - peer.owns for peer in takers}
    given: dict[str, int] = {}
    for donor, count in sorted(over):
        for taker, room in gaps.items():
            moved = min(count, room)
            if moved > 0:
                gaps[taker] -= moved
                count -= moved
                if donor == name:
                    given[taker] = moved
    return given


def portion(too_many: int, under_way: int) -> int:
    """How many more may be on their way now, of so many that have to go."""
    return max(0, min(too_many, max(PORTION, too_many // 4)) - under_way)


def shed(
    owned: Sequence[int],
    given: Mapping[str, int],
    limit: int,
    avoid: Mapping[int, Collection[str]],
    busy: Callable[[int], bool],
) -> dict[int, str]:
    """Which of ``owned`` go to whom, ``limit`` at most: those that are at rest before the ``busy`` ones, the youngest
    first, and none to a node that can't reach it."""
    left = dict(given)
    chosen: dict[int, str] = {}
    for number in sorted(owned, key=lambda each: (busy(each), -each)):
        if len(chosen) == limit:
            break
        taker = next((name for name, room in left.items() if room and name not in avoid.get(number, ())), None)
        if taker is not None:
            left[taker] -= 1
            chosen[number] = taker
    return chosen
