"""What the tables of mail need on PostgreSQL: numbers that nodes draw side by side, and care for rows that churn."""

from __future__ import annotations

from alembic import op

revision = "0024_postgresql_queue"
down_revision = "0023_taken"

CHURNING = ("content", "messages", "recipients", "incoming", "ledger", "depths", "arrivals")


def upgrade() -> None:
    if op.get_bind().dialect.name != "postgresql":
        return
    for what in ("message", "content"):
        op.execute(f"CREATE SEQUENCE {what}_numbers")
        op.execute(f"SELECT setval('{what}_numbers', {what} + 1, false) FROM numbers")  # noqa: S608
    # Content is packed already, so that trying to pack it again is lost time.
    op.execute("ALTER TABLE content ALTER COLUMN data SET STORAGE EXTERNAL")
    op.execute("ALTER TABLE reports ALTER COLUMN content SET STORAGE EXTERNAL")
    # Vacuumed after so many dead rows, however large the table is: a drain leaves nothing but dead rows.
    for table in CHURNING:
        op.execute(f"ALTER TABLE {table} SET (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 20000)")
    # Rows that are changed in place find room beside them, and need no new entry in any index.
    for table in ("ledger", "depths", "arrivals"):
        op.execute(f"ALTER TABLE {table} SET (fillfactor = 20, autovacuum_vacuum_threshold = 1000)")
        op.create_index(f"{table}_node", table, ["node"])
