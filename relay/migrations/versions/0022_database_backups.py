"""The backups of this database, the restores that made it what it is, and the numbers that tickets go on from."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0022_database_backups"
down_revision = "0021_people"

Number = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "database_backups",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("made_at", sa.Float, nullable=False),
        sa.Column("seconds", sa.Float, nullable=False),
        sa.Column("place", sa.String, nullable=False),
        sa.Column("size", Number, nullable=False),
        sa.Column("sound", sa.Boolean, nullable=False),
    )
    op.create_table(
        "database_restores",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("restored_at", sa.Float, nullable=False),
        sa.Column("made_at", sa.Float, nullable=False),
        sa.Column("place", sa.String, nullable=False),
        sa.Column("restored_by", sa.String, nullable=False),
        sa.Column("held", sa.Boolean, nullable=False),
    )
    op.create_table(
        "ticket_numbers",
        sa.Column("name", sa.String, primary_key=True),
        sa.Column("first", sa.Integer, nullable=False),
    )
