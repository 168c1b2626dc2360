"""MAIL FROM and RCPT TO: the address and its parameters, strictly (RFC 5321 4.1.2).

An address is ``<local@domain>``, or ``<>`` and ``<postmaster>`` where those make sense. It is handed on as it was
written; nothing is unquoted, lower-cased or cut. What an open relay would fall for (source routes, ``user%other@``,
``other!user@``, an @ in quotes) is refused for recipients, and so are addresses without brackets and comments. More
liberal than the RFC in one way only, because real mailboxes are: dots may stand anywhere in a local part.
A recipient's letters have to be what they look like: what some other server would first turn into an @, or into a
Gold domain's name, is no way to one. Parameters keep the case of their values. Pure; raises
:class:`relay.errors.Rejected`.
"""

from __future__ import annotations

import re
import unicodedata
from typing import NamedTuple

import idna

from relay.errors import Rejected
from relay.mail import normalise_domain

DOMAIN_LIMIT = 253
ADDRESS_LIMIT = 512
"""Octets of an address: twice what RFC 5321 4.5.3.1.3 allows, because senders make long ones of others."""
_ATEXT = r"A-Za-z0-9!#$%&'*+/=?^_`{|}~."
_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_PLAIN = re.compile(rf"<(([{_ATEXT}-]+)@({_LABEL}(?:\.{_LABEL})*\.?))>")
_PATH = re.compile(
    rf"""<((?P<local>[{_ATEXT}\u00a1-\U0010ffff-]+|"(?:[^"\\\x00-\x1f\x7f-\x9f]|\\[\x20-\x7e])+")
          (?:@(?P<domain>\[[A-Za-z0-9.:-]+\]|[A-Za-z0-9._\u00a1-\U0010ffff-]+))?)>""",
    re.VERBOSE,
)
_PARAMETER = re.compile(r"([A-Za-z0-9][A-Za-z0-9-]*)(?:=([\x21-\x3c\x3e-\U0010ffff]+))?")
_BLANKS = re.compile(r"[ \t]+")
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
    local = path.local if path.local.isascii() else unicodedata.normalize("NFKC", path.local)
    if _TRICKS.search(local):
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
        domain = _domain(found["domain"] or "", status, what)
        if not domain and not (what == "recipient" and local.lower() == "postmaster"):
            raise Rejected(553, status, f"The {what}'s address needs a domain")
    if len(address) > ADDRESS_LIMIT or (not address.isascii() and len(address.encode()) > ADDRESS_LIMIT):
        raise Rejected(553, status, f"The {what}'s address is longer than {ADDRESS_LIMIT} octets")
    return Path(address, local, domain, _parameters(text[end:]))


def _domain(text: str, status: str, what: str) -> str:
    if text.startswith("[") or not text:
        return text
    labels = text.lower().removesuffix(".").split(".")
    try:
        if not all(labels):
            raise ValueError
        name = normalise_domain(text)
        itself = all(label.isascii() or _is_itself(label) for label in labels)
    except ValueError:
        raise Rejected(553, status, f"The domain of the {what} is not a domain name") from None
    if what == "recipient" and not itself:
        raise Rejected(553, status, f"The domain of the {what} should be written in its own letters")
    return name


def _is_itself(label: str) -> bool:
    """Whether it is a U-label, as RFC 6531 3.3 has it, not what only becomes one (RFC 5891 5.3)."""
    try:
        idna.alabel(label)
    except idna.IDNAError:
        return False
    return True


def _parameters(text: str) -> dict[str, str]:
    if text and not text.startswith(" "):
        raise Rejected(501, "5.5.4", "After the address only parameters may follow")
    parameters: dict[str, str] = {}
    for word in filter(None, _BLANKS.split(text)):
        match = _PARAMETER.fullmatch(word)
        if match is None or match[1].upper() in parameters:
            raise Rejected(501, "5.5.4", "Parameters should be NAME or NAME=value, each once")
        parameters[match[1].upper()] = match[2] or ""
    return parameters
