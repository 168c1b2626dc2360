"""Which address of a host is tried first."""

from __future__ import annotations

from relay.appliances.model import Primary
from relay.delivery.paths import KEPT, Paths, in_families

MAIL = Primary("mail.test")
ADDRESSES = ["192.0.2.1", "192.0.2.2", "192.0.2.3", "2001:db8::1"]


def test_families_take_turns() -> None:
    """Three dead addresses of one family cost the other one a single moment, not three."""
    assert in_families(ADDRESSES) == ["192.0.2.1", "2001:db8::1", "192.0.2.2", "192.0.2.3"]
    assert in_families(["2001:db8::1", "192.0.2.1"]) == ["2001:db8::1", "192.0.2.1"]
    assert in_families([]) == []


def test_what_worked_comes_first_for_a_while() -> None:
    """A dead path is found once, and not by every connection of a drain."""
    paths = Paths()
    paths.worked(MAIL, "192.0.2.3", 100.0)
    assert paths.in_turn(MAIL, ADDRESSES, 100.0 + KEPT - 1)[0] == "192.0.2.3"
    assert sorted(paths.in_turn(MAIL, ADDRESSES, 101.0)) == sorted(ADDRESSES)
    assert paths.in_turn(MAIL, ADDRESSES, 100.0 + KEPT)[0] == "192.0.2.1"
    assert paths.in_turn(Primary("other.test"), ADDRESSES, 101.0)[0] == "192.0.2.1"


def test_what_the_dns_no_longer_names_is_not_used() -> None:
    """The memory is about the order alone."""
    paths = Paths()
    paths.worked(MAIL, "192.0.2.9", 100.0)
    assert "192.0.2.9" not in paths.in_turn(MAIL, ADDRESSES, 101.0)
