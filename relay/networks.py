"""Sets of IP addresses as the settings name them: single addresses, and networks such as 192.0.2.0/24."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable


def parse_network(text: str) -> str:
    """``text`` as it is; ValueError with a sentence where it is neither an address nor a network."""
    try:
        ipaddress.ip_network(text.strip())
    except ValueError:
        raise ValueError(f"{text!r} should be an address or a network, such as 192.0.2.1 or 2001:db8::/64") from None
    return text.strip()


def plain(ip: str) -> str:
    """An address as a socket gives it, without a zone, and IPv4 as IPv4 (RFC 4291 2.5.5.2)."""
    ip = ip.partition("%")[0]
    if not ip.startswith("::ffff:"):
        return ip
    mapped = ipaddress.IPv6Address(ip).ipv4_mapped  # Python before 3.13 writes it in hexadecimal
    return ip if mapped is None else str(mapped)


class Networks:
    """``ip in networks``; made once from texts that are right."""

    __slots__ = ("_networks",)

    def __init__(self, texts: Iterable[str]) -> None:
        self._networks = tuple(ipaddress.ip_network(text) for text in texts)

    def __contains__(self, ip: str) -> bool:
        if not self._networks or not ip:
            return False
        address = ipaddress.ip_address(ip)
        return any(address in network for network in self._networks)
