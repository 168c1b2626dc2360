"""Certificates and TLS contexts, for the listener and for connections to primaries.

A listener's context is loaded anew from its files whenever it is asked for: a reload makes a new one, and sessions
that run keep theirs. What doesn't load is :class:`relay.errors.StartFailed`, in one line that names the setting.
"""

from __future__ import annotations

import ssl
from datetime import UTC
from functools import cache
from pathlib import Path
from typing import Literal, TypeAlias

from cryptography import x509

from relay.errors import StartFailed

Policy: TypeAlias = Literal["opportunistic", "verify", "none"]
"""``[delivery] tls``. opportunistic: encrypted where the primary can, whoever it is (RFC 7435); verify: encrypted, by
a certificate that the system trusts and that names the host, or not at all; none: never."""

CERTIFICATE_SETTING = "[smtp] tls_certificate"
KEY_SETTING = "[smtp] tls_key"


def server_context(certificate: Path, key: Path) -> ssl.SSLContext:
    """For the listener: TLS 1.2 and later. ``certificate``: PEM, its chain included. Raises StartFailed."""
    certificate_expiry(certificate)  # whether it can be read at all; ssl's own words don't say which file is wrong
    try:
        key.open("rb").close()
    except OSError as error:
        raise StartFailed(f"{KEY_SETTING}: can't read {key}: {error.strerror}") from error
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        # An encrypted key would ask for its passphrase on the terminal: an empty one makes it fail instead.
        context.load_cert_chain(certificate, key, password="")
    except ssl.SSLError as error:
        if error.reason == "KEY_VALUES_MISMATCH":
            raise StartFailed(
                f"{KEY_SETTING}: {key} is not the key of the certificate in {certificate} ({CERTIFICATE_SETTING})"
            ) from error
        raise StartFailed(f"{KEY_SETTING}: {key} is not a PEM key without a passphrase") from error
    return context


def certificate_expiry(certificate: Path) -> float:
    """POSIX seconds at which the first certificate in the PEM file, which is the listener's own, ceases to be valid.

    Raises StartFailed.
    """
    try:
        pem = certificate.read_bytes()
    except OSError as error:
        raise StartFailed(f"{CERTIFICATE_SETTING}: can't read {certificate}: {error.strerror}") from error
    try:
        first = x509.load_pem_x509_certificates(pem)[0]
    except ValueError as error:
        raise StartFailed(f"{CERTIFICATE_SETTING}: {certificate} holds no PEM certificate") from error
    return first.not_valid_after_utc.astimezone(UTC).timestamp()


@cache
def client_context(policy: Policy) -> ssl.SSLContext:
    """For connections to primaries: a context for ``opportunistic`` or ``verify``, made once.

    ``verify`` trusts the system's authorities (or those of SSL_CERT_FILE, as OpenSSL has it) and checks the name.
    """
    if policy == "verify":
        return ssl.create_default_context()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    # The alternative is no encryption at all: old and weak is still better (RFC 7435 section 3).
    context.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
    context.set_ciphers("DEFAULT:@SECLEVEL=0")
    return context
