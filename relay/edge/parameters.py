"""The parameters of MAIL and RCPT that are offered in EHLO: SIZE, BODY, SMTPUTF8 (RFC 1870, 6152, 6531).

What isn't offered is refused with 555 (RFC 5321 4.1.1.11). Pure; raises :class:`relay.errors.Rejected`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from relay.errors import Rejected


class MailParameters(NamedTuple):
    """``size``: bytes as declared, None where not said; ``body``: 7BIT or 8BITMIME."""

    size: int | None = None
    body: str = "7BIT"
    smtputf8: bool = False


NOTHING_ASKED = MailParameters()


def mail_parameters(given: Mapping[str, str]) -> MailParameters:
    """What MAIL said."""
    if not given:
        return NOTHING_ASKED
    size, body, smtputf8 = NOTHING_ASKED
    for name, value in given.items():
        if name == "SIZE":
            if not (value.isascii() and value.isdigit() and len(value) <= 20):  # RFC 1870 section 6
                raise Rejected(501, "5.5.4", "SIZE should be a number of bytes")
            size = int(value)
        elif name == "BODY":
            body = value.upper()
            if body not in ("7BIT", "8BITMIME"):
                raise Rejected(501, "5.5.4", "BODY should be 7BIT or 8BITMIME")
        elif name == "SMTPUTF8":
            if value:
                raise Rejected(501, "5.5.4", "SMTPUTF8 takes no value")
            smtputf8 = True
        else:
            raise Rejected(555, "5.5.4", "MAIL has a parameter that isn't offered here")
    return MailParameters(size, body, smtputf8)


def recipient_parameters(given: Mapping[str, str]) -> None:
    """What RCPT said: nothing is offered for it."""
    if given:
        raise Rejected(555, "5.5.4", "RCPT has a parameter that isn't offered here")
