"""How many messages may wait for a domain, and how many do."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0012_limits"
down_revision = "0011_refusals"


def upgrade() -> None:
    op.add_column("domains", sa.Column("quota_messages", sa.Integer, nullable=False, server_default="0"))
    op.add_column("depths", sa.Column("messages", sa.Integer, nullable=False, server_default="0"))
    _count_what_waits()


def _count_what_waits() -> None:
    """A message counts once for each domain that it has recipients at; nodes' rows are summed, so any will do."""
    depths = sa.table("depths", *(sa.column(name) for name in ("appliance_id", "domain", "node", "messages")))
    recipients = sa.table("recipients", *(sa.column(name) for name in ("appliance_id", "domain", "message_id")))
    counts = sa.select(
        recipients.c.appliance_id, recipients.c.domain, sa.func.count(sa.distinct(recipients.c.message_id))
    ).group_by(recipients.c.appliance_id, recipients.c.domain)
    connection = op.get_bind()
    for appliance_id, domain, messages in connection.execute(counts).all():
        of_domain = sa.and_(depths.c.appliance_id == appliance_id, depths.c.domain == domain)
        node = connection.execute(sa.select(sa.func.min(depths.c.node)).where(of_domain)).scalar_one()
        connection.execute(sa.update(depths).where(of_domain, depths.c.node == node).values(messages=messages))
