"""What has to change in a database that was restored from a backup, before a node may begin with it.

What happened since the moment that it shows has happened all the same: nodes that lived then don't live on it, and
numbers that were given since are known to primaries and helpdesks, and mean something else there. Tickets keep the
names by which a helpdesk knows them, so that what it was told already isn't told twice.

Works inside the caller's transaction, on tables of this program's version.
"""

from __future__ import annotations

from sqlalchemy import Connection

from relay.appliances import progress
from relay.backup.manifest import Manifest
from relay.backup.record import Made, Restored, remember, remember_restore
from relay.cluster import lease
from relay.queue import renumber
from relay.tickets import numbering


def settle(connection: Connection, about: Manifest, size: int, restored: Restored) -> None:
    """``size``: bytes of the backup."""
    lease.abandon(connection, restored.restored_at)
    progress.forget_all(connection)
    renumber.skip(connection, restored.restored_at - about.made_at)
    numbering.skip(connection)
    # The backup itself was noted only after its moment.
    remember(connection, Made(about.made_at, 0.0, restored.place, size, not about.faults))
    remember_restore(connection, restored)
