"""When a domain whose contract is over may be refused for good."""

from __future__ import annotations

from datetime import date

import pytest

from relay.appliances.contract import EVERY, UNSEEN, WITHOUT, Naming, due, final_at, gone_for_good, observe
from relay.appliances.model import Domain, RecipientPolicy, WhenUp

END = 1_830_297_600.0
"""The end of 2027-12-31."""
DAY = 86400.0
DOMAIN = Domain(1, "gold.example", 1, RecipientPolicy.ANY, WhenUp.RELAY, 86400, 1000, date(2027, 12, 31), 0.0)


def watched(*looks: tuple[float, bool | None]) -> Naming | None:
    """What is known after looks at these days after the contract's end."""
    known: Naming | None = None
    for day, named in looks:
        known = observe(known, named, END + day * DAY)
    return known


def daily(first: int, last: int, named: bool | None) -> list[tuple[float, bool | None]]:
    return [(float(day), named) for day in range(first, last + 1)]


@pytest.mark.parametrize(
    ("looks", "day", "gone"),
    [
        (daily(0, 14, False), 14.0, True),
        (daily(0, 13, False), 13.9, False),
        (daily(0, 13, False), 14.1, False),  # nobody has looked since
        (daily(0, 20, True), 20.0, False),
        (daily(0, 5, True) + daily(6, 18, False), 18.0, False),
        (daily(0, 5, True) + daily(6, 19, False), 19.0, True),
        ([*daily(0, 10, False), (11.0, None), *daily(12, 24, False)], 24.0, False),  # silence begins it anew
        ([*daily(0, 10, False), (11.0, None), *daily(12, 25, False)], 25.0, True),
        ([*daily(0, 20, False), (21.0, True)], 21.0, False),  # somebody is sent here again
        (daily(0, 20, False), 22.0, True),
        (daily(0, 20, False), 22.1, False),  # the record isn't kept any more
        (daily(0, 10, False) + daily(13, 20, False), 20.0, False),  # nor was it for a while
        ([(0.0, False), (14.0, False)], 14.0, False),
        ([], 100.0, False),
    ],
)
def test_fourteen_days_without_an_mx_that_names_us(
    looks: list[tuple[float, bool | None]], day: float, gone: bool
) -> None:
    """Seen to be so all the while, up to now."""
    assert gone_for_good(DOMAIN, watched(*looks), END + day * DAY) is gone


def test_the_clock_starts_no_earlier_than_the_contracts_end() -> None:
    """However long before that nobody was sent here."""
    known = watched(*daily(-30, 1, False))
    assert final_at(DOMAIN, known) == END + WITHOUT
    assert not gone_for_good(DOMAIN, known, END + DAY)
    assert final_at(DOMAIN, watched((2.0, True))) == END + 2 * DAY + WITHOUT
    assert final_at(DOMAIN, None) is None


def test_only_a_contract_that_is_over_is_looked_after() -> None:
    """A few times a day, at once where nothing is known."""
    assert not due(DOMAIN, None, END - 1)
    assert due(DOMAIN, None, END)
    assert not due(DOMAIN, Naming(END, END), END + EVERY - 1)
    assert due(DOMAIN, Naming(END, END), END + EVERY)
    assert EVERY < UNSEEN
