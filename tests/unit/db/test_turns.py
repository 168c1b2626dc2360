"""Turns at writing, in one process."""

from __future__ import annotations

import threading

from relay.db.turns import FairLock
from tests.support.waiting import wait_until


def test_turns_come_in_the_order_of_asking() -> None:
    """Whoever asked first writes first."""
    lock, order = FairLock(), []

    def write(name: int) -> None:
        with lock:
            order.append(name)

    threads = [threading.Thread(target=write, args=(name,)) for name in range(5)]
    with lock:
        for number, thread in enumerate(threads):
            thread.start()
            wait_until(lambda number=number: len(lock._turns) == number + 1)
    for thread in threads:
        thread.join()
    assert order == [0, 1, 2, 3, 4]


def test_one_that_never_rests_lets_another_in() -> None:
    """A thread that asks again the moment it is done is behind the one that was waiting."""
    lock, entered = FairLock(), []

    def write() -> None:
        with lock:
            entered.append("other")

    other = threading.Thread(target=write)
    with lock:
        other.start()
        wait_until(lambda: lock._turns)
    with lock:
        entered.append("first again")
    other.join()
    assert entered == ["other", "first again"]


def test_a_turn_ends_with_an_exception_too() -> None:
    """A failed transaction doesn't keep the others out."""
    lock = FairLock()
    try:
        with lock:
            raise ValueError
    except ValueError:
        pass
    with lock:
        assert lock._held
    assert not lock._held
