"""MAIL FROM and RCPT TO: the address and its parameters, strictly (RFC 5321 4.1.2).

An address is ``<local@domain>``, or ``<>`` and ``<postmaster>`` where those make sense. It is handed on as it was
written; nothing is unquoted, lower-cased or cut. What an open relay would fall for (source routes, ``user%other@``,
``other!user@``, an @ in quotes) is refused for recipients, and so are addresses without brackets and comments. More
liberal than the RFC in one way only, because real mailboxes are: dots may stand anywhere in a local part.
Parameters keep the case of their values. Pure; raises :class:`relay.errors.Rejected`.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from relay.errors import Rejected
from relay.mail import normalise_domain

DOMAIN_LIMIT = 253
_ATEXT = r"A-Za-z0-9!#$%&'*+/=?^_`{|}~."
_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_PLAIN = re.compile(rf"<(([{_ATEXT}-]+)@({_LABEL}(?:\.{_LABEL})*\.?))>")
_PATH = re.compile(
    rf"""<((?P<local>[{_ATEXT}\u00a1-\U0010ffff-]+|"(?:[^"\\\x00-\x1f\x7f]|\\[\x20-\x7e])+")
          (?:@(?P<domain>\[[A-Za-z0-9.:-]+\]|[A-Za-z0-9._\u00a1-\U0010ffff-]+))?)>""",
    re.VERBOSE,
)
_PARAMETER = re.compile(r"([A-Za-z0-9][A-Za-z0-9-]*)(?:=([\x21-\x3c\x3e-\U0010ffff]+))?")
_TRICKS = re.compile(r"[@%!]")


class Path(NamedTuple):
    """An address as it was written, its two sides (``domain`` normalised, empty if none), and its ESMTP parameters.

    ``parameters``: names in upper case; values as they came, empty where a parameter has none.
    """

    address: str
    local: str
    domain: str
    parameters: dict[str, str]


def parse_sender(argument: str) -> Path:
    """What follows ``MAIL``; the address is empty for the null sender."""
    text = _after(argument, "FROM:", "MAIL FROM:<address>")
    if text.startswith("<>"):
        return Path("", "", "", _parameters(text[2:]))
    return _path(text, "5.1.7", "sender")


def parse_recipient(argument: str) -> Path:
    """What follows ``RCPT``; only ``postmaster`` may be without a domain (RFC 5321 4.1.1.3)."""
    path = _path(_after(argument, "TO:", "RCPT TO:<address>"), "5.1.3", "recipient")
    if _TRICKS.search(path.local):
        raise Rejected(550, "5.7.1", "Mail is not sent on to addresses inside of addresses")
    return path


def _after(argument: str, keyword: str, usage: str) -> str:
    if argument[: len(keyword)].upper() != keyword:
        raise Rejected(501, "5.5.4", f"Syntax: {usage}")
    text = argument[len(keyword) :].lstrip(" ")
    if not text.startswith("<"):
        raise Rejected(501, "5.5.4", f"Syntax: {usage}, the address in angle brackets")
    return text


def _path(text: str, status: str, what: str) -> Path:
    plain = _PLAIN.match(text)
    if plain and len(plain[3]) <= DOMAIN_LIMIT:
        address, local, domain = plain.groups()
        end = plain.end()
        domain = domain.lower().rstrip(".")
    else:
        found = _PATH.match(text)
        if found is None:
            raise Rejected(553, status, f"The {what} should be <local@domain>, without a route or comment")
        address, local, end = found[1], found["local"], found.end()
        domain = _domain(found["domain"], status, what)
        if not domain and not (what == "recipient" and local.lower() == "postmaster"):
            raise Rejected(553, status, f"The {what}'s address needs a domain")
    return Path(address, local, domain, _parameters(text[end:]))


def _domain(text: str | None, status: str, what: str) -> str:
    if text is None or text.startswith("["):
        return text or ""
    try:
        return normalise_domain(text.removesuffix("."))
    except ValueError:
        raise Rejected(553, status, f"The domain of the {what} is not a domain name") from None


def _parameters(text: str) -> dict[str, str]:
    if text and not text.startswith(" "):
        raise Rejected(501, "5.5.4", "After the address only parameters may follow")
    parameters: dict[str, str] = {}
    for word in text.split():
        match = _PARAMETER.fullmatch(word)
        if match is None or match[1].upper() in parameters:
            raise Rejected(501, "5.5.4", "Parameters should be NAME or NAME=value, each once")
        parameters[match[1].upper()] = match[2] or ""
    return parameters
