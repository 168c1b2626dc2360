"""Which domains belong to one organisation."""

from __future__ import annotations

import pytest

from relay.delivery.reports.signature import aligned


@pytest.mark.parametrize(
    ("signer", "domain"),
    [
        ("example.org", "example.org"),
        ("mail.example.org", "example.org"),
        ("example.org", "bounces.mail.example.org"),
        ("a.example.co.uk", "b.example.co.uk"),
        ("co.uk", "co.uk"),
        ("example.github.io", "www.example.github.io"),
        ("xn--bcher-kva.example", "www.xn--bcher-kva.example"),
        ("localhost", "localhost"),
    ],
)
def test_one_organisation(signer: str, domain: str) -> None:
    """Equal, or alike below the public suffix, in either direction."""
    assert aligned(signer, domain)
    assert aligned(domain, signer)


@pytest.mark.parametrize(
    ("signer", "domain"),
    [
        ("example.org", "example.com"),
        ("ample.org", "example.org"),
        ("org", "example.org"),
        ("co.uk", "example.co.uk"),
        ("other.co.uk", "example.co.uk"),
        ("github.io", "example.github.io"),
        ("other.github.io", "example.github.io"),
        ("example.org.evil.example", "example.org"),
    ],
)
def test_two_organisations(signer: str, domain: str) -> None:
    """Nobody signs for others below the same suffix, nor a suffix for those below it."""
    assert not aligned(signer, domain)
    assert not aligned(domain, signer)
