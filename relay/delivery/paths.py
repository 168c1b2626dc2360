"""Which of a host's addresses to try first: the one that worked last, then both families in turn.

A path that is dead costs the first connection a moment (relay.smtp.dial), and the next ones nothing. Remembered for
longer than any greylisting lasts, so that who has to come again comes from the same address of ours. In memory; ``now``
is monotonic seconds.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain, zip_longest

from relay.appliances.model import Primary

KEPT = 3600.0
"""Seconds for which an address comes first after it has worked."""


class Paths:
    """To the hosts of one destination."""

    def __init__(self) -> None:
        self._worked: dict[Primary, tuple[str, float]] = {}

    def worked(self, primary: Primary, address: str, now: float) -> None:
        """A connection was made to this address of it."""
        self._worked[primary] = address, now

    def in_turn(self, primary: Primary, addresses: Sequence[str], now: float) -> list[str]:
        """``addresses`` in the order in which they should be tried."""
        ordered = in_families(addresses)
        address, at = self._worked.get(primary, ("", 0.0))
        if address in ordered and now - at < KEPT:
            ordered.remove(address)
            ordered.insert(0, address)
        return ordered


def in_families(addresses: Sequence[str]) -> list[str]:
    """IPv4 and IPv6 by turns, in the order of each, beginning with the family of the first (RFC 8305 section 4)."""
    first = [address for address in addresses if (":" in address) == (":" in addresses[0])]
    second = [address for address in addresses if (":" in address) != (":" in addresses[0])]
    return [address for address in chain.from_iterable(zip_longest(first, second)) if address is not None]
