"""relayctl as an operator types it: in this process, where each call costs milliseconds, or as a process of its own.

answer = relayctl("queue", "list")        answer.status, answer.out, answer.err
rows = relayctl.json("queue", "list")
line = relayctl.refuses("queue", "show", "99")
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import structlog
from sqlalchemy import text

from cli.main import main
from relay.db import Database
from relay.db import place as named
from tests.support.database import database_url, on_a_server, open_database
from tests.support.relayctl import RELAYCTL

SETTINGS = """\
[node]
name = "n1"
hostname = "mx2.relay.example"
database = "sqlite:///relay.db"
[smtp]
listen = ["127.0.0.1:0"]
[dns]
# Nobody answers there: no test asks the DNS of the machine.
resolvers = ["127.0.0.1:9"]
timeout = 0.2
[metrics]
listen = ""
"""


def settings(folder: Path) -> str:
    """relay.toml of a machine whose database is this folder's, where none has been made yet."""
    if not on_a_server():
        return SETTINGS
    ours = SETTINGS.replace("sqlite:///relay.db", database_url(folder, empty=True))
    return ours + '[limits]\ndatabase_capacity = "100GB"\n'


@dataclass(frozen=True)
class Answer:
    """What a call printed, and its exit status."""

    status: int
    out: str
    err: str
    raw: bytes = b""


class Relayctl:
    """With the relay.toml of ``folder``."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.config = folder / "relay.toml"
        if not self.config.exists():
            self.config.write_text(settings(folder))

    def database(self, *, check: bool = True) -> Database:
        """What it works on, ``check=False``: whatever that is; the caller closes it."""
        return open_database(self.folder, check=check)

    @property
    def place(self) -> str:
        """The database, as it is named to people."""
        return named(database_url(self.folder)).name

    def run_sql(self, statement: str, **values: object) -> None:
        """Behind its back, in a database of whatever version."""
        with contextlib.closing(self.database(check=False)) as database, database.write() as connection:
            connection.execute(text(statement), values)

    def __call__(self, *argv: str | int, stdin: str | bytes = "") -> Answer:
        """In this process, without a terminal."""
        given = stdin.encode() if isinstance(stdin, str) else stdin
        out, err = (io.TextIOWrapper(io.BytesIO(), encoding="utf-8", write_through=True) for _ in range(2))
        log = structlog.get_config()
        try:
            with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err), _typed(given):
                status = main(["-c", str(self.config), *map(str, argv)])
        finally:
            structlog.configure(**log)
        raw, told = (stream.buffer.getvalue() for stream in (out, err))  # type: ignore[attr-defined]
        return Answer(status, raw.decode("utf-8", "replace"), told.decode(), raw)

    def does(self, *argv: str | int, stdin: str | bytes = "") -> str:
        """What it printed; it must succeed."""
        answer = self(*argv, stdin=stdin)
        assert answer.status == 0, answer
        return answer.out

    def json(self, *argv: str | int) -> Any:
        """The facts of a command that must succeed."""
        answer = self("--json", *argv)
        assert answer.status == 0, answer
        return json.loads(answer.out)

    def refuses(self, *argv: str | int, stdin: str | bytes = "") -> str:
        """The one plain line with which it must refuse."""
        answer = self(*argv, stdin=stdin)
        assert answer.status == 1, answer
        (line,) = answer.err.splitlines()
        assert line.startswith("relayctl: "), line
        assert "Traceback" not in line
        return line.removeprefix("relayctl: ")

    def misused(self, *argv: str | int) -> str:
        """What it says of a command line that is wrong."""
        answer = self(*argv)
        assert answer.status == 2, answer
        assert answer.out == ""
        return answer.err

    def process(
        self, *argv: str | int, env: Mapping[str, str] = {}, stdin: str = "", **options: Any
    ) -> subprocess.CompletedProcess[str]:
        """As a process."""
        return subprocess.run(
            self.argv(*argv),
            env={**os.environ, **env},
            input=stdin,
            text=True,
            capture_output=True,
            timeout=60,
            **options,
        )

    def argv(self, *argv: str | int) -> list[str]:
        return [str(RELAYCTL), "-c", str(self.config), *map(str, argv)]


def balanced(ledgers: Sequence[Mapping[str, Any]]) -> bool:
    """Whether everything that was accepted is accounted for."""
    ends = ("delivered", "bounced", "expired", "dropped", "queued", "held")
    return all(row["accepted"] == sum(row[end] for end in ends) for row in ledgers)


@contextlib.contextmanager
def _typed(text: bytes) -> Iterator[None]:
    """Standard input, which is no terminal."""
    before, sys.stdin = sys.stdin, io.TextIOWrapper(io.BytesIO(text), encoding="utf-8")
    try:
        yield
    finally:
        sys.stdin = before
