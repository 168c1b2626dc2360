"""PgBouncer, of Debian, before a PostgreSQL of tests.support.postgres: a session for each transaction.

with pooler(postgres, tmp_path) as pooled:
    Database(pooled(url))
    pooled.go_to(another)
"""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Iterator
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
server_connect_timeout = 2
server_login_retry = 1
"""


class Pooler:
    """Made by :func:`pooler`; called with the URL of a database it says the one by which it gives it."""

    def __init__(self, postgres: PostgresCluster, port: int) -> None:
        self._port = port
        self._first = postgres.port
        self.configuration = postgres.folder / f"pgbouncer-{port}.ini"
        self.process: subprocess.Popen[bytes]
        self._write(postgres)

    def __call__(self, url: str) -> str:
        return url.replace(f":{self._first}/", f":{self._port}/")

    def go_to(self, postgres: PostgresCluster) -> None:
        """From now on it makes its sessions at another server; those that are in use stay where they are."""
        self._write(postgres)
        self.process.send_signal(signal.SIGHUP)

    def _write(self, postgres: PostgresCluster) -> None:
        self.configuration.write_text(CONFIGURATION.format(server=postgres.port, user=USER, port=self._port))


@contextmanager
def pooler(postgres: PostgresCluster, folder: Path) -> Iterator[Pooler]:
    """One that runs, with three sessions for each database."""
    program, port = need("pgbouncer", "pgbouncer"), free_port()
    pooled, log = Pooler(postgres, port), folder / "pgbouncer.log"
    with running([*as_somebody(), program, pooled.configuration], log) as process:
        wait_until(lambda: listens(port) or process.poll() is not None)
        assert process.poll() is None, f"pgbouncer ended:\n{tail(log)}"
        pooled.process = process
        yield pooled
