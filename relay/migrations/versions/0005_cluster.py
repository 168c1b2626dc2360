"""The cluster: nodes, owners of appliances, wakes, and the secret that its nodes share."""

from __future__ import annotations

import secrets

import sqlalchemy as sa
from alembic import op

revision = "0005_cluster"
down_revision = "0004_continuity"


def upgrade() -> None:
    op.create_table(
        "nodes",
        sa.Column("name", sa.String, primary_key=True),
        sa.Column("instance", sa.String, nullable=False),
        sa.Column("hostname", sa.String, nullable=False),
        sa.Column("version", sa.String, nullable=False),
        sa.Column("listeners", sa.JSON, nullable=False),
        sa.Column("counter", sa.Integer, nullable=False),
        sa.Column("started_at", sa.Float, nullable=False),
        sa.Column("heartbeat_at", sa.Float, nullable=False),
        sa.Column("stopped_at", sa.Float),
        sa.Column("settles_at", sa.Float),
        sa.Column("drift", sa.Float, nullable=False),
        sa.Column("isolated", sa.String, nullable=False),
    )
    op.create_table(
        "owners",
        sa.Column("appliance_id", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("node", sa.String),
        sa.Column("epoch", sa.Integer, nullable=False),
    )
    op.create_table(
        "wakes",
        sa.Column("appliance_id", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("number", sa.Integer, nullable=False, index=True),
    )
    cluster_secret = op.create_table(
        "cluster_secret",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("secret", sa.LargeBinary, nullable=False),
    )
    if op.get_bind().dialect.name == "postgresql":
        _tell_of_commits()
    op.bulk_insert(cluster_secret, [{"id": 1, "secret": secrets.token_bytes(32)}])


def _tell_of_commits() -> None:
    """Whoever changes what nodes look at tells them, with the commit (SQLite is asked instead)."""
    op.execute(
        "CREATE FUNCTION tell_nodes() RETURNS trigger LANGUAGE plpgsql AS "
        "$$BEGIN PERFORM pg_notify('relay', ''); RETURN NULL; END$$"
    )
    for table in ("facts_version", "wakes"):
        op.execute(
            f"CREATE TRIGGER tell_nodes AFTER INSERT OR UPDATE ON {table} "
            "FOR EACH STATEMENT EXECUTE FUNCTION tell_nodes()"
        )
