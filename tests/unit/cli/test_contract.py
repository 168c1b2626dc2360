"""A contract's end in words."""

from __future__ import annotations

from dataclasses import replace

import pytest

from cli.contract import facts, sentence
from relay.appliances.contract import Naming
from tests.unit.appliances.test_contract import DAY, DOMAIN, END


@pytest.mark.parametrize(
    ("known", "day", "state", "said"),
    [
        (None, -1, "running", "runs to the end of 2027-12-31"),
        (None, 1, "over", "has yet to be looked up"),
        (Naming(END + DAY, END + DAY), 1, "over", "at 2028-01-02 00:00:00Z an MX still named us"),
        (
            Naming(END, END + DAY),
            1,
            "over",
            "no MX has named us since 2028-01-01 00:00:00Z: mail is put off (451), from",
        ),
        (Naming(END, END + DAY), 4, "over", "nobody has looked at the MX set since 2028-01-02 00:00:00Z"),
        (Naming(END, END + 14 * DAY), 15, "gone", "no MX has named us for 14 days: mail is refused for good (550)"),
    ],
)
def test_what_becomes_of_mail_is_said(known: Naming | None, day: int, state: str, said: str) -> None:
    """Whether it runs, why mail is still put off and until when, and that it no longer is."""
    now = END + day * DAY
    assert said in sentence(DOMAIN, known, now)
    assert facts(DOMAIN, known, now)["contract"] == state


def test_a_contract_without_an_end_runs() -> None:
    """However late it is."""
    domain = replace(DOMAIN, until=None)
    assert sentence(domain, None, END) == "runs without an end"
    assert facts(domain, None, END) == {
        "contract": "running",
        "mx_named_at": None,
        "mx_looked_at": None,
        "refused_for_good_at": None,
    }
