"""How much a primary is asked."""

from __future__ import annotations

from relay.recipients.budget import EVERY, FULL, REFUSED, RESTS, TOGETHER, Budget


def asked(budget: Budget, now: float, *, refused: bool) -> int:
    """How many questions are put one after the other at ``now``."""
    count = 0
    while budget.may_ask(now):
        budget.begin(now)
        budget.end(now, silent=False, refused=refused)
        count += 1
    return count


def test_the_purse_bounds_what_is_asked() -> None:
    """So many at once, then one now and then; of those that are refused far fewer."""
    budget = Budget()
    assert asked(budget, 0.0, refused=False) == FULL
    assert asked(budget, 10 * EVERY, refused=False) == 10
    budget = Budget()
    assert asked(budget, 0.0, refused=True) == FULL / (1 + REFUSED)
    hour = sum(asked(budget, float(second), refused=True) for second in range(1, 3601))
    assert hour <= 3600 / (1 + REFUSED) + 1
    assert asked(budget, 10_000.0, refused=False) == FULL, "it fills up, and no further"


def test_few_are_under_way() -> None:
    """Those past the bound aren't asked, until one is answered."""
    budget = Budget()
    for _ in range(TOGETHER):
        assert budget.may_ask(0.0)
        budget.begin(0.0)
    assert not budget.may_ask(0.0)
    budget.end(1.0, silent=False, refused=False)
    assert budget.may_ask(1.0)


def test_after_a_silence_nobody_waits_for_a_while() -> None:
    """Longer each time in a row; several at the same time are one silence, and an answer ends it."""
    budget, now = Budget(), 0.0
    for rest in (*RESTS, RESTS[-1]):
        budget.begin(now)
        budget.begin(now)
        budget.end(now, silent=True, refused=False)
        budget.end(now, silent=True, refused=False)
        assert not budget.may_ask(now + rest - 0.1)
        now += rest
        assert budget.may_ask(now)
    budget.begin(now)
    budget.end(now, silent=False, refused=False)
    budget.begin(now)
    budget.end(now, silent=True, refused=False)
    assert budget.may_ask(now + RESTS[0])


def test_the_background_leaves_room() -> None:
    """What isn't urgent is asked only while much is left."""
    budget = Budget()
    while budget.may_ask(0.0, keep=FULL / 2):
        budget.begin(0.0)
        budget.end(0.0, silent=False, refused=False)
    assert budget.purse == FULL / 2
    assert budget.may_ask(0.0)
