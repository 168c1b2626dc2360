"""Values as people write them, in relay.toml and behind options: sizes, durations, addresses, time zones, block lists,
URLs, secrets.

Each is read by one function, which says in a sentence what a value should be: ValueError, for whoever knows the key to
name it. Pure. (Networks have a room of their own.)
"""

from __future__ import annotations

import ipaddress
import re
from base64 import b64decode
from binascii import Error as NotBase64
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

_UNITS = {
    "": 1,
    "B": 1,
    "KB": 1000,
    "MB": 1000**2,
    "GB": 1000**3,
    "TB": 1000**4,
    "KIB": 1024,
    "MIB": 1024**2,
    "GIB": 1024**3,
}


def parse_size(text: str | int) -> int:
    """Bytes of ``10GB``, ``512 MiB`` or a plain number; ValueError where it is none of these."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([A-Za-z]*)", str(text).strip())
    if not match or match[2].upper() not in _UNITS:
        raise ValueError("should be a size such as 50MB or 512MiB")
    return int(float(match[1]) * _UNITS[match[2].upper()])


def parse_duration(text: str | int) -> int:
    """Seconds of ``14d``, ``12h``, ``90m``, ``30s``. Raises ValueError with a sentence."""
    match = re.fullmatch(r"(\d+)\s*([smhdw])", str(text).strip().lower())
    if not match or int(match[1]) == 0:
        raise ValueError(f"{text!r} should be a time such as 14d, 12h or 90m")
    return int(match[1]) * {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}[match[2]]


def parse_address(text: str) -> tuple[str, int]:
    """``host:port`` (``[::1]:25`` for IPv6) as (host, port); ValueError where it is none."""
    match = re.fullmatch(r"(?:\[([0-9A-Fa-f:.]+)\]|([^\s:\[\]]*)):(\d{1,5})", text.strip())
    if not match or int(match[3]) > 65535:
        raise ValueError(f"{text!r} should be host:port, for example 127.0.0.1:2525 or [::1]:25")
    return match[1] or match[2] or "0.0.0.0", int(match[3])


def check_zone(name: str) -> str:
    """The name of a time zone, as it is; ValueError where there is none of that name."""
    try:
        ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        raise ValueError(f"{name!r} should be a time zone such as Europe/Berlin") from None
    return name


def parse_blocklist(text: str) -> tuple[str, tuple[tuple[int, int], ...]]:
    """``zone`` or ``zone=127.0.0.2,127.0.0.4-8`` as the zone and the answers that count, each as the numbers of a first
    and a last address; none where all do. ValueError where it is neither."""
    zone, equals, answers = text.strip().lower().partition("=")
    zone = zone.rstrip(".")
    wrong = f"{text!r} should be a zone, or zone=127.0.0.2,127.0.0.4-8 with the answers that count"
    if not re.fullmatch(r"[a-z0-9_-]{1,63}(\.[a-z0-9_-]{1,63})+", zone):
        raise ValueError(wrong)
    ranges = []
    for answer in answers.split(",") if equals else ():
        first, _, last = answer.strip().partition("-")
        try:
            lowest = ipaddress.IPv4Address(first)
            highest = ipaddress.IPv4Address(f"{first.rpartition('.')[0]}.{last}") if last else lowest
        except ValueError:
            raise ValueError(wrong) from None
        ranges.append((int(lowest), int(highest)))
    return zone, tuple(ranges)


def check_url(text: str) -> str:
    """An address of the web without a user in it, as it is; ValueError where it is none."""
    wrong = f"{text!r} should be a URL such as https://desk.example/hooks/relay"
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        raise ValueError(wrong) from None
    if parts.scheme not in ("http", "https") or not parts.hostname or port == 0 or not text.isprintable():
        raise ValueError(wrong)
    if parts.username is not None or " " in text:
        raise ValueError(wrong)
    return text


def check_secret(text: str) -> str:
    """A secret of Standard Webhooks, ``whsec_`` and 24 to 64 octets in base64, as it is; ValueError otherwise."""
    try:
        size = len(b64decode(text.removeprefix("whsec_"), validate=True)) if text.startswith("whsec_") else 0
    except (NotBase64, ValueError):
        size = 0
    if not 24 <= size <= 64:
        raise ValueError("should be whsec_ and 24 to 64 random octets in base64 ('openssl rand -base64 32')")
    return text
