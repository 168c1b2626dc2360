"""Proof ``tls``: the listener's certificates, if there are any, are valid for seven more days."""

from __future__ import annotations

import asyncio

from relay.clock import iso
from relay.errors import StartFailed
from relay.settings import Smtp
from relay.tls import first_expiry

MARGIN = 7 * 86400.0


async def prove_tls(settings: Smtp, now: float) -> tuple[bool, str]:
    """Whether it holds, and the evidence."""
    if not settings.tls_certificate:
        return True, "no certificate is set: mail comes in without encryption"
    try:
        expires, certificate = await asyncio.to_thread(first_expiry, settings)
    except StartFailed as error:
        return False, str(error)
    verb = "expired" if expires <= now else "expires"
    return expires - now >= MARGIN, f"the certificate {certificate} {verb} {iso(expires)}"
