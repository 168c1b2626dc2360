"""Which recipients the values of a directory's attributes are. Pure.

A value is an address, or in Active Directory's proxyAddresses one behind ``SMTP:`` (the main one) or ``smtp:``; what
stands behind another prefix (``X500:``, ``SIP:``) is no mail address. Only those at the wanted domains count: a contact
with an address elsewhere is nobody here. A catch-all is the operator's to say, not that of a star in a directory.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from relay.mail import domain_of
from relay.recipients.address import mailbox
from relay.recipients.entry import EVERYONE

_PREFIX = re.compile(r"([A-Za-z0-9.-]+):")
LONGEST = 254
"""Octets of an address (RFC 5321 4.5.3.1.3, less its brackets)."""


def recipients_among(values: Iterable[bytes], domains: Mapping[str, set[str]]) -> int:
    """Put what stands before the @ into the set of its domain, in the form of a list's entry; how many are new there.
    What is no address is passed over."""
    new = 0
    for value in values:
        address = _address(value)
        if address and (found := domains.get(domain_of(address))) is not None:
            try:
                known_as = mailbox(address.rpartition("@")[0])
            except ValueError:
                continue
            if known_as != EVERYONE and known_as not in found:
                found.add(known_as)
                new += 1
    return new


def _address(value: bytes) -> str:
    """Empty where it is none."""
    try:
        text = value.decode().strip()
    except UnicodeDecodeError:
        return ""
    if prefix := _PREFIX.match(text):
        if prefix[1].lower() != "smtp":
            return ""
        text = text[prefix.end() :].strip()
    return text if len(text.encode()) <= LONGEST else ""
