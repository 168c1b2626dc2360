"""Who is greeted at once."""

from __future__ import annotations

from relay.edge.greeting import DAYS, Known


def test_a_client_is_known_for_days_after_its_last_message() -> None:
    """Each message begins them anew."""
    known = Known()
    assert not known.knows("192.0.2.1", 0)
    known.add("192.0.2.1", 0)
    known.add("192.0.2.1", 1000)
    assert known.knows("192.0.2.1", DAYS + 1000)
    assert not known.knows("192.0.2.1", DAYS + 1001)
    assert not known.knows("192.0.2.2", 0)


def test_only_so_many_are_remembered() -> None:
    """Those that brought mail last."""
    known = Known(kept=10)
    for number in range(1000):
        known.add("busy", number)
        known.add(str(number), number)
    assert len(known) == 10
    assert known.knows("busy", 1000)
    assert known.knows("999", 1000)
    assert not known.knows("900", 1000)
