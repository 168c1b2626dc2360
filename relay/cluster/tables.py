"""Tables of the cluster: its nodes, who owns which appliance, and the key that only its nodes know."""

from __future__ import annotations

from sqlalchemy import JSON, Boolean, Column, Float, Integer, LargeBinary, String, Table

from relay.db import metadata

# One row a node, which stays when it stops. ``counter`` is the lease: others judge a node by whether it moves, never
# by the wall times beside it, which are for people. ``instance`` tells two starts of one name apart. ``drain_at``: when
# an operator asked it to own nothing, which outlives its restarts. ``revision``: of the database, that its program is
# made for; NULL where it didn't say so yet. ``behind``: ids of appliances that it owns and that count as up, but whose
# probes don't keep their schedule; NULL: it vouches for none. ``skew``: how far its time is ahead
# of the database server's; NULL where there is none.
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
    Column("drain_at", Float),
    Column("revision", String),
    Column("behind", JSON),
    Column("skew", Float),
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

# What a node would like the others to look at: an appliance that it can't reach at ``primaries``. Numbers only grow.
looks = Table(
    "looks",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("node", String, nullable=False),
    Column("appliance_id", Integer, nullable=False),
    Column("primaries", JSON, nullable=False),
    sqlite_autoincrement=True,
)

# What another node saw when it looked; NULL where it can't tell. Goes with the look.
sights = Table(
    "sights",
    metadata,
    Column("look_id", Integer, primary_key=True, autoincrement=False),
    Column("node", String, primary_key=True),
    Column("reaches", Boolean),
    Column("said", String, nullable=False),
)

# From where an appliance can't be reached, though from another node it can.
blind_spots = Table(
    "blind_spots",
    metadata,
    Column("appliance_id", Integer, primary_key=True, autoincrement=False),
    Column("node", String, primary_key=True),
    Column("primaries", JSON, nullable=False),
    Column("since", Float, nullable=False),
    Column("said", String, nullable=False),
)

# One row: what the addresses of synthetic messages are signed with.
cluster_secret = Table(
    "cluster_secret",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("secret", LargeBinary, nullable=False),
)
