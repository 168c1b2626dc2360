"""Sections about the node itself: who it is, whom it asks, where it is measured, how its own data is saved."""

from __future__ import annotations

import socket
from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from relay.settings.section import Positive, Section
from relay.values import parse_duration

SQLITE, POSTGRESQL = "sqlite:///", r"postgresql(\+psycopg)?://"


class Node(Section):
    """Who this node is, and where its data lies. ``mx_names`` and ``mx_addresses``: how the DNS names this cluster.
    ``database_direct``: where ``database`` goes by PgBouncer, the same database without it, for LISTEN. ``folder``:
    what a node on PostgreSQL keeps on its own machine, a few KiB; with SQLite that is beside the database."""

    name: str = Field(
        default_factory=lambda: socket.gethostname().split(".")[0] or "relay", pattern=r"^[A-Za-z0-9._-]+$"
    )
    hostname: str = Field(default_factory=socket.getfqdn, min_length=1)
    postmaster: str = ""
    mx_names: list[str] = []
    mx_addresses: list[str] = []
    database: str = Field(default="sqlite:///var/relay.db", pattern=rf"^({SQLITE}|{POSTGRESQL}).+")
    database_direct: str = Field(default="", pattern=rf"^({POSTGRESQL}.+)?$")
    folder: str = Field(default="var", min_length=1)


class Dns(Section):
    """``resolvers``: "host" or "host:port"; empty: the system's. ``timeout``: seconds a look-up may take in all."""

    resolvers: list[str] = []
    timeout: Positive = 5.0


class Metrics(Section):
    """Where Prometheus asks; empty for none."""

    listen: str = "127.0.0.1:9125"


def _or_never(given: Any) -> float:
    return 0.0 if str(given).strip() in ("0", "never") else parse_duration(given)


class Backup(Section):
    """The relay's own database. ``max_age``: of its last backup before ``relayctl doctor`` warns; "never": somebody
    else saves it."""

    max_age: Annotated[float, BeforeValidator(_or_never)] = 2 * 86400.0
