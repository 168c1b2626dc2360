"""The address of a synthetic message."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.appliances import proofs

KEY = b"k" * 32
AT = 1_795_000_000.25


@given(at=st.floats(0, 8e9), domain=st.sampled_from(["acme.example", "xn--bcher-kva.example", "a" * 60 + ".example"]))
def test_an_address_proves_itself_for_a_minute(at: float, domain: str) -> None:
    """What was made with the key is recognised at once and a minute later, in a local part that any server takes."""
    address = proofs.make(KEY, domain, at)
    local, _, host = address.rpartition("@")
    assert len(local) <= 64
    assert (address, host) == (address.lower(), domain)
    assert proofs.is_proof(address)
    assert proofs.verify(KEY, address, at)
    assert proofs.verify(KEY, address, at + 59.9)
    assert not proofs.verify(KEY, address, at + 61)


@pytest.mark.parametrize(
    ("address", "key", "now"),
    [
        (proofs.make(KEY, "acme.example", AT), b"o" * 32, AT),
        (proofs.make(KEY, "acme.example", AT), KEY, AT - 6),
        (proofs.make(KEY, "acme.example", AT).replace("acme", "other"), KEY, AT),
        (proofs.make(KEY, "acme.example", AT)[:-14] + "0@acme.example", KEY, AT),
        ("relay-proof-@acme.example", KEY, AT),
        ("relay-proof-zz-00@acme.example", KEY, AT),
        (proofs.make(KEY, "acme.example", AT).rpartition("@")[0], KEY, AT),
        ("user@acme.example", KEY, AT),
    ],
)
def test_what_we_did_not_make_proves_nothing(address: str, key: bytes, now: float) -> None:
    """Another key, domain, time or digit, and what is no such address at all, is refused."""
    assert not proofs.verify(key, address, now)


def test_the_case_of_an_address_does_not_matter() -> None:
    """A proof that comes back in capitals is still one."""
    address = proofs.make(KEY, "Acme.Example", AT).upper()
    assert proofs.is_proof(address)
    assert proofs.verify(KEY, address, AT)


def test_ordinary_addresses_are_no_proofs() -> None:
    """A person's address is never taken for one."""
    assert not proofs.is_proof("relay-prof-1@acme.example")
    assert not proofs.is_proof("")
