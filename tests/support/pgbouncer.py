"""PgBouncer, of Debian, before a PostgreSQL of tests.support.postgres: a session for each transaction.

with pooler(postgres, tmp_path) as pooled:
    Database(pooled(url))
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support.postgres import USER, PostgresCluster, as_somebody
from tests.support.processes import free_port, listens, need, running, tail
from tests.support.waiting import wait_until

CONFIGURATION = """
[databases]
* = host=127.0.0.1 port={server} user={user}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = any
pool_mode = transaction
default_pool_size = 3
"""


@contextmanager
def pooler(postgres: PostgresCluster, folder: Path) -> Iterator[Callable[[str], str]]:
    """One that runs, with three sessions for each database; the URL by which it gives one of the server's."""
    program, port = need("pgbouncer", "pgbouncer"), free_port()
    configuration, log = postgres.folder / f"pgbouncer-{port}.ini", folder / "pgbouncer.log"
    configuration.write_text(CONFIGURATION.format(server=postgres.port, user=USER, port=port))
    with running([*as_somebody(), program, configuration], log) as process:
        wait_until(lambda: listens(port) or process.poll() is not None)
        assert process.poll() is None, f"pgbouncer ended:\n{tail(log)}"
        yield lambda url: url.replace(f":{postgres.port}/", f":{port}/")
