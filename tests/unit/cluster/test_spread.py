"""Who should own how much, and that nothing is moved for nothing."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.cluster.spread import PORTION, Peer, adopt, heirs, portion, shed, surplus

clusters = st.dictionaries(st.sampled_from("abcdefg"), st.integers(0, 60), min_size=1).map(
    lambda counts: [Peer(name, owns) for name, owns in counts.items()]
)
"""Nodes that are all fit to own something."""


def moved(peers: list[Peer]) -> tuple[dict[str, int], int]:
    """What each has when everybody has given away what it should, and how many moves that took."""
    counts, moves = {peer.name: peer.owns for peer in peers}, 0
    for peer in peers:
        for to, count in surplus(peer.name, peers).items():
            counts[peer.name] -= count
            counts[to] += count
            moves += count
    return counts, moves


@given(clusters)
def test_all_have_the_same_afterwards(peers: list[Peer]) -> None:
    """To within one, and nothing gets lost."""
    counts, _ = moved(peers)
    assert max(counts.values()) - min(counts.values()) <= 1
    assert sum(counts.values()) == sum(peer.owns for peer in peers)


@given(clusters)
def test_no_more_is_moved_than_needed(peers: list[Peer]) -> None:
    """As much as the best way to be even takes; and what is even stays as it is."""
    counts, moves = moved(peers)
    assert moves == sum(max(0, peer.owns - counts[peer.name]) for peer in peers)
    each, more = divmod(sum(peer.owns for peer in peers), len(peers))
    largest_first = sorted((peer.owns for peer in peers), reverse=True)
    least = sum(max(0, owns - each - (place < more)) for place, owns in enumerate(largest_first))
    assert moves == least
    assert moved([Peer(name, owns) for name, owns in counts.items()])[1] == 0


@given(clusters, st.sets(st.sampled_from("abcdefg")))
def test_who_drains_ends_up_with_nothing(peers: list[Peer], draining: set[str]) -> None:
    """The others have it all; where everybody drains, nobody gives anything to anybody who does."""
    peers = [Peer(peer.name, peer.owns, draining=peer.name in draining) for peer in peers]
    counts, _ = moved(peers)
    staying = [peer.name for peer in peers if not peer.draining]
    if staying:
        assert all(counts[peer.name] == 0 for peer in peers if peer.draining)
        assert max(counts[name] for name in staying) - min(counts[name] for name in staying) <= 1


def test_a_node_that_has_just_joined_gets_nothing_yet() -> None:
    """One that starts and dies over and over isn't worth a move."""
    assert surplus("a", [Peer("a", 20), Peer("b", 0, steady=False)]) == {}
    assert surplus("a", [Peer("a", 20), Peer("b", 0)]) == {"b": 10}


def test_a_node_that_is_cut_off_gets_nothing() -> None:
    """Neither what nobody owns nor what others have too much of; unless there is no other."""
    peers = [Peer("a", 20), Peer("b", 0, isolated=True), Peer("c", 3)]
    assert surplus("a", peers) == {"c": 8}
    assert set(adopt(range(10), peers, {}).values()) <= {"a", "c"}
    assert [peer.name for peer in heirs([Peer("b", 0, isolated=True)])] == ["b"]


@given(clusters, st.sets(st.integers(1, 500), max_size=80))
def test_orphans_go_to_who_has_least(peers: list[Peer], orphans: set[int]) -> None:
    """Each to one node, and in the end nobody who got something has more than another that could have had it."""
    chosen = adopt(orphans, peers, {})
    assert chosen.keys() == orphans
    counts = Counter({peer.name: peer.owns for peer in peers}) + Counter(chosen.values())
    for name in set(chosen.values()):
        assert all(counts[name] <= counts[peer.name] + 1 for peer in peers)


def test_who_cannot_reach_it_does_not_get_it() -> None:
    """While there is another; a node that tries in vain is better than none."""
    peers = [Peer("a", 5), Peer("b", 0)]
    assert adopt([7], peers, {7: {"b"}}) == {7: "a"}
    assert adopt([7], peers, {7: {"a", "b"}}) == {7: "b"}
    assert shed([7, 8], {"b": 2}, 10, {7: {"b"}}, lambda number: False) == {8: "b"}


def test_what_is_at_rest_goes_first() -> None:
    """A drain that goes on is left alone as long as others can go."""
    assert shed([1, 2, 3], {"b": 1, "c": 1}, 10, {}, lambda number: number == 1) == {3: "b", 2: "c"}
    assert shed([1, 2, 3], {"b": 3}, 1, {}, lambda number: number == 3) == {2: "b"}


@pytest.mark.parametrize(
    ("too_many", "under_way", "expected"), [(4, 0, 4), (1000, 0, 250), (1000, 240, 10), (30, 20, 0)]
)
def test_a_portion_at_a_time(too_many: int, under_way: int, expected: int) -> None:
    """A quarter, or ten; what is on its way counts."""
    assert portion(too_many, under_way) == expected
    assert portion(too_many, 0) >= min(too_many, PORTION)
