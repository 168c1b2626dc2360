"""Who vouches for the sender of a message: what is kept with it, or what SPF and DKIM say when they are asked.

What was found out is kept, so that nobody is asked twice about a message. Never raises for what is wrong with one
message: what can't be read can't be judged now.
"""

from __future__ import annotations

from functools import partial

from relay import events
from relay.delivery.reports.decide import known
from relay.delivery.reports.vouch import Content, Verdict, Voucher, Vouching
from relay.errors import NotFound, RelayError
from relay.queue.cases import Case
from relay.queue.content import UPLOAD_ABOVE
from relay.queue.queue import Queue


class Opinions:
    """One for each node."""

    def __init__(self, queue: Queue, voucher: Voucher) -> None:
        self._queue = queue
        self._voucher = voucher

    async def of(self, case: Case) -> Vouching:
        """What is known, or what is found out now and then kept. Raises NotFound where the message is gone."""
        vouching = known(case)
        if vouching is None:
            vouching = await self.ask(case)
            if vouching.verdict is not Verdict.UNKNOWN:
                await self._queue.failures.keep_verdicts([(case.id, vouching.verdict, vouching.evidence)])
        return vouching

    async def ask(self, case: Case) -> Vouching:
        """Find it out. Raises NotFound where the message is gone."""
        try:
            if case.size > UPLOAD_ABOVE:
                content: Content = partial(self._queue.failures.pieces, case.id)
            else:
                content = await self._queue.content(case.id)
            return await self._voucher.vouch(case.sender, case.client, content)
        except NotFound:
            raise
        except Exception as error:
            if not isinstance(error, RelayError):
                events.fault("reports", error)
            return Vouching(Verdict.UNKNOWN, f"the message can't be judged: {error}")
