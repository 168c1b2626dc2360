"""Stretches of time, [begins, ends) in POSIX seconds: cut, joined, compared. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple


class Span(NamedTuple):
    begins: float
    ends: float

    @property
    def seconds(self) -> float:
        return self.ends - self.begins


def joined(spans: Iterable[Span]) -> tuple[Span, ...]:
    """In order, none touching the next; empty ones are left out."""
    found: list[Span] = []
    for span in sorted(span for span in spans if span.ends > span.begins):
        if found and span.begins <= found[-1].ends:
            found[-1] = Span(found[-1].begins, max(found[-1].ends, span.ends))
        else:
            found.append(span)
    return tuple(found)


def common(some: Iterable[Span], others: Iterable[Span]) -> tuple[Span, ...]:
    """What lies in one of ``some`` and in one of the ``others``."""
    others = list(others)
    return joined(Span(max(one.begins, other.begins), min(one.ends, other.ends)) for one in some for other in others)


def seconds(spans: Iterable[Span]) -> float:
    """How long they last together, what lies in several counted once."""
    return sum(span.seconds for span in joined(spans))
