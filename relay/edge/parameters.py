"""The parameters of MAIL and RCPT that are offered in EHLO: SIZE, BODY, SMTPUTF8, and DSN's RET, ENVID, NOTIFY, ORCPT.

RFC 1870, 6152, 6531, 3461. Values that are handed on (ENVID, ORCPT) are kept as they came; what can't be one is
refused with 501, what isn't offered with 555 (RFC 5321 4.1.1.11). Pure; raises :class:`relay.errors.Rejected`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import NamedTuple

from relay.errors import Rejected

ENVID_LIMIT = 100
"""Characters (RFC 3461 4.4)."""
ORCPT_LIMIT = 500
"""Characters (RFC 3461 4.2)."""

_XTEXT = r"(?:[!-*,-<>-~]|\+[0-9A-F]{2})+"
_ENVID = re.compile(_XTEXT)
# An address of the type utf-8 may be in UTF-8 itself, or with \x{…} for what isn't ASCII (RFC 6533 section 3).
_ORCPT = re.compile(rf"(?:[A-Za-z0-9-]+;{_XTEXT}|(?i:utf-8);(?:[!-*,-<>-~\u00a1-\U0010ffff]|\+[0-9A-F]{{2}})+)")
_NOTIFY = {"SUCCESS", "FAILURE", "DELAY"}


class MailParameters(NamedTuple):
    """``size``: bytes as declared, None where not said; ``body``: 7BIT or 8BITMIME; ``ret``: FULL or HDRS."""

    size: int | None = None
    body: str = "7BIT"
    smtputf8: bool = False
    ret: str | None = None
    envid: str | None = None


class RecipientParameters(NamedTuple):
    """What DSN asks for a recipient, None where it isn't said. ``notify``: in upper case."""

    notify: str | None = None
    orcpt: str | None = None


NOTHING_ASKED = MailParameters()
NOTHING_ASKED_FOR = RecipientParameters()


def mail_parameters(given: Mapping[str, str]) -> MailParameters:
    """What MAIL said."""
    if not given:
        return NOTHING_ASKED
    size, body, smtputf8, ret, envid = NOTHING_ASKED
    for name, value in given.items():
        match name:
            case "SIZE":
                if not (value.isascii() and value.isdigit() and len(value) <= 20):  # RFC 1870 section 6
                    raise Rejected(501, "5.5.4", "SIZE should be a number of bytes")
                size = int(value)
            case "BODY":
                body = value.upper()
                if body == "BINARYMIME":  # RFC 3030 section 3: needs a primary that takes it, which few are
                    raise Rejected(555, "5.6.1", "BODY=BINARYMIME is not offered here")
                if body not in ("7BIT", "8BITMIME"):
                    raise Rejected(501, "5.5.4", "BODY should be 7BIT or 8BITMIME")
            case "SMTPUTF8":
                if value:
                    raise Rejected(501, "5.5.4", "SMTPUTF8 takes no value")
                smtputf8 = True
            case "RET":
                ret = value.upper()
                if ret not in ("FULL", "HDRS"):
                    raise Rejected(501, "5.5.4", "RET should be FULL or HDRS")
            case "ENVID":
                envid = value
                if len(value) > ENVID_LIMIT or not _ENVID.fullmatch(value):
                    raise Rejected(501, "5.5.4", f"ENVID should be xtext of at most {ENVID_LIMIT} characters")
            case _:
                raise Rejected(555, "5.5.4", "MAIL has a parameter that isn't offered here")
    return MailParameters(size, body, smtputf8, ret, envid)


def recipient_parameters(given: Mapping[str, str]) -> RecipientParameters:
    """What RCPT said."""
    if not given:
        return NOTHING_ASKED_FOR
    notify, orcpt = NOTHING_ASKED_FOR
    for name, value in given.items():
        match name:
            case "NOTIFY":
                notify = value.upper()
                wanted = notify.split(",")
                if notify != "NEVER" and (len(set(wanted)) < len(wanted) or not _NOTIFY.issuperset(wanted)):
                    raise Rejected(501, "5.5.4", "NOTIFY should be NEVER, or some of SUCCESS,FAILURE,DELAY")
            case "ORCPT":
                orcpt = value
                if len(value) > ORCPT_LIMIT or not _ORCPT.fullmatch(value):
                    raise Rejected(501, "5.5.4", "ORCPT should be type;address, the address as xtext")
            case _:
                raise Rejected(555, "5.5.4", "RCPT has a parameter that isn't offered here")
    return RecipientParameters(notify, orcpt)
