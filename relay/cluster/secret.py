"""The secret that only the nodes of this cluster know: 32 random bytes, made with the tables and never changed."""

from __future__ import annotations

from sqlalchemy import Connection, select

from relay.cluster.tables import cluster_secret


def secret(connection: Connection) -> bytes:
    """The key of this cluster's own signatures (HMAC)."""
    return bytes(connection.execute(select(cluster_secret.c.secret)).scalar_one())
