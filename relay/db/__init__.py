"""The database: engine and transactions (database.py), its version and its upgrades; migrations/ is beside it."""

from relay.db.database import READERS, Database, metadata, place, server_time
from relay.db.upgrading import upgrade
from relay.db.versions import MIGRATIONS, floor, revisions

__all__ = ["MIGRATIONS", "READERS", "Database", "floor", "metadata", "place", "revisions", "server_time", "upgrade"]
