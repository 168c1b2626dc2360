"""How long and how much a session may try before it is ended (RFC 5321 4.5.3.2, 7.8). Pure; times are monotonic.

A message that is taken begins everything anew. While content comes at SLOWEST or faster a message may take as long as
it takes; a session that gets nowhere ends in bounded time, however busy it looks.
"""

from __future__ import annotations

MOST_JUNK = 100
"""Commands that lead nowhere (NOOP, RSET, another EHLO) without a message in between."""
MOST_DEFERRED = 1000
"""Commands refused for now without a message in between, each more being an error: honest senders come back later."""
TIMEOUTS = 12
"""Time-outs that a session may last without a message in between."""
SLOWEST = 1024
"""Octets of content a second."""


class Patience:
    """With one client. ``timeout``: seconds for a command, or for more content; ``most_errors``: commands refused for
    good without a message in between."""

    __slots__ = ("_deadline", "_deferred", "_errors", "_junk", "_most_errors", "_since", "_timeout")

    def __init__(self, timeout: float, most_errors: int, now: float) -> None:
        self._timeout = timeout
        self._most_errors = most_errors
        self._since = now
        self.renew(now)

    def renew(self, now: float) -> None:
        """A message was taken."""
        self._deferred = self._errors = self._junk = 0
        self._deadline = now + TIMEOUTS * self._timeout

    def wait(self, now: float) -> None:
        """From now on we wait for the client."""
        self._since = now

    def progress(self, size: int) -> None:
        """So many octets of content have come, and were kept."""
        self._deadline += size / SLOWEST

    def error(self) -> None:
        self._errors += 1

    def deferral(self) -> None:
        """A command was refused for now."""
        self._deferred += 1
        if self._deferred > MOST_DEFERRED:
            self.error()

    def junk(self) -> bool:
        """Count a command that leads nowhere; False once it is one too many."""
        self._junk += 1
        return self._junk <= MOST_JUNK

    @property
    def lost(self) -> bool:
        """Whether there were too many errors."""
        return self._errors >= self._most_errors

    def over(self, now: float) -> bool:
        """Whether a client that is waited for has taken too long."""
        return now - self._since > self._timeout or now > self._deadline
