"""Whom the banner is kept from for a moment: a mail server waits for it (RFC 5321 3.1), many a spammer talks at once.

Only strangers wait. Who has brought mail that was taken within the last days is greeted at once, so that the wait
costs a sender 0.2 seconds a week and those that matter nothing. Pure: times are monotonic. At most KEPT clients are
remembered, those that brought mail last; a restart forgets all of them.
"""

from __future__ import annotations

from collections import OrderedDict

from relay.mail import Reply

DAYS = 7 * 86400.0
"""Seconds for which a client is known after its last message."""
KEPT = 50_000
EARLY = Reply(554, "5.5.1", "Wait for the greeting before you speak, closing the connection")


class Known:
    """Clients that brought mail."""

    __slots__ = ("_kept", "_last")

    def __init__(self, kept: int = KEPT) -> None:
        self._kept = kept
        self._last: OrderedDict[str, float] = OrderedDict()

    def __len__(self) -> int:
        return len(self._last)

    def add(self, client: str, now: float) -> None:
        """A message of its was taken."""
        self._last[client] = now
        self._last.move_to_end(client)
        if len(self._last) > self._kept:
            self._last.popitem(last=False)

    def knows(self, client: str, now: float) -> bool:
        """Whether a client is greeted at once."""
        return now - self._last.get(client, float("-inf")) <= DAYS
