"""PostgreSQL, of Debian: a private server in a folder of its own, as durable as a real one (fsync is on).

    postgres.fresh()                       the URL of an empty database of this program's version
    postgres.empty()                       … without any tables
    postgres.restart("immediate")          as if the machine had lost power, and come back
    postgres.stop(); postgres.start()
    postgres.kill()                        every process of it, without a word
    with postgres.frozen(): ...            it answers nothing, and closes nothing

One server for all tests of a process (the fixture ``postgres``), which they may not stop; ``server`` makes another,
and tests.support.replication two of which one follows the other.
Its databases sort text as English does and not by code point, as most servers do: who relies on an order says which.
"""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from itertools import count
from pathlib import Path
from urllib.parse import quote

import psycopg
import pytest

from relay.db import upgrade
from tests.support.netns import HERE, Host
from tests.support.processes import cannot, free_port, running, tail
from tests.support.waiting import wait_until

USER = "relay"
PASSWORD = "correct horse"
TEMPLATE = "template_relay"
PLENTY = 4 * 1024**3
ACCESS = """
local   all  all                     trust
host    all  locked   127.0.0.1/32   scram-sha-256
host    all  all      127.0.0.1/32   trust
host    all  all      192.0.2.0/24   trust
host    replication all 127.0.0.1/32 trust
"""


class PostgresCluster:
    """Made by :func:`server`. ``settings``: of postgresql.conf; ``host``: where it runs."""

    def __init__(self, folder: Path, settings: dict[str, str], host: Host = HERE) -> None:
        self.folder = folder
        self.host = host
        self.data = folder / "data"
        self.port = free_port()
        self.log = folder / "postgres.log"
        self._programs = _programs()
        self._numbers = count(1)
        self._made: list[str] = []
        self._process = ExitStack()
        self._settings = {
            "port": str(self.port),
            "listen_addresses": host.address,
            "unix_socket_directories": str(folder),
            "max_connections": "200",
            "dynamic_shared_memory_type": "mmap",  # in its own folder: nothing is left when it was killed
            **settings,
        }

    def url(self, database: str, user: str = USER) -> str:
        return f"postgresql+psycopg://{user}@{self.host.address}:{self.port}/{database}"

    def by_path(self, url: str) -> str:
        """Of the same database, by the server's folder instead of an address: it is reached from every network that
        this machine has."""
        database = url.rpartition("/")[2]
        return f"postgresql+psycopg://{USER}@{quote(str(self.folder), safe='')}:{self.port}/{database}"

    def fresh(self) -> str:
        """The URL of a new database with this program's tables."""
        if not self._has(TEMPLATE):
            self._create(TEMPLATE, "template0")
            upgrade(self.url(TEMPLATE))
        name = self._create(self._name(), TEMPLATE)
        self.execute("UPDATE cluster_secret SET secret = sha256(gen_random_uuid()::text::bytea)", name)
        return self.url(name)

    def empty(self) -> str:
        """The URL of a new database without tables."""
        return self.url(self._create(self._name(), "template0"))

    def copy_of(self, url: str, instead: str | None = None) -> str:
        """The URL of a new database with all that is in this one, which nobody uses at present. ``instead``: of that
        one, by the same name."""
        name = self._name() if instead is None else instead.rpartition("/")[2]
        if instead is not None:
            self.execute(f"DROP DATABASE {name} WITH (FORCE)")
        return self.url(self._create(name, url.rpartition("/")[2]))

    @contextmanager
    def passing(self) -> Iterator[None]:
        """What databases are made within the block are gone after it, whoever still uses them."""
        before = len(self._made)
        try:
            yield
        finally:
            while len(self._made) > before:
                self.execute(f"DROP DATABASE {self._made.pop()} WITH (FORCE)")

    def execute(self, statement: str, database: str = "postgres") -> list[tuple[object, ...]]:
        """As the server's own administrator, outside of any transaction."""
        with psycopg.connect(self._admin(database), autocommit=True) as connection:
            cursor = connection.execute(statement)  # type: ignore[call-overload]
            return list(cursor.fetchall()) if cursor.description else []

    def make(self) -> None:
        """The server's folder, with a user for the relay and one who needs a password."""
        self.run("initdb", "-D", self.data, "-U", "admin", "--no-sync", "--encoding=UTF8", "--locale=C.UTF-8")
        (self.data / "pg_hba.conf").write_text(ACCESS)
        self.start()
        self.execute(f"CREATE ROLE {USER} LOGIN")
        self.execute(f"CREATE ROLE locked LOGIN PASSWORD '{PASSWORD}'")

    def start(self) -> None:
        argv = [self._programs / "postgres", "-D", self.data]
        argv += [f"--{name}={value}" for name, value in self._settings.items()]
        process = self._process.enter_context(running(self.host.argv(*as_somebody(), *argv), self.log))
        wait_until(lambda: self._answers() or process.poll() is not None, timeout=60)
        assert process.poll() is None, f"postgres ended:\n{tail(self.log)}"

    def stop(self, mode: str = "fast") -> None:
        """``immediate``: without writing anything more, as in a crash."""
        if (self.data / "postmaster.pid").exists():
            self.run("pg_ctl", "stop", "-D", self.data, "-m", mode, "-w")
        self._process.close()

    def kill(self) -> None:
        """kill -9 of every process."""
        processes = self._processes()
        for process in processes:
            os.kill(process, signal.SIGKILL)
        self._process.close()
        (self.data / "postmaster.pid").unlink()

    def restart(self, mode: str = "fast") -> None:
        self.stop(mode)
        self.start()

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """Every process of the server stands still."""
        os.kill(self.pid, signal.SIGSTOP)  # what ends from now on stays known until it goes on, and so it goes last
        processes = self._processes()
        for process in processes:
            os.kill(process, signal.SIGSTOP)
        try:
            yield
        finally:
            for process in reversed(processes):
                os.kill(process, signal.SIGCONT)

    @property
    def pid(self) -> int:
        """Of the process that every other one of the server comes from."""
        return int((self.data / "postmaster.pid").read_text().split()[0])

    def run(self, program: str, *arguments: str | Path) -> None:
        """One of PostgreSQL's programs, as the user who owns the server."""
        argv = [*as_somebody(), self._programs / program, *arguments]
        done = subprocess.run(argv, capture_output=True, text=True, check=False, cwd="/")
        assert done.returncode == 0, f"{program}: {done.stdout}{done.stderr}"

    def _processes(self) -> list[int]:
        """The first one, and those that it has begun."""
        main = self.pid
        children = Path(f"/proc/{main}/task/{main}/children").read_text().split()
        return [main, *map(int, children)]

    def _name(self) -> str:
        self._made.append(f"relay{next(self._numbers)}")
        return self._made[-1]

    def _create(self, name: str, template: str) -> str:
        order = "LOCALE_PROVIDER icu ICU_LOCALE 'en-US'" if template == "template0" else ""
        self.execute(f"CREATE DATABASE {name} OWNER {USER} TEMPLATE {template} {order}")
        return name

    def _has(self, name: str) -> bool:
        return (name,) in self.execute("SELECT datname FROM pg_database")

    def _admin(self, database: str) -> str:
        return f"host={self.folder} port={self.port} user=admin dbname={database} connect_timeout=2"

    def _answers(self) -> bool:
        try:
            psycopg.connect(self._admin("postgres")).close()
        except psycopg.OperationalError:
            return False
        return True


