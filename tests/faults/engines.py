"""What a node may keep its mail in: a name, and a database of its own for each story.

Faults are told once, for whichever of these is asked for; those that are about one alone say so. Another engine is a
context manager and a line in ``ENGINES``; a fault of the database itself makes an engine of its own server.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.support.postgres import PostgresCluster, server

DISK = Path("/var/tmp")
"""A disk on any system, where /tmp may be memory, on which nothing has to be durable."""


@dataclass(frozen=True, slots=True)
class Engine:
    """``database(folder)``: a context that gives the URL of an empty database, with its files, if it has any there,
    in ``folder``."""

    name: str
    title: str
    database: Callable[[Path], AbstractContextManager[str]]


@contextmanager
def _sqlite(folder: Path) -> Iterator[str]:
    yield f"sqlite:///{folder / 'relay.db'}"


@contextmanager
def _postgresql(folder: Path) -> Iterator[str]:
    # Not in a folder that is ours alone: the server is somebody else.
    with server(parent=DISK) as cluster:
        yield cluster.fresh()


def on(cluster: PostgresCluster) -> Engine:
    """Databases of a server that runs already."""

    @contextmanager
    def database(folder: Path) -> Iterator[str]:
        yield cluster.fresh()

    return Engine("postgresql", "PostgreSQL", database)


SQLITE = Engine("sqlite", "SQLite", _sqlite)
POSTGRESQL = Engine("postgresql", "PostgreSQL", _postgresql)
ENGINES = {engine.name: engine for engine in (SQLITE, POSTGRESQL)}
