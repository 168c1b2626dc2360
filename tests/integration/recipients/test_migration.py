"""Lists that were kept before anybody asked where they came from."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from alembic import command
from alembic.config import Config
from sqlalchemy import text

from relay import db as relay_db
from relay.appliances import store
from relay.db import Database
from relay.recipients import lists
from relay.recipients.entry import Entry, Source
from relay.recipients.lists import Listed

APPLIANCE = """INSERT INTO appliances (id, name, customer, primaries, business_hours, timezone, holidays, activation,
    contacts, hidden, skip_proofs, created_at)
    VALUES (1, 'gold', 'Gold', '[]', 'always', 'UTC', '', 'manual', '[]', 0, '[]', 0)"""
DOMAIN = """INSERT INTO domains (id, name, appliance_id, recipients, when_up, lifetime, quota, created_at)
    VALUES (7, 'gold.example', 1, 'listed', 'relay', 1, 1, 0)"""
LISTED = "INSERT INTO recipients_list (domain_id, local, added_at) VALUES (7, 'ann', 1.5), (7, 'bob', 2.5)"


def test_what_was_listed_before_is_the_operators(tmp_path: Path) -> None:
    """Nobody gets lost with the upgrade, and extensions begin with + as they did."""
    database = _at_revision(tmp_path, "0007_delivery")
    with database.write() as connection:
        for statement in (APPLIANCE, DOMAIN, LISTED):
            connection.execute(text(statement))
    database.close()
    relay_db.upgrade(database.url)
    database = Database(database.url)
    with database.write() as connection:
        domain = store.get_domain(connection, "gold.example")
        assert domain.plus_addressing == "+"
        assert lists.list_all(connection, domain) == [
            Listed(Entry("ann"), Source.OPERATOR, 1.5),
            Listed(Entry("bob"), Source.OPERATOR, 2.5),
        ]
        assert lists.versions(connection).keys() == {7}
        assert lists.add(connection, domain, ["cid"], 3.0) == 1
        assert len(lists.list_all(connection, domain)) == 3
    database.close()


def _at_revision(folder: Path, revision: str) -> Database:
    """A database as it was at a revision."""
    path = folder / "relay.db"
    with closing(sqlite3.connect(path)) as raw:
        raw.execute("PRAGMA auto_vacuum=INCREMENTAL")
        raw.execute("PRAGMA journal_mode=WAL")
    database = Database(f"sqlite:///{path}", check=False)
    config = Config()
    config.set_main_option("script_location", str(relay_db.MIGRATIONS))
    with database.write() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, revision)
    return database