def _programs() -> Path:
    """The folder of the newest server's programs, which Debian keeps off PATH."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    return found[-1].parent if found else cannot("needs PostgreSQL, of Debian's postgresql (tests/support/install.sh)")


def as_somebody() -> list[str]:
    """What makes a command run as a user who isn't root, which the server refuses to be."""
    if os.geteuid() != 0:
        return []
    return ["setpriv", f"--reuid={_somebody()}", f"--regid={_somebody()}", "--clear-groups"]


def _somebody() -> int:
    return pwd.getpwnam("nobody").pw_uid


@contextmanager
def server(*, parent: Path | None = None, host: Host = HERE, **settings: str) -> Iterator[PostgresCluster]:
    """One that runs; gone, with its folder, when the block is left. ``parent``: where that is, if it matters; ``host``:
    where the server is."""
    with place(parent) as folder:
        cluster = PostgresCluster(folder, settings, host)
        try:
            cluster.make()
            yield cluster
        finally:
            cluster.stop("immediate")


@contextmanager
def place(parent: Path | None = None) -> Iterator[Path]:
    """A folder that is the server's."""
    # Not below pytest's folder, which another user may not enter; in memory where there is plenty.
    memory = Path("/dev/shm")
    plenty = memory.is_dir() and shutil.disk_usage(memory).free > PLENTY
    folder = Path(tempfile.mkdtemp(prefix="relay-postgres-", dir=parent or (memory if plenty else None)))
    try:
        if os.geteuid() == 0:
            os.chown(folder, _somebody(), -1)
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresCluster]:
    """A server for all tests of this process."""
    with server() as cluster:
        yield cluster


@pytest.fixture
def postgres_url(postgres: PostgresCluster) -> str:
    """A database of the test's own, with this program's tables."""
    return postgres.fresh()
