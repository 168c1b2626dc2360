"""Which version a database is of, and which ones this program knows. Which of them get on together: relay.revisions."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import Connection, inspect

from relay import revisions as compatible
from relay.errors import DatabaseNewer

MIGRATIONS = Path(__file__).parent.parent / "migrations"


def revisions() -> list[str]:
    """What this program knows, oldest first: a migration's file has the name of its revision, and they are in a row.

    Alembic, which takes longer to load than most commands to run, is needed for upgrading alone.
    """
    return sorted(path.stem for path in (MIGRATIONS / "versions").glob("[0-9]*.py"))


def floor() -> str:
    """The oldest revision whose programs can work with a database that this program has upgraded."""
    from alembic.config import Config
    from alembic.script import ScriptDirectory

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    scripts = list(ScriptDirectory.from_config(config).walk_revisions())[::-1]
    return compatible.floor((one.revision, getattr(one.module, "compatible_from", one.revision)) for one in scripts)


def revision_of(connection: Connection) -> str | None:
    """The revision that the database is at; None where it has no tables yet."""
    if not inspect(connection).has_table("alembic_version"):
        return None
    found: str | None = connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalar()
    return found


def newer(name: str) -> DatabaseNewer:
    """What is said of a database that this program is too old for."""
    return DatabaseNewer(f"{name} was made by a newer version of this program; install that version")
