"""Which version of the program this is."""

from __future__ import annotations

import importlib.metadata


def version() -> str:
    """That of the installed distribution."""
    return importlib.metadata.version("failover-relay")
