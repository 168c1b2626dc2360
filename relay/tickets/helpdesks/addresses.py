"""Which addresses a webhook may be sent to: public ones. Pure.

Whoever can set or spoof the receiver's name must not get the relay to knock at what only the relay can reach: its own
machine, its network, a cloud's metadata service.
"""

from __future__ import annotations

import ipaddress

_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")  # RFC 6052 2.1


def is_public(text: str) -> bool:
    """Whether an address belongs to the Internet at large; for one of IPv6 that carries one of IPv4 that one counts."""
    address = ipaddress.ip_address(text.partition("%")[0])
    if isinstance(address, ipaddress.IPv6Address):
        if address in _NAT64:
            return is_public(str(ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)))
        inner = address.ipv4_mapped or address.sixtofour or (address.teredo[1] if address.teredo else None)
        if inner is not None:
            return is_public(str(inner))
        if address.is_site_local or int(address) >> 32 == 0:  # fec0::/10, and ::a.b.c.d of old
            return False
    return address.is_global and not address.is_multicast and not address.is_reserved
