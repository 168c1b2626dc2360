"""Nodes: asked to drain, of which revision, and what they see of an appliance that another one can't reach; which
programs can work with this database."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0020_nodes"
down_revision = "0018_tls"
compatible_from = "0018_tls"


def upgrade() -> None:
    op.add_column("nodes", sa.Column("drain_at", sa.Float))
    op.add_column("nodes", sa.Column("revision", sa.String))
    op.create_table("compatibility", sa.Column("revision", sa.String, primary_key=True))
    op.create_table(
        "looks",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("node", sa.String, nullable=False),
        sa.Column("appliance_id", sa.Integer, nullable=False),
        sa.Column("primaries", sa.JSON, nullable=False),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "sights",
        sa.Column("look_id", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("node", sa.String, primary_key=True),
        sa.Column("reaches", sa.Boolean),
        sa.Column("said", sa.String, nullable=False),
    )
    op.create_table(
        "blind_spots",
        sa.Column("appliance_id", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("node", sa.String, primary_key=True),
        sa.Column("primaries", sa.JSON, nullable=False),
        sa.Column("since", sa.Float, nullable=False),
        sa.Column("said", sa.String, nullable=False),
    )
