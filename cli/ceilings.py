"""How hard a primary may be pressed when its mail is handed back: what an operator says, and how it is shown."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from relay.appliances.model import Appliance
from relay.errors import Refused
from relay.settings import MOST_CONNECTIONS, Delivery

SLOWEST, FASTEST = 0.01, 100_000.0
"""Messages a second: bounds of what is a ceiling and not a mistake."""


def ceilings(values: Mapping[str, Any]) -> dict[str, Any]:
    """Those of the options that were given, read; None where one says 'none'. Raises Refused."""
    readers = {"max_connections": _connections, "max_rate": _rate}
    found = {}
    for name, read in readers.items():
        if name in values:
            text = values[name].strip()
            found[name] = None if text == "none" else read(text)
    return found


def ceilings_in_words(appliance: Appliance, settings: Delivery) -> dict[str, Any]:
    """For 'appliance show'."""
    own = appliance.max_connections
    return {
        "max_connections": own or f"{settings.max_connections} ([delivery] max_connections)",
        "max_rate": rate(appliance.max_rate),
    }


def rate(messages: float | None) -> str:
    return "" if messages is None else f"{messages:g} messages a second"


def _connections(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 9 and 1 <= int(text) <= MOST_CONNECTIONS):
        raise Refused(f"--max-connections: {text!r} should be a number from 1 to {MOST_CONNECTIONS}, or none")
    return int(text)


def _rate(text: str) -> float:
    number = float(text) if re.fullmatch(r"[0-9]{1,9}(\.[0-9]{1,6})?", text) else 0.0
    if not SLOWEST <= number <= FASTEST:
        raise Refused(
            f"--max-rate: {text!r} should be messages a second, from {SLOWEST} to {FASTEST:.0f}, or none for any number"
        )
    return number
