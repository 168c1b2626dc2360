"""A real Request Tracker 5, of Debian, with SQLite: a private instance on loopback, in the test's own folder.

    with request_tracker(tmp_path) as rt:
        settings = rt.settings                     # [helpdesk] for the relay
        dana = rt.person("dana")                   # an engineer; so is erin. carol is a customer
        dana.take(1); dana.reply(1, "we are on it"); dana.set(1, Status="resolved")
        rt.ticket(1); rt.history(1)                # as the relay's own user sees them
        rt.stop(); rt.start()

Its database is made once for all tests, which takes some seconds, and copied.
"""

from __future__ import annotations

import functools
import os
import shutil
import sqlite3
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any

import httpx2

from tests.support.processes import free_port, listens, need, running, tail
from tests.support.waiting import wait_until

HERE = Path(__file__).parent
SERVER = "/usr/share/request-tracker5/libexec/rt-server"
BOT = "relay-bot"
START_WITHIN = 60.0


class Person:
    """Somebody at RT's REST 2.0, with their own token."""

    def __init__(self, url: str, token: str) -> None:
        self.token = token
        self._url = f"{url}/REST/2.0"

    def ask(self, method: str, path: str, **content: Any) -> Any:
        answer = httpx2.request(
            method,
            self._url + path,
            headers={"Authorization": f"token {self.token}"},
            json=content or None,
            timeout=30,
        )
        assert answer.is_success, f"{method} {path}: {answer.status_code} {answer.text}"
        return answer.json()

    def open(self, subject: str, **more: Any) -> int:
        written = {"Subject": subject, "Content": subject, "ContentType": "text/plain"}
        made = self.ask("POST", "/ticket", Queue="Gold", **written, **more)
        return int(made["id"])

    def take(self, number: int) -> None:
        self.ask("PUT", f"/ticket/{number}/take", nothing="")

    def reply(self, number: int, text: str) -> None:
        """Written to the customer."""
        self.ask("POST", f"/ticket/{number}/correspond", Content=text, ContentType="text/plain")

    def comment(self, number: int, text: str) -> None:
        self.ask("POST", f"/ticket/{number}/comment", Content=text, ContentType="text/plain")

    def set(self, number: int, **fields: Any) -> None:
        self.ask("PUT", f"/ticket/{number}", **fields)


class RequestTracker:
    """Made by :func:`request_tracker`."""

    def __init__(self, folder: Path) -> None:
        seed, self._tokens = _seed()
        self._folder = folder
        self._port = free_port()
        self._log = folder / "rt.log"
        self._environment = _configure(folder, self._port)
        shutil.copy(seed, folder / "rtdb")
        self._process = ExitStack()
        self.url = f"http://127.0.0.1:{self._port}"

    @property
    def settings(self) -> dict[str, Any]:
        return {"kind": "rt", "url": self.url, "token": self._tokens[BOT], "queue": "Gold"}

    def person(self, name: str) -> Person:
        return Person(self.url, self._tokens[name])

    def start(self) -> None:
        argv = [SERVER, "--server", "Starlet", "--host", "127.0.0.1", "--port", str(self._port), "--max-workers", "2"]
        process = self._process.enter_context(running(argv, self._log, env=self._environment))
        wait_until(lambda: listens(self._port) or process.poll() is not None, timeout=START_WITHIN)
        assert process.poll() is None, f"RT ended:\n{tail(self._log)}"

    def stop(self) -> None:
        """Nobody listens any more, until the next :meth:`start`."""
        self._process.close()

    def tickets(self) -> list[dict[str, Any]]:
        """Those in our queue, oldest first."""
        query = "/tickets?query=Queue%20=%20'Gold'&orderby=id&order=ASC&per_page=100"
        return [self.ticket(int(row["id"])) for row in self.person(BOT).ask("GET", query)["items"]]

    def ticket(self, number: int) -> dict[str, Any]:
        """The fields of one, users and the like by their names."""
        found = self.person(BOT).ask("GET", f"/ticket/{number}")
        plain = {key: value["id"] if isinstance(value, dict) else value for key, value in found.items()}
        fields = {field["name"]: field["values"] for field in plain["CustomFields"]}
        return plain | {"Fields": {name: values[0] for name, values in fields.items() if values}}

    def history(self, number: int) -> list[dict[str, Any]]:
        """Its transactions, oldest first, with their subjects as Data."""
        fields = "fields=Type,Field,OldValue,NewValue,Data,Creator&per_page=100"
        rows: list[dict[str, Any]] = self.person(BOT).ask("GET", f"/ticket/{number}/history?{fields}")["items"]
        return sorted(rows, key=lambda row: int(row["id"]))

    def backdate(self, number: int, minutes: int) -> None:
        """What was written last was written so long ago: as if RT had waited for somebody to ask."""
        with closing(sqlite3.connect(self._folder / "rtdb", timeout=30)) as database, database:
            database.execute(
                "UPDATE Transactions SET Created = datetime(Created, ?) WHERE id = (SELECT max(id) FROM Transactions "
                "WHERE ObjectType = 'RT::Ticket' AND ObjectId = ? AND Type = 'Correspond')",
                (f"-{minutes} minutes", number),
            )

    def comments(self, number: int) -> list[str]:
        """The subjects of the relay's own, without the key."""
        return [
            row["Data"].partition(" (relay ")[0]
            for row in self.history(number)
            if row["Type"] == "Comment" and row["Creator"]["id"] == BOT
        ]


@contextmanager
def request_tracker(folder: Path) -> Iterator[RequestTracker]:
    """One that runs; gone when the block is left."""
    need(SERVER, "request-tracker5")
    home = folder / "rt"
    home.mkdir()
    rt = RequestTracker(home)
    try:
        rt.start()
        yield rt
    finally:
        rt.stop()


@functools.cache
def _seed() -> tuple[Path, Mapping[str, str]]:
    """A fresh database, and the tokens of those who are in it."""
    setup = need("rt-setup-database-5", "request-tracker5")
    keep = tempfile.TemporaryDirectory(prefix="relay-rt-")
    _kept.append(keep)  # until the tests end
    folder = Path(keep.name)
    environment = _configure(folder, 80)
    init = [setup, "--action", "init", "--dba", "", "--dba-password", ""]
    insert = [setup, "--action", "insert", "--skip-create", "--datafile", str(HERE / "initialdata.pl")]
    said = ""
    for argv in (init, insert):
        done = subprocess.run(argv, env=environment, cwd=folder, capture_output=True, text=True, timeout=300)
        said = done.stdout
        assert done.returncode == 0, f"{' '.join(argv)}: {said}{done.stderr}"
    tokens = dict(line.split()[1:] for line in said.splitlines() if line.startswith("TOKEN "))
    return folder / "rtdb", tokens


_kept: list[tempfile.TemporaryDirectory[str]] = []


def _configure(folder: Path, port: int) -> dict[str, str]:
    """The environment in which RT's programs use ``folder``."""
    text = (HERE / "site.pm.in").read_text().replace("@DIR@", str(folder)).replace("@PORT@", str(port))
    (folder / "RT_SiteConfig.pm").write_text(text)
    (folder / "more").mkdir()
    return {
        **os.environ,
        "RT_SITE_CONFIG": str(folder / "RT_SiteConfig.pm"),
        "RT_SITE_CONFIG_DIR": str(folder / "more"),
        "TMPDIR": str(folder),
    }
