"""Look-ups for threads that judge a sender: each bounded, and all of a message's together.

Also bounded where the DNS is gone altogether: a look-up that isn't answered in time is followed by a short question
that any resolver answers; where that isn't answered either, nobody waits for the resolvers for a while. So a stranger's
zone that hangs costs that stranger's mail, and a dead resolver costs a few seconds, however much mail waits.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import dns.exception
import dns.name
import dns.resolver

from relay.dns import blocking
from relay.errors import LookupFailed
from relay.settings import Dns

KEPT = 1000
"""Answers kept, of all threads."""
GONE_FOR = 10.0
"""Seconds for which resolvers that answer nothing are left alone."""
PROBE = 1.0
"""Seconds in which a resolver that is there says something about the root."""


class Resolvers:
    """Shared by all threads."""

    def __init__(self, settings: Dns, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._resolver = blocking(settings)
        self._resolver.cache = dns.resolver.LRUCache(KEPT)
        self._timeout = settings.timeout
        self._monotonic = monotonic
        self._gone_until = float("-inf")
        self._closed = False

    def within(self, seconds: float) -> Lookups:
        """Look-ups that take so long at most, all together."""
        return Lookups(self, self._monotonic() + seconds)

    def close(self) -> None:
        """No look-up begins any more."""
        self._closed = True

    def left(self, until: float) -> float:
        """Seconds until a moment. Raises LookupFailed where it is past, or nothing is to be looked up any more."""
        left = until - self._monotonic()
        if left <= 0 or self._closed:
            raise LookupFailed("no time left to look up more")
        return left

    def ask(self, name: dns.name.Name, kind: str, until: float) -> list[Any]:
        """See :meth:`Lookups.ask`."""
        left = self.left(until)
        if self._monotonic() < self._gone_until:
            raise LookupFailed("no resolver answers")
        try:
            answer = self._resolver.resolve(name, kind, search=False, lifetime=min(left, self._timeout))
        except (dns.resolver.NXDOMAIN, dns.resolver.NoAnswer):
            return []
        except dns.exception.Timeout:
            if not self._closed and not self._there():
                self._gone_until = self._monotonic() + GONE_FOR
            raise LookupFailed(f"{kind} of {name}: no answer in time") from None
        except (dns.exception.DNSException, OSError):
            raise LookupFailed(f"{kind} of {name}: no name server answered (SERVFAIL or refused)") from None
        return list(answer)

    def _there(self) -> bool:
        """Whether a resolver says anything at all."""
        try:
            self._resolver.resolve(dns.name.root, "NS", search=False, lifetime=PROBE, raise_on_no_answer=False)
        except dns.exception.Timeout:
            return False
        except (dns.exception.DNSException, OSError):
            return True
        return True


class Lookups:
    """For one message, until a moment of the monotonic clock. Made by :meth:`Resolvers.within`."""

    def __init__(self, resolvers: Resolvers, until: float) -> None:
        self._resolvers = resolvers
        self._until = until

    def ask(self, name: str, kind: str) -> list[Any]:
        """dnspython's records; none where there are none, or the name is no name. Raises LookupFailed."""
        try:
            asked = dns.name.from_text(name)
        except (dns.exception.DNSException, UnicodeError):
            return []
        return self._resolvers.ask(asked, kind, self._until)

    def check(self) -> None:
        """Raises LookupFailed where time is up: for what takes long and isn't a look-up."""
        self._resolvers.left(self._until)
