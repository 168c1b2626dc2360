"""Values as people write them."""

from __future__ import annotations

import pytest

from relay.values import parse_address, parse_blocklist, parse_size


@pytest.mark.parametrize(("text", "size"), [("10GB", 10**10), ("512 MiB", 2**29), (7, 7), ("1.5kb", 1500)])
def test_sizes(text: str | int, size: int) -> None:
    """Sizes are written as people write them."""
    assert parse_size(text) == size


def test_blocklists() -> None:
    """A zone alone, or with the answers that count, the last number as a range."""
    assert parse_blocklist("BL.Example.") == ("bl.example", ())
    base = 127 << 24
    assert parse_blocklist("bl.example=127.0.0.2, 127.0.0.4-8") == (
        "bl.example",
        ((base + 2, base + 2), (base + 4, base + 8)),
    )


@pytest.mark.parametrize(
    ("text", "address"), [("[::1]:25", ("::1", 25)), (":25", ("0.0.0.0", 25)), ("mx:2525", ("mx", 2525))]
)
def test_addresses(text: str, address: tuple[str, int]) -> None:
    """Listeners are host:port, IPv6 in brackets."""
    assert parse_address(text) == address
