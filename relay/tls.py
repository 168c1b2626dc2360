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
from relay.settings import Smtp

Policy: TypeAlias = Literal["opportunistic", "verify", "none"]
"""``[delivery] tls``. opportunistic: encrypted where the primary can, whoever it is (RFC 7435); verify: encrypted, by
a certificate that the system trusts and that names the host, or not at all; none: never."""

CERTIFICATE_SETTING = "[smtp] tls_certificate"
KEY_SETTING = "[smtp] tls_key"
SNI_SETTING = "[smtp] tls_sni"


def listener_context(smtp: Smtp) -> ssl.SSLContext | None:
    """For the listener: its certificate, and for clients that ask for a host by name (SNI, RFC 6066 section 3) the one
    of ``tls_sni`` that names it. None where no certificate is set. Raises StartFailed."""
    if not smtp.tls_certificate:
        return None
    context = server_context(Path(smtp.tls_certificate), Path(smtp.tls_key))
    named: dict[str, ssl.SSLContext] = {}
    for pair in smtp.tls_sni:
        other = server_context(Path(pair.certificate), Path(pair.key), SNI_SETTING, SNI_SETTING)
        for name in _names(Path(pair.certificate)):
            named.setdefault(name, other)

    def choose(connection: ssl.SSLObject, name: str | None, _: ssl.SSLContext) -> None:
        name = (name or "").lower().rstrip(".")
        found = named.get(name) or named.get(f"*.{name.partition('.')[2]}")  # RFC 6125 6.4.3
        if found is not None:
            connection.context = found

    if named:
        context.sni_callback = choose
    return context


def server_context(
    certificate: Path, key: Path, setting: str = CERTIFICATE_SETTING, key_setting: str = KEY_SETTING
) -> ssl.SSLContext:
    """A server's: TLS 1.2 and later. ``certificate``: PEM, its chain included. Raises StartFailed, which names the
    settings."""
    _read(certificate, setting)  # whether it can be read at all; ssl's own words don't say which file is wrong
    try:
        key.open("rb").close()
    except OSError as error:
        raise StartFailed(f"{key_setting}: can't read {key}: {error.strerror}") from error
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_RENEGOTIATION  # the default of OpenSSL 3, not of those before it
    # Two tickets for each session are a sixth of the work of its handshake, and who sends mail here seldom comes again.
    context.num_tickets = 0
    try:
        # An encrypted key would ask for its passphrase on the terminal: an empty one makes it fail instead.
        context.load_cert_chain(certificate, key, password="")
    except ssl.SSLError as error:
        if error.reason == "KEY_VALUES_MISMATCH":
            raise StartFailed(
                f"{key_setting}: {key} is not the key of the certificate in {certificate} ({setting})"
            ) from error
        raise StartFailed(f"{key_setting}: {key} is not a PEM key without a passphrase") from error
    return context


def first_expiry(smtp: Smtp) -> tuple[float, str]:
    """When the first of the listener's certificates ceases to be valid, in POSIX seconds, and which one that is.

    Raises StartFailed; ValueError where none is set.
    """
    return min(expiries(smtp))


def expiries(smtp: Smtp) -> list[tuple[float, str]]:
    """POSIX seconds at which each of the listener's certificates ceases to be valid, with its file. Raises
    StartFailed."""
    files = [(smtp.tls_certificate, CERTIFICATE_SETTING)] if smtp.tls_certificate else []
    files += [(pair.certificate, SNI_SETTING) for pair in smtp.tls_sni]
    return [(certificate_expiry(Path(file), setting), file) for file, setting in files]


def expiry_of(certificate: bytes) -> float:
    """POSIX seconds at which a certificate in DER, as a server shows it, ceases to be valid. Raises ValueError."""
    return x509.load_der_x509_certificate(certificate).not_valid_after_utc.timestamp()


def certificate_expiry(certificate: Path, setting: str = CERTIFICATE_SETTING) -> float:
    """POSIX seconds at which the first certificate in the PEM file, which is the listener's own, ceases to be valid.

    Raises StartFailed.
    """
    return _read(certificate, setting).not_valid_after_utc.astimezone(UTC).timestamp()


def _read(certificate: Path, setting: str) -> x509.Certificate:
    try:
        pem = certificate.read_bytes()
    except OSError as error:
        raise StartFailed(f"{setting}: can't read {certificate}: {error.strerror}") from error
    try:
        return x509.load_pem_x509_certificates(pem)[0]
    except ValueError as error:
        raise StartFailed(f"{setting}: {certificate} holds no PEM certificate") from error


def _names(certificate: Path) -> list[str]:
    """The host names that a certificate is for."""
    try:
        extension = _read(certificate, SNI_SETTING).extensions.get_extension_for_class(x509.SubjectAlternativeName)
        names = extension.value.get_values_for_type(x509.DNSName)
    except (x509.ExtensionNotFound, ValueError):
        names = []
    if not names:
        raise StartFailed(f"{SNI_SETTING}: {certificate} names no host (subjectAltName)")
    return [name.lower() for name in names]


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
