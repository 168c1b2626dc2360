"""What a domain's SPF policy says of a client (RFC 7208), evaluated by pyspf.

Only a pass for the domain of MAIL FROM counts. A pass that any address would get (``+all``, ``0.0.0.0/0``, an
``exists`` that always does) doesn't: it is what a domain says that doesn't care who uses its name, so that a report to
it would go to whoever was named. To find out, the policy is asked about addresses that nobody sends from.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import spf

from relay.delivery.reports.lookups import Lookups
from relay.errors import LookupFailed
from relay.networks import plain

NOWHERE = {4: ("0.0.0.1", "255.255.255.254"), 6: ("100::1", "fec0::1")}
"""One of the lower and one of the upper half of all addresses (RFC 6890, RFC 3879): half the world is anybody."""


RECORD_LIMIT = 8192
"""Octets of a policy; every one of its terms may grow with what its macros stand for."""


def allows(local: str, domain: str, ip: str, helo: str, hostname: str, lookups: Lookups) -> tuple[bool, str]:
    """Whether the policy of ``domain`` passes mail of ``local@domain`` from ``ip``, and a line about it.

    Raises LookupFailed where that can't be known now.
    """
    ip = plain(ip)

    def result(address: str) -> str:
        return _Query(local, domain, address, helo, hostname, lookups).result()

    said = result(ip)
    if said != "pass":
        return False, f"SPF of {domain} says {said} for {ip}"
    if any(result(nowhere) == "pass" for nowhere in NOWHERE[6 if ":" in ip else 4]):
        return False, f"SPF of {domain} passes anybody"
    return True, f"SPF passes for {domain} from {ip}"


class _Query(spf.query):  # type: ignore[misc]
    """pyspf's evaluation with our look-ups."""

    def __init__(self, local: str, domain: str, ip: str, helo: str, hostname: str, lookups: Lookups) -> None:
        self._lookups = lookups
        super().__init__(i=None, s=f"{local}@{domain}", h=helo, receiver=hostname)
        # Not as pyspf would split it: at the first @, which may be a quoted one.
        self.l, self.o, self.d = local, domain, domain
        self._ip = ip

    def result(self) -> str:
        """``pass``, ``none``, ``permerror`` … Raises LookupFailed instead of ``temperror``."""
        try:
            self.set_ip(self._ip)
            said = str(self.check()[0])
        except LookupFailed:
            raise
        except Exception:  # a stranger's record at which pyspf itself breaks says nothing
            return "permerror"
        return said

    def dns(self, name: str, qtype: str, cnames: object = None, ignore_void: bool = False) -> list[Any]:
        """pyspf's one way to the DNS; records in its own shapes. ``cnames`` is dnspython's to follow."""
        records = self._lookups.ask(str(name), qtype)
        if not records and not ignore_void:
            self.void_lookups += 1
            if self.void_lookups > spf.MAX_VOID_LOOKUPS:
                raise spf.PermError(f"more than {spf.MAX_VOID_LOOKUPS} look-ups found nothing")
        found = [_SHAPES[qtype](record) for record in records]
        if qtype == "TXT" and any(_too_long(strings) for strings in found):
            raise spf.PermError("the policy is too long")
        return found


def _too_long(strings: Sequence[bytes]) -> bool:
    return sum(map(len, strings)) > RECORD_LIMIT and strings[0][:6].lower() == b"v=spf1"


_SHAPES: dict[str, Callable[[Any], Any]] = {
    "A": lambda record: record.address,
    "AAAA": lambda record: record.address,
    "MX": lambda record: (record.preference, record.exchange.to_text(omit_final_dot=True)),
    "PTR": lambda record: record.target.to_text(omit_final_dot=True),
    "TXT": lambda record: record.strings,
}
