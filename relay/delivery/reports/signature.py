"""Whether somebody who may sign for a domain signed a message (DKIM, RFC 6376), verified by dkimpy.

A signature counts whose d= has the same organisational domain as the sender (as DMARC's relaxed alignment has it, RFC
7489 3.1.1, by the public suffix list that comes with a package: nothing is fetched), that covers From and the whole
body, that hasn't expired, by SHA-256 and a key of 1,024 bits or more that isn't there for testing.

What dkimpy would do in more than linear time is kept from it: odd signatures and keys are not looked at, and the body
is hashed here, in pieces.
"""

from __future__ import annotations

import base64
import logging
import re
from collections.abc import Iterator
from functools import cache
from typing import Any, TypeAlias

import dkim
from dkim.canonicalization import CanonicalizationPolicy, InvalidCanonicalizationPolicyError, Relaxed
from dkim.util import InvalidTagValueList, parse_tag_value
from publicsuffixlist import PublicSuffixList

from relay.delivery.reports.body import Message
from relay.delivery.reports.lookups import Lookups
from relay.errors import LookupFailed
from relay.mail import normalise_domain

MOST = 5
"""Signatures of the sender's domain that are tried."""
SIGNATURE_LIMIT = 4096
"""Octets of a signature field."""
NAMES = 100
"""Header fields that a signature may name."""
LINES = 2000
"""Lines of a header."""
KEY_LIMIT = 2048
"""Octets of a key's record; one of 4,096 bits takes 740."""
KEY_BITS = 4096
EXPONENT_BITS = 64

Tags: TypeAlias = dict[bytes, bytes]
"""The tags of a signature (RFC 6376 3.5)."""

_BLANKS = re.compile(rb"\s{32}")
_ALGORITHMS = (b"rsa-sha256", b"ed25519-sha256")  # RFC 8301: SHA-1 proves nothing any more
_SILENT = logging.getLogger("relay.delivery.reports.signature")
_SILENT.disabled = True  # dkimpy logs strangers' words


def signed(message: Message, domain: str, lookups: Lookups, now: float) -> tuple[bool, str]:
    """Whether a signature of ``domain`` verifies, and a line about it. ``now``: POSIX seconds.

    Raises LookupFailed where that can't be known now.
    """
    header = message.header()
    if header is None or header.count(b"\n") > LINES:
        return False, "the header is too long to look for signatures"
    failure: LookupFailed | None = None
    tried = 0
    try:
        signatures = _Signatures(header, message, lookups)
    except Exception:  # dkimpy can't read a header that is none
        return False, "the header can't be read"
    for number, signer, tags in signatures.of(domain, now):
        if tried == MOST:
            break
        tried += 1
        try:
            if _covers(tags, message) and signatures.verifies(number):
                return True, f"DKIM verifies for {signer}"
        except LookupFailed as error:
            failure = error
    if failure is not None:
        raise failure
    return False, f"no DKIM signature of {domain} verifies" if tried else f"no DKIM signature of {domain}"


def _covers(tags: Tags, message: Message) -> bool:
    """Whether the body is as it was signed, from its first to its last octet."""
    try:
        policy = CanonicalizationPolicy.from_c_value(tags.get(b"c", b"simple/simple"))
        expected = base64.b64decode(re.sub(rb"\s+", b"", tags[b"bh"]))
        length = int(tags[b"l"]) if b"l" in tags else None
    except (InvalidCanonicalizationPolicyError, KeyError, ValueError):
        return False
    digest, all_of_it = message.hashed(relaxed=policy.body_algorithm is Relaxed)
    return digest == expected and length in (None, all_of_it)


def aligned(signer: str, domain: str) -> bool:
    """Whether two domains belong to one organisation. Where one is itself a public suffix, they have to be equal."""
    if signer == domain:
        return True
    organisation = _suffixes().privatesuffix(domain)
    return organisation is not None and organisation == _suffixes().privatesuffix(signer)


@cache
def _suffixes() -> PublicSuffixList:
    return PublicSuffixList()


class _Signatures(dkim.DKIM):  # type: ignore[misc]
    """dkimpy with our look-ups, and our hash of the body."""

    def __init__(self, header: bytes, message: Message, lookups: Lookups) -> None:
        super().__init__(header, logger=_SILENT)
        self._message = message
        self._lookups = lookups

    def of(self, domain: str, now: float) -> Iterator[tuple[int, str, Tags]]:
        """Those that may count for ``domain``: number from the top, d=, and all tags."""
        fields = [value for name, value in self.headers if name.lower() == b"dkim-signature"]
        for number, value in enumerate(fields):
            if len(value) > SIGNATURE_LIMIT or _BLANKS.search(value):
                continue
            try:
                tags = parse_tag_value(value)
                signer = normalise_domain(tags[b"d"].decode())
                expired = b"x" in tags and int(tags[b"x"]) < now
            except (InvalidTagValueList, KeyError, ValueError):
                continue
            names = tags.get(b"h", b"").lower().split(b":")
            sound = tags.get(b"a") in _ALGORITHMS and b"from" in map(bytes.strip, names) and len(names) <= NAMES
            if sound and not expired and aligned(signer, domain):
                yield number, signer, tags

    def verifies(self, number: int) -> bool:
        """Whether the header is as it was signed; the body is for :func:`_covers`. Raises LookupFailed."""
        try:
            return bool(self.verify(number, self._key))
        except LookupFailed:
            raise
        except Exception:  # whatever a stranger's signature or key breaks in dkimpy, it verifies nothing
            return False

    def verify_sig_process(self, sig: Any, include_headers: Any, sig_header: Any, dnsfunc: Any) -> bool:
        """dkimpy's own, which checks the body only where it is told its hash."""
        header_only = {tag: value for tag, value in sig.items() if tag != b"bh"}
        return bool(super().verify_sig_process(header_only, include_headers, sig_header, dnsfunc))

    def _key(self, name: bytes, timeout: float = 0) -> bytes | None:
        """The record of a key that may be used (RFC 6376 3.6.1). ``timeout``: the look-ups have their own."""
        records = self._lookups.ask(name.decode(), "TXT")
        text = b"".join(records[0].strings) if records else b""
        if not text or len(text) > KEY_LIMIT:
            return None
        tags = parse_tag_value(text)
        flags = {flag.strip() for flag in tags.get(b"t", b"").split(b":")}
        hashes = {one.strip() for one in tags.get(b"h", b"sha256").split(b":")}
        if b"y" in flags or b"sha256" not in hashes or (b"s" in flags and not self._exactly()):
            return None
        key = dkim.evaluate_pk(name, text)[0]
        if isinstance(key, dict) and (
            key["modulus"].bit_length() > KEY_BITS or key["publicExponent"].bit_length() > EXPONENT_BITS
        ):
            return None
        return text

    def _exactly(self) -> bool:
        """Whether the identity is of the signing domain itself (t=s)."""
        identity = self.signature_fields.get(b"i", b"@" + self.signature_fields[b"d"])
        return bool(identity.rpartition(b"@")[2].lower() == self.signature_fields[b"d"].lower())
