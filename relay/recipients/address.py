"""Which spellings are one mailbox: what stands before the @, brought to one form. Pure.

Primaries tell no case apart there; quotes around what needs none mean nothing (RFC 5321 4.1.2), and what looks the
same in Unicode is the same in NFC (RFC 6532 3.1). The form is without quotes: ``john doe`` for ``"john doe"@x``.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator

_ATOMS = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~.\u00a1-\U0010ffff-]+")
_QUOTED = re.compile(r'"((?:[^"\\\x00-\x1f\x7f]|\\[\x20-\x7e])+)"')
_PAIR = re.compile(r"\\(.)")


def mailbox(local: str) -> str:
    """The one form of ``local``, as it stands in an address. Raises ValueError where it is none."""
    if _ATOMS.fullmatch(local):
        text = local
    elif quoted := _QUOTED.fullmatch(local):
        text = _PAIR.sub(r"\1", quoted[1])
    else:
        raise ValueError(f"{local!r} can't stand before the @ of an address")
    if text.isascii():
        return text.lower()
    # Once more at the end: lower case may come apart into letter and mark.
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", text).lower())


def written(text: str, domain: str) -> str:
    """The address of a mailbox in that form: with quotes where it needs them."""
    if not _ATOMS.fullmatch(text):
        text = '"' + re.sub(r'(["\\])', r"\\\1", text) + '"'
    return f"{text}@{domain}"


def bases(text: str, separators: str) -> Iterator[str]:
    """The mailboxes that ``text`` may be an extension of, longest first: ``info`` of ``info+shop``."""
    for place in range(len(text) - 1, 0, -1):
        if text[place] in separators:
            yield text[:place]
