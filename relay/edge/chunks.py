"""Content whose octets are counted beforehand, as BDAT sends it (RFC 3030 section 2): nothing in it can be an end.

The counterpart of :class:`relay.edge.content.Content`, to be used the same way. Promises: dots stay as they are; a bare
LF becomes CRLF and a bare CR a space, wherever chunks and segments are cut; a last line without a CRLF stays without
one. Pure.
"""

from __future__ import annotations

from relay.edge.content import mended


class Chunks:
    """``feed()`` what arrives, ``piece()`` to take out what is decided, ``rest()`` once all of it is there.

    ``bare`` tells whether a bare CR or LF was met in what was taken out.
    """

    __slots__ = ("_octets", "bare")

    def __init__(self) -> None:
        self._octets = bytearray()
        self.bare = False

    def __len__(self) -> int:
        """Octets held, as they came."""
        return len(self._octets)

    def feed(self, chunk: bytes | bytearray) -> bool:
        """Take what arrived. False: the end is known to whoever counts."""
        self._octets += chunk
        return False

    @property
    def more_behind(self) -> bool:
        """What the client has sent behind the chunks isn't here."""
        return False

    def least(self) -> int:
        """How many octets the message will have of those that are held, or more."""
        return len(self._octets)

    def piece(self) -> bytes:
        """Take out, decoded, all that doesn't depend on what is still to come."""
        cut = len(self._octets) - self._octets.endswith(b"\r")
        return self._decode(cut)

    def forget(self) -> None:
        """Let go of everything: the message is refused already."""
        self._octets.clear()

    def rest(self) -> tuple[bytes, bytes]:
        """(what is left of the message, decoded; nothing). Nothing is held after that."""
        return self._decode(len(self._octets)), b""

    def _decode(self, cut: int) -> bytes:
        text, bare = mended(bytes(memoryview(self._octets)[:cut]))
        del self._octets[:cut]
        self.bare |= bare
        return text
