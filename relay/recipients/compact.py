"""A set of texts that takes 11 to 22 octets for each, for the lists of 100,000 domains in one process.

What is kept is 64 bits of each text: Python's own hash, whose key is another in each process (SipHash). A text that
isn't in the set is taken for one that is once in 10^14 questions to a list of 100,000, and nobody can choose one that
will; what is in the set is always found.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence

FULLEST = 3 / 4
"""Of the places at most: then a question looks at two or three of them."""


class Compact:
    """Made once, then only asked."""

    __slots__ = ("_count", "_mask", "_places")

    def __init__(self, texts: Sequence[str]) -> None:
        size = 1
        while size * FULLEST <= len(texts):
            size *= 2
        self._mask = size - 1
        self._places = places = array("q", bytes(8 * size))
        self._count = 0
        for text in texts:
            place, mark = self._find(text)
            if places[place] != mark:
                places[place] = mark
                self._count += 1

    def __contains__(self, text: str) -> bool:
        place, mark = self._find(text)
        return self._places[place] == mark

    def __len__(self) -> int:
        return self._count

    def _find(self, text: str) -> tuple[int, int]:
        """(the place where it is, or would be; its mark): the next ones are tried while others are there."""
        mark = hash(text) or 1  # 0 is an empty place
        place, places = mark & self._mask, self._places
        while places[place] not in (0, mark):
            place = (place + 1) & self._mask
        return place, mark
