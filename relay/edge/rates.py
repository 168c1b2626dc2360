"""So many a minute: messages and recipients, of one client and for one domain.

What a client *tries* counts for the client: a recipient that is refused costs it as much as one that is taken, or
guessing names would be free. Only what was *taken* counts for a domain: else whoever begins mail and never ends it
would keep a customer's mail away. So a domain's meter may go into debt, by what was on its way when it ran out.

Pure: times are monotonic. A refusal costs nothing, so who waits gets on; it is :class:`relay.errors.Deferred`, 450
4.7.1. A million clients cost no more memory than KEPT of them: who was heard of longest ago is forgotten, and has a
whole minute's worth again.
"""

from __future__ import annotations

from collections import OrderedDict

from relay.errors import Deferred
from relay.settings import Limits

MINUTE = 60.0
KEPT = 50_000
"""Clients that are remembered; in a minute more than that is a flood from everywhere, which no rate of one stops."""


class Meter:
    """A bucket of ``a_minute`` tokens for each name, full at first and refilled evenly; 0: no limit at all.

    A name is remembered by one number: when its bucket is full again.
    """

    __slots__ = ("_full_at", "_kept", "a_minute")

    def __init__(self, a_minute: int, kept: int = KEPT) -> None:
        self.a_minute = a_minute
        self._kept = kept
        self._full_at: OrderedDict[str, float] = OrderedDict()

    def __len__(self) -> int:
        return len(self._full_at)

    def left(self, name: str, now: float) -> float:
        """Tokens in the bucket; negative for a debt."""
        if not self.a_minute:
            return float("inf")
        missing = max(self._full_at.get(name, now) - now, 0.0)
        return round(self.a_minute * (1 - missing / MINUTE), 6)  # sums of fractions miss a whole number by a hair

    def take(self, name: str, now: float, tokens: int = 1) -> None:
        """Take tokens, whether they are there or not."""
        if not self.a_minute:
            return
        full_at = max(self._full_at.get(name, now), now) + tokens * MINUTE / self.a_minute
        self._full_at[name] = full_at
        self._full_at.move_to_end(name)
        if len(self._full_at) > self._kept:
            self._full_at.popitem(last=False)


class Rates:
    """The four meters of a node. ``limits``: as they are now."""

    def __init__(self, limits: Limits) -> None:
        self._client_messages = Meter(limits.client_messages)
        self._client_recipients = Meter(limits.client_recipients)
        self._domain_messages = Meter(limits.domain_messages)
        self._domain_recipients = Meter(limits.domain_recipients)

    def reconfigure(self, limits: Limits) -> None:
        """Other limits from now on. What was taken in the last minute still counts."""
        self._client_messages.a_minute = limits.client_messages
        self._client_recipients.a_minute = limits.client_recipients
        self._domain_messages.a_minute = limits.domain_messages
        self._domain_recipients.a_minute = limits.domain_recipients

    def message(self, client: str, now: float) -> None:
        """A client begins a message. Raises Deferred."""
        _try(self._client_messages, client, now, "messages")

    def recipient(self, client: str, now: float) -> None:
        """A client names a recipient, whoever that is. Raises Deferred."""
        _try(self._client_recipients, client, now, "recipients")

    def room(self, domain: str, recipients: int, now: float) -> None:
        """Whether a message with so many recipients at a domain may be taken; takes nothing. Raises Deferred."""
        if self._domain_messages.left(domain, now) < 1 or self._domain_recipients.left(domain, now) < recipients:
            raise Deferred(450, "4.7.1", "Too much mail comes for this domain, try again later", "domain-rate")

    def taken(self, domain: str, recipients: int, now: float) -> None:
        """A message was taken, with so many recipients at a domain."""
        self._domain_messages.take(domain, now)
        self._domain_recipients.take(domain, now, recipients)


def _try(meter: Meter, client: str, now: float, what: str) -> None:
    if meter.left(client, now) < 1:
        raise Deferred(450, "4.7.1", f"Too many {what} from you in a minute, try again later", "client-rate")
    meter.take(client, now)
