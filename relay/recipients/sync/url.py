"""Where a directory is and what is asked of it, as one LDAP URL (RFC 4516).

    ldaps://dc1.acme.example/dc=acme,dc=example?mail,proxyAddresses?sub?(objectClass=person)
    scheme  host[:port]      base DN            attributes         scope filter

What isn't said has a default: the attributes that addresses usually stand in, everything below the base DN, and
whatever has one of these attributes. Pure: nothing is asked here.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from urllib.parse import unquote

from sansldap import LDAPFilter

from relay.appliances.model import Primary

ATTRIBUTES = ("mail", "proxyAddresses", "mailAlternateAddress", "mailLocalAddress")
"""Of inetOrgPerson, Active Directory and Exchange, Netscape and qmail schemas, and Sendmail's."""

PORTS = {"ldap": 389, "ldaps": 636}
_DESCRIPTION = re.compile(r"(?:[A-Za-z][A-Za-z0-9-]*|\d+(?:\.\d+)+)(?:;[A-Za-z0-9-]+)*")  # RFC 4512 2.5


class Scope(StrEnum):
    """How far below the base DN is looked; the words of RFC 4516."""

    BASE = "base"
    ONE = "one"
    SUB = "sub"


@dataclass(frozen=True, slots=True)
class LdapUrl:
    """``text``: as the operator wrote it. ``secure``: ldaps, encrypted from the first byte on."""

    text: str
    secure: bool
    host: str
    port: int
    base: str
    attributes: tuple[str, ...]
    scope: Scope
    filter: LDAPFilter

    @classmethod
    def parse(cls, text: str) -> LdapUrl:
        """Raises ValueError with a sentence for people."""
        match = re.fullmatch(r"(ldaps?)://([^/?]+)(?:/([^?]*))?((?:\?[^?]*){0,4})", text.strip(), re.IGNORECASE)
        if not match:
            raise ValueError(
                f"{text!r} should be an LDAP URL such as ldaps://dc1.acme.example/dc=acme,dc=example?mail?sub"
            )
        scheme = match[1].lower()
        try:
            place = Primary.parse(match[2])
        except ValueError as error:
            raise ValueError(f"{text!r}: {error}") from None
        has_port = re.search(r":\d+$", re.sub(r"\[.*\]", "", match[2]))
        attributes, scope, filter_, extensions = (*map(unquote, match[4].split("?")[1:]), "", "", "", "")[:4]
        if extensions:
            raise ValueError(f"{text!r}: extensions ({extensions}) are not understood")
        wanted = tuple(dict.fromkeys(filter(None, attributes.split(",")))) or ATTRIBUTES
        for name in wanted:
            if not _DESCRIPTION.fullmatch(name):
                raise ValueError(f"{text!r}: {name!r} should be the name of an attribute, such as mail")
        if scope.lower() not in ("", *Scope):
            raise ValueError(f"{text!r}: {scope!r} should be base, one or sub")
        return cls(
            text.strip(),
            scheme == "ldaps",
            place.host,
            place.port if has_port else PORTS[scheme],
            unquote(match[3] or ""),
            wanted,
            Scope(scope.lower() or Scope.SUB),
            _filter(text, filter_ or f"(|{''.join(f'({name}=*)' for name in wanted)})"),
        )

    @property
    def place(self) -> str:
        """host:port, for people."""
        return str(Primary(self.host, self.port))


def _filter(text: str, wanted: str) -> LDAPFilter:
    try:
        return LDAPFilter.from_string(wanted)
    except (ValueError, RecursionError) as error:  # what is wrong with it is said at an offset, in its own words
        raise ValueError(f"{text!r}: {wanted!r} is no LDAP filter: {error}") from None
