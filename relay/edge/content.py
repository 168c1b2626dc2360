"""What stands between 354 and the dot: where it ends, and what it says (RFC 5321 2.3.8, 4.5.2).

Promises: only CRLF.CRLF ends a message, whatever way the octets are divided over segments. A bare LF becomes CRLF and
a bare CR a space; then each line loses the dot it begins with, if there is more on it. A dot alone on a line that
isn't the end (around a bare LF: what smugglers send) stays as text. All else is carried as it came: lines of any
length, NUL, 8-bit octets. Pure: holds octets, opens nothing, refuses nothing.
"""

from __future__ import annotations

import io
import re

END = b"\r\n.\r\n"
_DOT = b"\r\n."
_STUFFED = re.compile(rb"\r\n\.(?!\r\n)")
_BEFORE = b"\r\n"  # the CRLF of DATA itself may be the first of the end (RFC 5321 4.1.1.4)


class Content:
    """Octets of one message as they arrive: ``feed()`` until it says that the end is there, then ``rest()``.

    In between ``piece()`` takes out what is decided already, so that not all of it need be held.
    ``bare`` tells whether a bare CR or LF was met in what was taken out.
    """

    __slots__ = ("_context", "_end", "_raw", "_searched", "_stuffed", "bare")

    def __init__(self) -> None:
        self._raw = bytearray(_BEFORE)
        self._context = len(_BEFORE)  # octets at the head of _raw that only say what stood before it
        self._searched = 0
        self._end = -1
        self._stuffed = False  # a line that isn't the end begins with a dot
        self.bare = False

    def __len__(self) -> int:
        """Octets held, as they came."""
        return len(self._raw) - self._context

    def feed(self, chunk: bytes | bytearray) -> bool:
        """Take what arrived; True once the end is there."""
        raw = self._raw
        raw += chunk
        if not self._stuffed:
            # Most messages have no line with a dot but the end: one search then finds both that and the end.
            self._end = raw.find(_DOT, self._searched)
            self._stuffed = self._end >= 0 and not raw.startswith(END, self._end)
        if self._stuffed:
            self._end = raw.find(END, self._searched)
        self._searched = max(self._searched, len(raw) - len(END) + 1)
        return self._end >= 0

    @property
    def more_behind(self) -> bool:
        """Whether the client has sent something behind the end."""
        return len(self._raw) > self._end + len(END)

    def least(self) -> int:
        """How many octets the message will have of those that are held, or more: some are dots that the client added,
        and a part of the end may be there already."""
        return len(self) - self._raw.count(b"\r\n.") - len(END)

    def piece(self) -> bytes:
        """Take out, decoded, all that doesn't depend on what is still to come. Only before the end is there."""
        raw = self._raw
        cut = len(raw) - len(END) + 1
        if cut < len(END):
            return b""
        if raw[cut - 1 : cut + 1] == b"\r\n":
            cut -= 1
        if raw[cut - 2 : cut] == b"\n.":
            cut -= 1
        piece = self._decode(cut)
        # The context stands for 'a line begins here', also where that line was begun by a bare LF; it can't be taken
        # for the start of an end, because the search goes on behind it.
        context = _BEFORE if raw[cut - 1] == 0x0A else b""
        self._searched += len(context) - cut
        raw[:cut] = context
        self._context = len(context)
        return piece

    def forget(self) -> None:
        """Let go of all that can't be a part of the end: the message is refused already."""
        surplus = len(self._raw) - len(END) + 1
        if surplus > 0:
            del self._raw[:surplus]
            self._context = 0
            self._searched = max(0, self._searched - surplus)

    def rest(self) -> tuple[bytes, bytes]:
        """(what is left of the message, decoded; what the client sent behind its end). Nothing is held after that."""
        last, behind = self._decode(self._end + 2), bytes(self._raw[self._end + len(END) :])
        self._raw = bytearray()
        return last, behind

    def _decode(self, cut: int) -> bytes:
        text = bytes(memoryview(self._raw)[:cut])
        text, bare = mended(text)
        self.bare |= bare
        if (self._stuffed or self.bare) and b"\r\n." in text:
            text = _STUFFED.sub(b"\r\n", text) if END in text else text.replace(b"\r\n.", b"\r\n")
        return text[self._context :]


def mended(text: bytes) -> tuple[bytes, bool]:
    """``text`` with bare LFs as CRLF and bare CRs as spaces, and whether there were any."""
    if not _has_bare(text):
        return text, False
    return text.replace(b"\r\n", b"\n").replace(b"\r", b" ").replace(b"\n", b"\r\n"), True


def _has_bare(text: bytes) -> bool:
    """Whether there is a CR or LF that isn't half of a CRLF; asked of what finds it in half the time of a search."""
    ends = io.IncrementalNewlineDecoder(None, translate=False)
    ends.decode(text.decode("latin-1"), final=True)
    return ends.newlines not in (None, "\r\n")
