"""The support plan of an appliance, its backups, and the relay's own tickets.

A ticket without an appliance and a customer is the relay's own: one open ticket for each node and condition.
"""

import sqlalchemy as sa
from alembic import op

revision = "0016_backups"
down_revision = "0015_ceilings"

OWN = "appliance_id IS NULL AND customer = '' AND status != 'resolved'"


def upgrade() -> None:
    op.add_column("appliances", sa.Column("plan", sa.String, nullable=False, server_default="gold"))
    op.add_column("appliances", sa.Column("backup_every", sa.Integer, nullable=False, server_default="0"))
    op.create_table(
        "backups",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("appliance_id", sa.Integer, sa.ForeignKey("appliances.id", ondelete="CASCADE"), nullable=False),
        sa.Column("made_at", sa.Float, nullable=False),
        sa.Column("what", sa.String, nullable=False),
        sa.Column("recorded_by", sa.String, nullable=False),
        sa.Column("recorded_at", sa.Float, nullable=False),
    )
    op.create_index("backups_by_appliance", "backups", ["appliance_id", "made_at"])
    op.create_index(
        "one_open_ticket_of_ours",
        "tickets",
        ["appliance", "condition"],
        unique=True,
        sqlite_where=sa.text(OWN),
        postgresql_where=sa.text(OWN),
    )
