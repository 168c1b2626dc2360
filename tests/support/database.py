"""A real, migrated database in a folder of the test's own."""

from __future__ import annotations

from pathlib import Path

from relay.db import Database, upgrade


def make_database(folder: Path) -> Database:
    """An empty database of this program's version; the caller closes it."""
    url = f"sqlite:///{folder / 'relay.db'}"
    upgrade(url)
    return Database(url)
