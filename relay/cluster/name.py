"""A node's name, which one process has at a time on a database.

Promises: a second start under a name is refused in words while the first process lives. On one machine a lock on a
file says so at once, by the kernel, which forgets it when the process dies. A node on another machine is known by its
counter (relay.cluster.lease): it moves. What can't be is a name that is kept by a process that has died: who held the
lock last stands in the file, so that a restart needn't watch anybody.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
from pathlib import Path

from sqlalchemy import Connection, select

from relay.cluster.tables import nodes
from relay.db import Database
from relay.errors import StartFailed

LATE = 1.0
"""Seconds by which a renewal may come late."""
LOOK = 0.1


def lock(path: Path, name: str, instance: str) -> tuple[int, str]:
    """Hold the file for as long as this process lives; the handle, and the instance that held it before, if any.

    Raises StartFailed where another process holds it.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise StartFailed(f"can't make {path}: {error.strerror}") from error
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        pid, _ = _holder(handle)
        os.close(handle)
        raise StartFailed(f"node {name} is already running (pid {pid})") from None
    _, before = _holder(handle)
    os.truncate(handle, 0)
    os.pwrite(handle, f"{os.getpid()} {instance}\n".encode(), 0)
    return handle, before


async def make_sure(db: Database, name: str, before: str, renew: float) -> None:
    """Raises StartFailed where a process on another machine has the name. ``before``: who held our lock before us;
    ``renew``: seconds between the renewals of a node that lives."""
    if db.path is not None:
        return  # whoever uses the file sees the lock beside it
    last = await db.run(_running, name)
    if last is None or last[0] == before:
        return
    loop = asyncio.get_running_loop()
    deadline = loop.time() + renew + LATE
    while loop.time() < deadline:
        await asyncio.sleep(LOOK)
        found = await db.run(_running, name)
        if found is None:
            return
        if found != last:
            raise StartFailed(f"node {name} is already running on another machine; [node] name must differ")


def _running(connection: Connection, name: str) -> tuple[str, int] | None:
    """The instance and the counter of a node that hasn't stopped."""
    row = connection.execute(
        select(nodes.c.instance, nodes.c.counter).where(nodes.c.name == name, nodes.c.stopped_at.is_(None))
    ).first()
    return (row.instance, row.counter) if row else None


def _holder(handle: int) -> tuple[str, str]:
    """Its process number and instance, as it wrote them."""
    pid, _, instance = os.pread(handle, 100, 0).decode("ascii", "replace").strip().partition(" ")
    return pid or "unknown", instance
