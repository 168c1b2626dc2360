"""Tables of the cluster: its nodes, who owns which appliance, and the key that only its nodes know."""

from __future__ import annotations

from sqlalchemy import JSON, Column, Float, Integer, LargeBinary, String, Table

from relay.db import metadata

# One row a node, which stays when it stops. ``counter`` is the lease: others judge a node by whether it moves, never
# by the wall times beside it, which are for people. ``instance`` tells two starts of one name apart.
nodes = Table(
    "nodes",
    metadata,
    Column("name", String, primary_key=True),
    Column("instance", String, nullable=False),
    Column("hostname", String, nullable=False),
    Column("version", String, nullable=False),
    Column("listeners", JSON, nullable=False),
    Column("counter", Integer, nullable=False),
    Column("started_at", Float, nullable=False),
    Column("heartbeat_at", Float, nullable=False),
    Column("stopped_at", Float),
    Column("settles_at", Float),
    Column("drift", Float, nullable=False),
    Column("isolated", String, nullable=False),
)

# Who begins work for an appliance; ``node`` is None between a release and the next claim, ``epoch`` only ever grows.
# Without a foreign key: appliance 0 is the relay's own postmaster, which is in no table.
owners = Table(
    "owners",
    metadata,
    Column("appliance_id", Integer, primary_key=True, autoincrement=False),
    Column("node", String),
    Column("epoch", Integer, nullable=False),
)

# One row: what the addresses of synthetic messages are signed with.
cluster_secret = Table(
    "cluster_secret",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("secret", LargeBinary, nullable=False),
)
