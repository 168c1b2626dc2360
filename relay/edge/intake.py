"""One message on its way in: held whole up to 1 MiB, and past that handed to the queue in pieces while it arrives.

Promises: never holds much more than that, nor more than the node's memory has room for; once the message is refused,
for whatever reason, nothing of it is kept, the rest is swallowed, and :meth:`Intake.finish` says why (the reply
belongs behind the end of data: RFC 5321 4.2.5). What was handed over is no mail before the queue accepts all of it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass

from relay import events
from relay.edge.chunks import Chunks
from relay.edge.content import Content
from relay.edge.header import head
from relay.edge.limits import Memory
from relay.edge.shares import Shares
from relay.errors import Deferred, EdgeError, Rejected
from relay.queue.content import PIECE, UPLOAD_ABOVE
from relay.queue.upload import Upload


@dataclass(frozen=True, slots=True)
class Taken:
    """A message that has come to its end. ``size``: bytes; ``beginning``: its header at least, as far as it is read."""

    content: bytes | Upload
    size: int
    beginning: bytes


class Intake:
    """``feed()`` what arrives until it says that the end is there, then ``finish()``; ``close()`` whatever happens.

    ``content``: how it comes, up to a dot or in counted chunks; of the latter the client's last one is the end.
    ``limit``: bytes that a message may have; ``domains``: whom it is for; ``reject_bare``: refuse a bare CR or LF
    instead of mending it.
    """

    def __init__(
        self,
        open_upload: Callable[[], Upload],
        memory: Memory,
        shares: Shares,
        content: Content | Chunks,
        limit: float,
        domains: Collection[str],
        *,
        reject_bare: bool,
    ) -> None:
        self._open_upload = open_upload
        self._memory = memory
        self._shares = shares
        self._domains = domains
        self._charged = 0
        self._limit = limit
        self._reject_bare = reject_bare
        self._content = content
        self._upload: Upload | None = None
        self._handed_over = 0
        self._beginning = b""
        self._refusal: EdgeError | None = None
        self.behind = b""
        """What the client sent behind the end, once that is there."""

    @property
    def refused(self) -> bool:
        """Whether what still comes is swallowed."""
        return self._refusal is not None

    def check(self) -> None:
        """Raises what the message was refused for."""
        if self._refusal is not None:
            raise self._refusal

    async def refuse(self, refusal: EdgeError) -> None:
        """Keep nothing of it, for a reason that lies outside. The first reason counts."""
        if self._refusal is None:
            self._refusal = refusal
            await self._drop()

    async def expect(self, size: int) -> None:
        """So many more octets are counted out: what is too large is refused before they come."""
        try:
            self._check_size(self._content.least() + size)
        except EdgeError as refusal:
            await self.refuse(refusal)

    async def feed(self, chunk: bytearray) -> bool:
        """Take what arrived, and leave nothing of it; True once the end is there."""
        ended = self._content.feed(chunk)
        chunk.clear()  # whoever brought it has it for as long as we take
        if self._refusal is None:
            try:
                self._charge(len(self._content) + (PIECE if self._upload else 0))
                if not ended:
                    await self._keep_it_small()
            except EdgeError as refusal:
                self._refusal = refusal
            except Exception as error:
                # Whatever went wrong: the client is still sending its message, so none of it may be taken for commands.
                events.fault("intake", error)
                self._refusal = Deferred(451, "4.3.0", "The message can't be stored now, try again later")
            if self._refusal is not None:
                await self._drop()
        if self._refusal is not None and not ended:
            self._content.forget()
        return ended

    @property
    def held(self) -> int:
        """Octets that have not been handed on."""
        return len(self._content)

    @property
    def more_behind(self) -> bool:
        """Whether the client has sent something behind the end."""
        return self._content.more_behind

    async def finish(self) -> Taken:
        """The message as a whole. Raises what it was refused for."""
        last, self.behind = self._content.rest()
        self.check()
        self._check_size(len(last))
        self._check_bare()
        if self._upload is None:
            return Taken(last, len(last), last)
        await self._hand_over(self._upload, last)
        return Taken(self._upload, self._handed_over, self._beginning)

    async def close(self, *, accepted: bool) -> None:
        """Give back the memory, and unless the queue has ``accepted`` the message, what it was handed."""
        self._charge(0)
        if not accepted:
            await self._drop()

    async def _keep_it_small(self) -> None:
        """Refuse a message that has grown too large; hand over what is decided of one that isn't small."""
        held = len(self._content)
        if self._handed_over + held > self._limit:
            self._check_size(self._content.least())
        if self._upload is None and held <= UPLOAD_ABOVE:
            return
        if self._upload is None:
            self._upload = self._open_upload()
        piece = self._content.piece()
        self._check_size(len(piece))
        self._check_bare()
        async with self._shares.turn(self._domains, len(piece)):
            await self._hand_over(self._upload, piece)
        self._charge(len(self._content) + PIECE)  # an upload holds no more, but for what all may have on its way

    async def _hand_over(self, upload: Upload, piece: bytes) -> None:
        """Give the queue more; the client waits until there is room for that."""
        self._beginning = self._beginning or head(piece)
        self._handed_over += len(piece)
        view = memoryview(piece)
        for start in range(0, len(piece), PIECE):  # the upload has a copy of what it is given
            await upload.write(view[start : start + PIECE])

    def _charge(self, held: int) -> None:
        """Count what is held of this message now. Raises Deferred, 452."""
        self._memory.take(held - self._charged, self._domains)
        self._charged = held

    def _check_size(self, more: int) -> None:
        if self._handed_over + more > self._limit:
            raise Rejected(552, "5.3.4", f"The message is larger than {self._limit:.0f} bytes")

    def _check_bare(self) -> None:
        if self._reject_bare and self._content.bare:
            raise Rejected(550, "5.6.11", "The message has a bare CR or LF; lines should end with CRLF")

    async def _drop(self) -> None:
        self._charge(0)
        if self._upload is not None:
            upload, self._upload = self._upload, None
            await upload.abort()
