"""What several nodes see of one appliance, put together: is it down, or is it only out of our sight? Pure.

Before an appliance is called down, every other node that lives is asked to look. One that reaches it settles the
matter: it isn't down, and that node should work for it. If none does, it is down, and it isn't us who are cut off. Who
doesn't answer in time doesn't count, nor who is perhaps cut off itself; if nobody is left, this node decides as if it
were alone.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from enum import StrEnum

PATIENCE = 4.0
"""Seconds that the others have for their answers."""


class Ruling(StrEnum):
    """What is to be made of an appliance that this node can't reach."""

    WAIT = "wait"
    """Others have been asked."""
    DOWN = "down"
    """Others see the same."""
    ELSEWHERE = "elsewhere"
    """Another node reaches it."""
    ALONE = "alone"
    """There is no other node, or none has answered, or none can tell."""


@dataclass(frozen=True, slots=True)
class Opinion:
    """``reached_by``: the nodes that reach it."""

    ruling: Ruling
    reached_by: tuple[str, ...] = ()


def rule(asked: Collection[str], reaches: Mapping[str, bool | None], waited: float) -> Opinion:
    """Of the nodes that were ``asked``, some have said whether each ``reaches`` it, in ``waited`` seconds; None: it
    doesn't, but may be cut off itself."""
    reached_by = tuple(sorted(node for node, does in reaches.items() if does))
    if reached_by:
        return Opinion(Ruling.ELSEWHERE, reached_by)
    if not set(asked) - reaches.keys() or waited >= PATIENCE:
        return Opinion(Ruling.DOWN if False in reaches.values() else Ruling.ALONE)
    return Opinion(Ruling.WAIT)
