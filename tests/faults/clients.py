"""Strangers' mail servers: twenty connections that bring letter after letter, and bring again what wasn't answered.

As such servers do: 250 means that the relay has the letter, for ever; 4xx, 421 and a lost connection mean that it is
sent again, under the same number, until there is a 250. What was sent to its last dot and not answered may be there
twice then (RFC 1047): those are *in flight*. Every other reply and every cut connection is counted by where it came.

    async with crowd([address], ledger, letters) as clients:
        await clients.until_accepted(100)
        seconds = await clients.next_accepted()
"""

from __future__ import annotations

import asyncio
import itertools
import random
import time
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from tests.faults.ledger import Ledger
from tests.faults.letters import SENDER, Letters, recipient
from tests.faults.wire import Cut, Wire, connect

CONNECTIONS = 20
PER_CONNECTION = 50
"""Letters after which a client says QUIT and connects anew."""
PAUSE = 0.05
"""Seconds before it comes again after a no, or where nobody listens."""
FAREWELL = 90.0
"""Seconds in which the last letters have to be taken."""

Address = tuple[str, int]


class Crowd:
    """See above. ``addresses``: of the nodes; a client that isn't let in goes on to the next one. ``rate``: letters a
    second of all together; None: as many as the relay takes."""

    def __init__(
        self,
        addresses: Sequence[Address],
        ledger: Ledger,
        letters: Letters,
        *,
        connections: int = CONNECTIONS,
        rate: float | None = None,
        first: int = 0,
    ) -> None:
        self.accepted = 0
        self.in_flight: Counter[int] = Counter()
        """Letters that were sent whole and not answered, and how often."""
        self.put_off: Counter[int] = Counter()
        """Letters whose end of data was answered 4xx, and how often: the relay says that it hasn't got them."""
        self.replies: Counter[int] = Counter()
        """Other than what one hopes for, by code: one for each letter that was put off."""
        self.cuts: Counter[str] = Counter()
        """Connections that ended without a word, by what the client was at: connecting, a command, content, the end of
        data; "silence at" one of these where a reply never came."""
        self._addresses = addresses
        self._ledger = ledger
        self._letters = letters
        self._numbers = itertools.count(first)
        self._gap = connections / rate if rate else 0.0
        self._stopping = False
        self._waiting: list[tuple[float, asyncio.Future[float]]] = []
        self._clients = [asyncio.create_task(self._client(place)) for place in range(connections)]

    def __str__(self) -> str:
        return f"clients: {self.accepted} × 250, {dict(self.replies)}, cut off at {dict(self.cuts)}"

    def next_accepted(self) -> asyncio.Future[float]:
        """When (monotonic) the first letter was accepted whose MAIL is sent from now on."""
        future: asyncio.Future[float] = asyncio.get_running_loop().create_future()
        self._waiting.append((time.monotonic(), future))
        return future

    async def until_accepted(self, more: int, within: float = 60.0) -> None:
        """Wait until so many more letters have been accepted."""
        wanted = self.accepted + more
        async with asyncio.timeout(within):
            while self.accepted < wanted:
                await self.next_accepted()

    async def leave(self, within: float = FAREWELL) -> None:
        """Each client finishes its letter, be it by sending it again, and goes."""
        self._stopping = True
        _, late = await asyncio.wait(self._clients, timeout=within)
        for client in late:
            client.cancel()
        await asyncio.gather(*self._clients, return_exceptions=True)
        for client in self._clients:
            if not client.cancelled() and (error := client.exception()):
                raise error

    @property
    def strange(self) -> Counter[str]:
        """What no client should ever see: a reply that is neither 250 nor temporary, and none at all."""
        codes = {str(code): count for code, count in self.replies.items() if not 400 <= code < 500}
        return Counter(codes | {at: count for at, count in self.cuts.items() if at.startswith("silence")})

    async def _client(self, place: int) -> None:
        number, address = next(self._numbers), place % len(self._addresses)
        while not (self._stopping and number is None):
            wire = None
            try:
                wire = await connect(self._addresses[address])
                await self._greet(wire)
                for _ in range(PER_CONNECTION):
                    if number is None:
                        number = next(self._numbers)
                    await self._bring(wire, number)
                    number = None
                    if self._stopping:
                        break
                    if self._gap:
                        await asyncio.sleep(random.uniform(0.5, 1.5) * self._gap)
                wire.send(b"QUIT\r\n")
                await _reply(wire, "a command")
            except Cut as cut:
                self.cuts[str(cut)] += 1
            except OSError:
                address = (address + 1) % len(self._addresses)
                await asyncio.sleep(PAUSE)
            except _No as no:
                self.replies[no.code] += 1
                await asyncio.sleep(PAUSE)
            finally:
                if wire is not None:
                    wire.close()

    async def _greet(self, wire: Wire) -> None:
        if (code := await _reply(wire, "connecting")) != 220:
            raise _No(code)
        wire.send(b"EHLO mail.world.example\r\n")
        if (code := await _reply(wire, "a command")) != 250:
            raise _No(code)

    async def _bring(self, wire: Wire, number: int) -> None:
        begun = time.monotonic()
        wire.send(b"MAIL FROM:<%s>\r\nRCPT TO:<%s>\r\nDATA\r\n" % (SENDER.encode(), recipient(number).encode()))
        # After the first no the other two are told that they come at the wrong time, which is no news.
        for hoped in (250, 250, 354):
            if (code := await _reply(wire, "a command")) != hoped:
                raise _No(code)
        content = self._letters.content(number)
        wire.send(content.replace(b"\r\n.", b"\r\n..") + b".\r\n")
        answered = False
        try:
            code = await _reply(wire, "the end of data")
            answered = True
        finally:
            if not answered:
                self.in_flight[number] += 1
        if code != 250:
            self.put_off[number] += 400 <= code < 500
            raise _No(code)
        await self._ledger.write(number)
        self.accepted += 1
        self._tell(begun)

    def _tell(self, begun: float) -> None:
        if not self._waiting:
            return
        now = time.monotonic()
        told = [future for since, future in self._waiting if begun >= since]
        self._waiting = [(since, future) for since, future in self._waiting if begun < since]
        for future in told:
            if not future.done():
                future.set_result(now)


class _No(Exception):
    """A reply that isn't the one that was hoped for."""

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


async def _reply(wire: Wire, at: str) -> int:
    try:
        return await wire.reply()
    except Cut:
        raise Cut(at) from None
    except TimeoutError:
        raise Cut(f"silence at {at}") from None


@asynccontextmanager
async def crowd(
    addresses: Sequence[Address],
    ledger: Ledger,
    letters: Letters,
    *,
    connections: int = CONNECTIONS,
    rate: float | None = None,
    first: int = 0,
) -> AsyncIterator[Crowd]:
    """Who comes when the block begins, and goes when it is left. ``first``: the number of the first letter."""
    clients = Crowd(addresses, ledger, letters, connections=connections, rate=rate, first=first)
    try:
        yield clients
    except BaseException:
        await clients.leave(within=0)
        raise
    await clients.leave()
