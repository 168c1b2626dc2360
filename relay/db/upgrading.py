"""Makes a database, and brings it up to date, by Alembic's migrations."""

from __future__ import annotations

from relay import revisions as compatible
from relay.db.database import Database
from relay.db.versions import MIGRATIONS, floor, newer, revision_of, revisions


def upgrade(url: str, *, restoring: bool = False) -> tuple[str | None, str]:
    """Make the database, or bring it up to date; returns (revision before, revision after). ``restoring``: it is what
    is being restored. Raises DatabaseError."""
    from alembic import command
    from alembic.config import Config

    database = Database(url, check=False)
    try:
        database.make()
        with database.write() as connection:  # one upgrade at a time, in the whole cluster
            if not restoring:
                database.refuse_unfinished(connection)
            before = revision_of(connection)
            if before is not None and before not in revisions():
                raise newer(database.name)
            config = Config()
            config.set_main_option("script_location", str(MIGRATIONS))
            config.attributes["connection"] = connection
            command.upgrade(config, "head")
            compatible.keep(connection, floor())
            after = revision_of(connection)
    finally:
        database.close()
    return before, str(after)
