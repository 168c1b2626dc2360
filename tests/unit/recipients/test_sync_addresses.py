"""Which recipients the values of a directory's attributes are."""

from __future__ import annotations

import pytest

from relay.recipients.sync.addresses import recipients_among


def _found(*values: bytes) -> set[str]:
    domains: dict[str, set[str]] = {"acme.example": set(), "xn--bcher-kva.example": set()}
    assert recipients_among(values, domains) == sum(map(len, domains.values()))
    return {f"{local}@{domain}" for domain, found in domains.items() for local in found}


def test_addresses_are_found_with_and_without_the_prefix_of_active_directory() -> None:
    """In whatever case they are written, each once, and only those of the wanted domains."""
    assert _found(
        b"Info@Acme.Example",
        b"SMTP:ann@acme.example",
        b"smtp:info@ACME.example.",
        b"Smtp: bob@acme.example ",
        b"carol@elsewhere.example",
        "shop@bücher.example".encode(),
        "jürgen@acme.example".encode(),
        b'"john doe"@acme.example',
    ) == {
        "info@acme.example",
        "ann@acme.example",
        "bob@acme.example",
        "shop@xn--bcher-kva.example",
        "jürgen@acme.example",
        "john doe@acme.example",
    }


@pytest.mark.parametrize(
    "value",
    [
        b"X500:/o=Acme/cn=info@acme.example",
        b"SIP:info@acme.example",
        b"info",
        b"",
        b"@acme.example",
        b"*@acme.example",
        b"a b@acme.example",
        b"<info@acme.example>",
        b"info@acme.example, bob@acme.example",
        b"\xff@acme.example",
        b"in\x00fo@acme.example",
        b"a" * 250 + b"@acme.example",
    ],
)
def test_what_is_no_address_is_passed_over(value: bytes) -> None:
    """One odd value costs no other recipient."""
    assert _found(value, b"info@acme.example") == {"info@acme.example"}
