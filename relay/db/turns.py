"""A lock for those who write: nobody is passed over."""

from __future__ import annotations

import threading
from collections import deque


class FairLock:
    """A lock that is had in the order of asking.

    threading.Lock goes to whoever is quickest, and a thread that writes without a pause is always quicker than one
    that has to be woken.
    """

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._held = False
        self._turns: deque[threading.Lock] = deque()

    def __enter__(self) -> None:
        with self._guard:
            if not self._held:
                self._held = True
                return
            turn = threading.Lock()
            turn.acquire()
            self._turns.append(turn)
        turn.acquire()  # released by whoever hands it on, who leaves _held as it is

    def __exit__(self, *_: object) -> None:
        with self._guard:
            if self._turns:
                self._turns.popleft().release()
            else:
                self._held = False
