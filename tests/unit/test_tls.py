"""Certificates that load make contexts; those that don't say in one line which setting is wrong."""

from __future__ import annotations

import ssl
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization

from relay.errors import StartFailed
from relay.settings import Smtp, TlsPair
from relay.tls import certificate_expiry, client_context, first_expiry, listener_context, server_context
from tests.support.certificates import certificate


def test_a_listener_speaks_tls_1_2_and_later(tmp_path: Path) -> None:
    """A certificate and its key make a server's context without the old protocols."""
    made = certificate(tmp_path, "mx.relay.test")
    context = server_context(made.certificate, made.key)
    assert context.minimum_version is ssl.TLSVersion.TLSv1_2
    assert server_context(made.certificate, made.key) is not context, "a reload reads the files anew"


def test_says_when_a_certificate_ends(tmp_path: Path) -> None:
    """The end is that of the first certificate in the file, which is our own."""
    ours, issuer = certificate(tmp_path, "mx.relay.test", days=7), certificate(tmp_path, "authority.test", days=365)
    chain = tmp_path / "chain.pem"
    chain.write_bytes(ours.certificate.read_bytes() + issuer.certificate.read_bytes())
    assert certificate_expiry(chain) == ours.expires_at


def test_an_ended_certificate_still_loads(tmp_path: Path) -> None:
    """That it has ended is for the proof to say: most senders don't look, and mail goes on."""
    made = certificate(tmp_path, "mx.relay.test", days=-1)
    server_context(made.certificate, made.key)
    assert certificate_expiry(made.certificate) == made.expires_at


@pytest.mark.parametrize(
    ("wrong", "line"),
    [
        ("missing certificate", "[smtp] tls_certificate: can't read {0}/none: No such file or directory"),
        ("missing key", "[smtp] tls_key: can't read {0}/none: No such file or directory"),
        ("garbage certificate", "[smtp] tls_certificate: {0}/garbage holds no PEM certificate"),
        ("garbage key", "[smtp] tls_key: {0}/garbage is not a PEM key without a passphrase"),
        ("locked key", "[smtp] tls_key: {0}/locked is not a PEM key without a passphrase"),
        ("another's key", "[smtp] tls_key: {0}/other.key is not the key of the certificate in {0}/ours.crt "
         "([smtp] tls_certificate)"),
    ],
)  # fmt: skip
def test_says_which_setting_is_wrong(tmp_path: Path, wrong: str, line: str) -> None:
    """What doesn't load is one line that names the setting and the file."""
    ours, other = certificate(tmp_path, "ours.test"), certificate(tmp_path, "other.test")
    ours.certificate.rename(tmp_path / "ours.crt")
    other.key.rename(tmp_path / "other.key")
    (tmp_path / "garbage").write_text("-----BEGIN CERTIFICATE-----\nno\n")
    key = serialization.load_pem_private_key(ours.key.read_bytes(), None)
    (tmp_path / "locked").write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(b"passphrase"),
        )
    )
    files = {
        "missing certificate": (tmp_path / "none", ours.key),
        "missing key": (tmp_path / "ours.crt", tmp_path / "none"),
        "garbage certificate": (tmp_path / "garbage", ours.key),
        "garbage key": (tmp_path / "ours.crt", tmp_path / "garbage"),
        "locked key": (tmp_path / "ours.crt", tmp_path / "locked"),
        "another's key": (tmp_path / "ours.crt", tmp_path / "other.key"),
    }
    with pytest.raises(StartFailed) as caught:
        server_context(*files[wrong])
    assert str(caught.value) == line.format(tmp_path)


def test_contexts_for_primaries() -> None:
    """Opportunistic takes any certificate; verify takes one that is trusted and names the host. Each is made once."""
    assert client_context("opportunistic").verify_mode is ssl.CERT_NONE
    assert not client_context("opportunistic").check_hostname
    assert client_context("verify").verify_mode is ssl.CERT_REQUIRED
    assert client_context("verify").check_hostname
    assert client_context("verify") is client_context("verify")


def test_the_first_certificate_to_end_counts(tmp_path: Path) -> None:
    """Of all that the listener shows, and it is named."""
    usual, other = certificate(tmp_path, "mx.relay.test", days=30), certificate(tmp_path, "mx.acme.test", days=5)
    pair = TlsPair(certificate=str(other.certificate), key=str(other.key))
    smtp = Smtp(tls_certificate=str(usual.certificate), tls_key=str(usual.key), tls_sni=[pair])
    assert first_expiry(smtp) == (other.expires_at, str(other.certificate))


def test_what_is_wrong_with_a_certificate_for_a_name(tmp_path: Path) -> None:
    """The line names the setting that has it, and a certificate for no host is refused."""
    usual, nameless = certificate(tmp_path, "mx.relay.test"), certificate(tmp_path, "192.0.2.1")
    usual_paths = {"tls_certificate": str(usual.certificate), "tls_key": str(usual.key)}

    def refused(made: Path, key: Path) -> str:
        pair = TlsPair(certificate=str(made), key=str(key))
        with pytest.raises(StartFailed) as refusal:
            listener_context(Smtp(**usual_paths, tls_sni=[pair]))
        return str(refusal.value)

    assert refused(nameless.certificate, nameless.key).startswith("[smtp] tls_sni: ")
    assert (
        refused(tmp_path / "none", nameless.key)
        == f"[smtp] tls_sni: can't read {tmp_path}/none: No such file or directory"
    )
    assert refused(usual.certificate, nameless.key).startswith(f"[smtp] tls_sni: {nameless.key} is not the key of")
