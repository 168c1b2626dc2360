"""No node lives on a SQLite file, and none begins meanwhile: the locks of all their names are held.

A node holds the lock of its name, a file beside the database, for as long as its process lives.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from relay.errors import Refused


@contextmanager
def quiet(path: Path) -> Iterator[None]:
    """Hold every name that ever ran on the database at ``path``. Raises Refused where one runs."""
    with ExitStack() as stack:
        running = []
        for lock in sorted(path.parent.glob(f"{path.name}.*.lock")):
            handle = os.open(lock, os.O_RDONLY)
            stack.callback(os.close, handle)
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                running.append(lock.name.removeprefix(f"{path.name}.").removesuffix(".lock"))
        if running:
            raise Refused(living(running, str(path)))
        yield


def living(names: list[str], where: str) -> str:
    """What an operator is told."""
    nodes = f"node {names[0]} runs" if len(names) == 1 else f"nodes {', '.join(names)} run"
    return f"{nodes} on {where}: stop {'it' if len(names) == 1 else 'them'} first ('systemctl stop relay')"
