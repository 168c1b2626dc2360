"""Whether a sender is who the envelope says: only then may a report go there (DESIGN: no backscatter).

SPF for the domain of MAIL FROM, or a DKIM signature of that domain's organisation. SPF of the name in EHLO says nothing
of the sender, and isn't asked. A message that somebody else sends on as it was, signature and all, is vouched for by
that signature; the report then goes to who wrote it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from typing import TypeAlias

from relay.clock import Clock
from relay.delivery.reports.body import Message
from relay.delivery.reports.lookups import Resolvers
from relay.delivery.reports.policy import allows
from relay.delivery.reports.signature import signed
from relay.errors import LookupFailed
from relay.mail import NULL_SENDER, Client, normalise_domain
from relay.settings import Dns

Content: TypeAlias = Callable[[], Iterable[bytes]] | bytes

DEADLINE = 20.0
"""Seconds for a message (RFC 7208 4.6.4 wants at least 20 for SPF)."""
POLICY_DEADLINE = 12.0
"""Seconds of it for SPF, so that DKIM has its turn."""


class Verdict(StrEnum):
    """UNKNOWN: the DNS doesn't say now; to be asked again."""

    VOUCHED = "vouched"
    UNVOUCHED = "unvouched"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Vouching:
    """``evidence``: one line for an operator."""

    verdict: Verdict
    evidence: str


class Voucher:
    """``workers``: messages that are judged at the same time, each in a thread; the others wait for their turn."""

    def __init__(self, dns: Dns, hostname: str, workers: int = 2, clock: Clock | None = None) -> None:
        self._clock = clock or Clock()
        self._hostname = hostname
        self._resolvers = Resolvers(dns, self._clock.monotonic)
        self._pool = ThreadPoolExecutor(workers, "vouch")

    def close(self) -> None:
        """Nobody waits for a verdict any more. A look-up that is under way ends within ``[dns] timeout``."""
        self._resolvers.close()
        self._pool.shutdown(wait=False, cancel_futures=True)

    async def vouch(self, sender: str, client: Client, content: Content) -> Vouching:
        """Judge a message. ``content``: all of it, our Received line on top; or a function that gives it in pieces,
        called in another thread, and more than once. Raises what that function does, and nothing of its own."""
        if sender == NULL_SENDER:
            return Vouching(Verdict.UNVOUCHED, "the null sender is never answered")
        local, at, domain = sender.rpartition("@")
        try:
            domain = normalise_domain(domain if at else "")
        except ValueError:
            return Vouching(Verdict.UNVOUCHED, "the sender has no domain that could vouch for it")
        running = asyncio.get_running_loop()
        return await running.run_in_executor(self._pool, self._judge, local, domain, client, content)

    def _judge(self, local: str, domain: str, client: Client, content: Content) -> Vouching:
        within = self._resolvers.within
        whole = within(DEADLINE)
        message = Message(content, whole.check)
        policy = partial(allows, local, domain, client.ip, client.helo, self._hostname, within(POLICY_DEADLINE))
        signature = partial(signed, message, domain, whole, self._clock.now())
        said: list[str] = []
        unknown = False
        for ask in (policy, signature):
            try:
                vouched, line = ask()
            except LookupFailed as error:
                unknown, vouched, line = True, False, str(error)
            if vouched:
                return Vouching(Verdict.VOUCHED, line)
            said.append(line)
        return Vouching(Verdict.UNKNOWN if unknown else Verdict.UNVOUCHED, "; ".join(said))
