"""What is fuzzed of reports to senders: what strangers wrote, published and signed."""

from __future__ import annotations

from types import SimpleNamespace

import dns.name

from relay.delivery.reports.body import Message
from relay.delivery.reports.compose import About, Original
from relay.delivery.reports.lookups import Lookups
from relay.delivery.reports.policy import allows
from relay.delivery.reports.signature import signed
from tests.unit.delivery.reports.test_compose import check_form, made


def report(octets: bytes) -> None:
    """Whatever is in addresses, replies and headers, a report keeps its form."""
    pieces = [piece.decode("utf-8", "replace") for piece in octets.split(b"|", 7)] + [""] * 8
    original = Original(pieces[0] or "a@b", pieces[1], pieces[2], 0.0, pieces[3], False, len(octets))
    about = [About(pieces[4], pieces[5], "failed", pieces[6], pieces[7], 0.0, None)]
    check_form(made(original, about, octets), original, about)


def policy(octets: bytes) -> None:
    """Any record is evaluated in bounded time, whatever name the client gave, and makes one line for an operator."""
    _, line = allows("a", "world.example", "192.0.2.1", octets.decode("latin-1"), "relay.example", _lookups(octets))
    assert line.isprintable()


def signature(octets: bytes) -> None:
    """Any header and any key are looked at in bounded time; nobody signs by chance."""
    value = b"v=1; a=rsa-sha256; d=world.example; s=s; h=from; " + octets
    for header in (octets, b"From: a@b\r\nDKIM-Signature: " + value + b"\r\n"):
        content = header + b"\r\n\r\nbody\r\n"
        vouched, line = signed(Message(content, lambda: None), "world.example", _lookups(octets), 0.0)
        assert not vouched
        assert line.isprintable()


def _lookups(octets: bytes) -> Lookups:
    return Lookups(_Names(octets), 0.0)  # type: ignore[arg-type]


class _Names:
    """Stands for resolvers to whom every name has what a stranger publishes."""

    def __init__(self, octets: bytes) -> None:
        self._records = {
            "TXT": [SimpleNamespace(strings=(octets,))],
            "A": [SimpleNamespace(address="192.0.2.1")],
            "AAAA": [SimpleNamespace(address="2001:db8::1")],
            "MX": [SimpleNamespace(preference=1, exchange=dns.name.from_text("mx.world.example"))],
            "PTR": [SimpleNamespace(target=dns.name.from_text("host.world.example"))],
        }

    def ask(self, _name: dns.name.Name, kind: str, _until: float) -> list[SimpleNamespace]:
        return self._records[kind]
