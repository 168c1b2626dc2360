"""What goes wrong is told in one plain line, exit 1; what is typed wrong is exit 2. Never a traceback."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from relay import db as relay_db
from tests.integration.cli.console import SETTINGS, Relayctl
from tests.support.database import on_a_server
from tests.support.obstacles import impatient, turn_taken
from tests.support.relayctl import RELAYCTL


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("\x00\xff garbage [[[", "relay.toml: "),
        ("[smtp]\nlisten = 25", "[smtp] listen: "),
        ("[smtp]\ntimeuot = 5", "[smtp] timeuot is not a setting; known here: listen, "),
        ("[smpt]\ntimeout = 5", "[smpt] is not a setting; known here: node, smtp, "),
        ("[watch]\ninterval = 'often'", "[watch] interval: "),
        ("[watch]\ninterval = -1", "[watch] interval: "),
        ("[smtp]\nmax_message_size = '1 elephant'", "[smtp] max_message_size: should be a size such as 50MB"),
        ("[smtp]\nlisten = ['0.0.0.0:25']", "[node] postmaster should be set before"),
        ("[support]\nhours = 'now and then'", "[support] hours, timezone, holidays: "),
        ("[support]\ntimezone = 'Mars/Olympus'", "should be a time zone such as Europe/Berlin"),
        ("[node]\ndatabase = 'mysql://x'", "[node] database should be sqlite:///"),
    ],
)
def test_a_wrong_config_is_named_by_its_key(relayctl: Relayctl, text: str, words: str) -> None:
    """With what it should be."""
    relayctl.config.write_text(text, encoding="latin-1")
    assert words in relayctl.refuses("status")


def test_a_config_that_is_no_text_is_refused(relayctl: Relayctl) -> None:
    """Bytes that are no UTF-8."""
    relayctl.config.write_bytes(b"\xff\xfe\x00[node]")
    assert "relay.toml: " in relayctl.refuses("queue", "list")


def test_a_config_that_is_missing_is_named(relayctl: Relayctl) -> None:
    """With the command that makes one; a folder is no config either."""
    relayctl.config.unlink()
    assert relayctl.refuses("status") == f"{relayctl.config}: no such file; 'relayctl init' makes one"
    relayctl.config.mkdir()
    assert "is a directory" in relayctl.misused("status")


def test_a_wrong_variable_is_named(relayctl: Relayctl, monkeypatch: pytest.MonkeyPatch) -> None:
    """As the key in the file would be."""
    monkeypatch.setenv("RELAY_SMPT__TIMEOUT", "5")
    assert "RELAY_SMPT__TIMEOUT is not a setting; sections are node, smtp, " in relayctl.refuses("status")


@pytest.mark.sqlite_only("the file is gone; who finds no server is told in test_postgres")
def test_a_database_that_is_missing_is_named(relayctl: Relayctl) -> None:
    """With the command that makes one."""
    (relayctl.folder / "relay.db").unlink()
    for command in (["status"], ["queue", "list"], ["ticket", "list"], ["doctor"], ["db", "upgrade"], ["serve"]):
        line = relayctl.refuses(*command)
        assert line == f"no database at {relayctl.folder / 'relay.db'}; 'relayctl init' makes one"


@pytest.mark.sqlite_only("what holds without a relay.toml is a file in this folder")
def test_who_is_in_the_wrong_folder_is_told_so(tmp_path: Path) -> None:
    """'relayctl init' alone would be bad advice: it makes another relay, an empty one."""
    empty = tmp_path / "empty"
    empty.mkdir()
    said = subprocess.run([RELAYCTL, "status"], cwd=empty, capture_output=True, text=True, timeout=60)
    assert (said.returncode, said.stdout) == (1, "")
    assert said.stderr == (
        "relayctl: no relay.toml in this folder or /etc/relay ('-c FILE' names one), "
        "and no database at var/relay.db; 'relayctl init' makes one\n"
    )


def test_a_database_of_another_version_is_told_what_to_do(relayctl: Relayctl) -> None:
    """Older: upgrade it. Newer: install that version."""
    relayctl.run_sql("UPDATE alembic_version SET version_num = '0001_appliances'")
    assert relayctl.refuses("status") == f"{relayctl.place} is older than this program; run 'relayctl db upgrade'"
    relayctl.run_sql("UPDATE alembic_version SET version_num = '9999_tomorrow'")
    relayctl.run_sql("UPDATE compatibility SET revision = '9998_the_day_before'")
    for command in (["status"], ["queue", "list"], ["db", "upgrade"], ["init"]):
        assert relayctl.refuses(*command) == (
            f"{relayctl.place} was made by a newer version of this program; install that version"
        )


@pytest.mark.sqlite_only("what a file holds")
def test_a_file_that_is_no_database_is_one_line(relayctl: Relayctl) -> None:
    """Whatever is asked of it."""
    path = relayctl.folder / "relay.db"
    path.write_bytes(b"this is not a database" * 400)
    for command in (["status"], ["queue", "hold"], ["db", "check"], ["db", "upgrade"], ["doctor"]):
        assert relayctl.refuses(*command) == f"{path}: file is not a database"


@pytest.mark.sqlite_only("what a file holds")
def test_a_damaged_database_is_one_line(relayctl: Relayctl) -> None:
    """Damage behind its first pages."""
    path = relayctl.folder / "relay.db"
    size = path.stat().st_size
    with path.open("r+b") as file:
        file.seek(8192)
        file.write(b"\xff" * (size - 8192))
    for command in (["status"], ["queue", "list"], ["ledger"], ["db", "check"]):
        assert "malformed" in relayctl.refuses(*command)


def test_a_locked_database_is_one_line_for_who_writes(relayctl: Relayctl, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those who only read aren't kept waiting."""
    impatient(monkeypatch)
    relayctl.does("domain", "add", "gold.example", "--primary", "192.0.2.25")
    reason = "is busy: canceling statement due to lock timeout" if on_a_server() else "is locked by another process"
    with closing(relayctl.database()) as database, turn_taken(database):
        for command in (
            ["domain", "add", "other.example", "--primary", "192.0.2.25"],
            ["failover", "activate", "gold.example"],
            ["ticket", "open", "gold.example", "-m", "no mail"],
            ["maintenance", "add", "gold.example", "--for", "1h"],
            ["recipient", "add", "gold.example", "info"],
        ):
            assert relayctl.refuses(*command) == f"{relayctl.place} {reason}; try again"
        for command in (["status"], ["queue", "list"], ["ticket", "list"], ["ledger"], ["domain", "list"]):
            relayctl.does(*command)
    relayctl.does("domain", "add", "other.example", "--primary", "192.0.2.25")


def test_a_number_that_no_database_holds_is_refused(relayctl: Relayctl) -> None:
    """Whatever it should have been the number of."""
    large = 10**22
    for command in (
        ["queue", "show", large],
        ["queue", "hold", "--id", large],
        ["trace", "--id", large],
        ["ticket", "show", large],
        ["ledger", "--outage", large],
        ["maintenance", "remove", large],
    ):
        assert f"{large} is larger than any number here" in relayctl.misused(*command)
    for command in (["failover", "history"], ["backup", "list"]):
        assert "is not in the range" in relayctl.misused(*command, "--limit", large)


def test_a_ledger_of_no_outage_is_not_an_empty_one(relayctl: Relayctl) -> None:
    """A mistyped number must not look like an outage without mail."""
    line = "there is no outage 77; 'relayctl failover history' shows them"
    assert relayctl.refuses("ledger", "--outage", 77) == line


@pytest.fixture
def guest() -> Iterator[Path]:
    """A folder that the effective user, who isn't root, may only read; the one in it not even that."""
    folder = Path(tempfile.mkdtemp(prefix="relayctl-"))
    closed = folder / "closed"
    closed.mkdir()
    relay_db.upgrade(f"sqlite:///{folder / 'relay.db'}")
    (folder / "relay.toml").write_text(SETTINGS)
    for path in folder.iterdir():
        path.chmod(0o444)
    closed.chmod(0)
    folder.chmod(0o555)
    root = os.geteuid() == 0
    if root:
        os.seteuid(65534)
    try:
        yield folder
    finally:
        if root:
            os.seteuid(0)
        for path in (folder, closed):
            path.chmod(0o755)
        shutil.rmtree(folder)


@pytest.mark.sqlite_only("rights to a file")
def test_a_folder_that_may_not_be_written_is_one_line(guest: Path) -> None:
    """Reading needs the right to write too, in WAL mode: that is said, not only that it failed."""
    relayctl = Relayctl(guest)
    for command in (["status"], ["queue", "list"], ["domain", "add", "gold.example", "--primary", "192.0.2.25"]):
        line = relayctl.refuses(*command)
        assert line.startswith(f"{guest / 'relay.db'}: ")
        assert line.endswith("; this user needs the right to write to it and its folder")
    relayctl.config = guest / "other.toml"
    assert relayctl.refuses("init") == f"can't write {guest / 'other.toml'}: Permission denied"


@pytest.mark.sqlite_only("rights to a file")
def test_a_folder_that_may_not_be_read_is_one_line(guest: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The database's, or that of the config."""
    closed = guest / "closed"
    monkeypatch.setenv("RELAY_NODE__DATABASE", f"sqlite:///{closed / 'relay.db'}")
    for command in (["status"], ["db", "upgrade"], ["init"]):
        assert Relayctl(guest).refuses(*command) == f"{closed / 'relay.db'}: Permission denied"
    relayctl = Relayctl(guest)
    relayctl.config = closed / "relay.toml"
    assert relayctl.refuses("status") == f"{closed / 'relay.toml'}: Permission denied"


@pytest.mark.parametrize(
    ("command", "words"),
    [
        (["quue", "list"], "no command is named 'quue'; did you mean queue?"),
        (["tickets"], "no command is named 'tickets'; did you mean ticket?"),
        (["frobnicate"], "no command is named 'frobnicate'"),
        (["queue", "lsit"], "lsit"),
        (["queue"], "Usage: relayctl queue"),
        ([], "Usage: relayctl"),
        (["queue", "list", "--sttae", "held"], "--state"),
        (["queue", "list", "--state", "lost"], "'lost' is not one of 'queued', 'held'"),
        (["queue", "show", "seven"], "'seven' is not a valid integer"),
        (["queue", "show"], "Missing argument 'ID'"),
        (["queue", "list", "--limit", "0"], "0 is not in the range"),
        (["ticket", "priority", "1", "4"], "4 is not in the range 1<=x<=3"),
        (["appliance", "add", "acme"], "an appliance needs --primary"),
        (["appliance", "set", "acme"], "say what to change"),
        (["domain", "add", "gold.example"], "say --appliance NAME, or --primary HOST"),
        (["domain", "set", "gold.example"], "say what to change"),
        (["maintenance", "add", "acme"], "say --to TIME or --for TIME"),
        (["maintenance", "add", "acme", "--to", "tomorrow"], "'tomorrow' should be a time such as 2026-11-23T22:00"),
        (["completion", "powershell"], "'powershell' is not one of 'bash', 'zsh', 'fish'"),
    ],
)
def test_a_wrong_command_line_is_exit_2(relayctl: Relayctl, command: list[str], words: str) -> None:
    """With a hint where one can be given."""
    assert words in relayctl.misused(*command)


@pytest.mark.parametrize(
    ("command", "words"),
    [
        (["status", "nobody"], "no Gold domain or appliance is named nobody; 'relayctl status --all' shows all"),
        (["doctor", "nobody"], "no appliance or Gold domain is named nobody; 'relayctl status --all' shows all"),
        (["appliance", "show", "nobody"], "no appliance is named nobody; 'relayctl appliance list' shows them"),
        (["appliance", "set", "nobody", "--hidden"], "no appliance is named nobody"),
        (["appliance", "remove", "nobody"], "no appliance is named nobody"),
        (["domain", "show", "nobody.example"], "no Gold domain is named nobody.example"),
        (["domain", "set", "nobody.example", "--quota", "1GB"], "no Gold domain is named nobody.example"),
        (["domain", "remove", "nobody.example"], "no Gold domain is named nobody.example"),
        (["domain", "add", "a.example", "--appliance", "nobody"], "no appliance is named nobody"),
        (["recipient", "list", "nobody.example"], "no Gold domain is named nobody.example"),
        (["recipient", "add", "nobody.example", "info"], "no Gold domain is named nobody.example"),
        (["failover", "activate", "nobody"], "no appliance or Gold domain is named nobody"),
        (["failover", "history", "nobody"], "no appliance or Gold domain is named nobody"),
        (["backup", "record", "nobody"], "no appliance or Gold domain is named nobody"),
        (["backup", "record", "acme", "--at", "2199-01-01"], "2199-01-01 00:00:00Z is yet to come"),
        (["appliance", "set", "acme", "--backup-every", "soon"], "--backup-every: 'soon' should be a time such as 14d"),
        (["appliance", "set", "acme", "--plan", "lead"], "no support plan is named lead; there are gold"),
        (["maintenance", "add", "nobody", "--for", "1h"], "no appliance or Gold domain is named nobody"),
        (["maintenance", "remove", "7"], "no maintenance 7 is open or to come; 'relayctl maintenance list' shows them"),
        (["ticket", "show", "7"], "there is no ticket 7; 'relayctl ticket list --all' shows them"),
        (["ticket", "ack", "7"], "there is no ticket 7"),
        (["ticket", "open", "nobody", "-m", "down"], "no appliance or Gold domain is named nobody"),
        (["dns", "check", "nobody.example"], "no Gold domain is named nobody.example"),
        (["ledger", "nobody.example"], "no Gold domain is named nobody.example"),
        (["queue", "show", "7"], "no message 7 waits here"),
    ],
    ids=" ".join,
)
def test_a_name_that_nobody_has_is_one_line(relayctl: Relayctl, command: list[str], words: str) -> None:
    """With the command that lists those there are; the same with --json, which prints no facts then."""
    assert relayctl.refuses(*command).startswith(words)
    assert relayctl("--json", *command).out == ""


@pytest.mark.parametrize(
    ("command", "words"),
    [
        (["domain", "add", "not a domain", "--primary", "192.0.2.25"], "'not a domain' is not a domain name"),
        (["domain", "add", "-x-.example", "--appliance", "acme"], "No such option"),
        (["domain", "add", "nodots", "--appliance", "acme"], "'nodots' is not a full domain name"),
        (["domain", "add", "gold.example", "--appliance", "acme"], "domain gold.example exists already"),
        (["domain", "add", "a.example", "--primary", "::::"], "--primary: '::::' should be a host, or host:port"),
        (["domain", "add", "a.example", "--primary", "h:99999"], "--primary: 'h:99999' should be a host, or host:port"),
        (["domain", "add", "a.example", "--primary", "mx", "--primary", "h"], "--primary mx can't be mixed"),
        (
            ["domain", "add", "a.example", "--primary", "h", "--max-rate", "0"],
            "--max-rate: '0' should be messages a sec",
        ),
        (["domain", "add", "a.example", "--primary", "h", "--max-rate", "nan"], "--max-rate: 'nan' should be messages"),
        (
            ["domain", "add", "a.example", "--primary", "h", "--max-connections", "0"],
            "should be a number from 1 to 1000",
        ),
        (["domain", "add", "a.example", "--primary", "h", "--max-connections", "-3"], "'-3' should be a number from 1"),
        (["domain", "add", "a.example", "--appliance", "acme", "--lifetime", "1y"], "--lifetime: '1y' should be"),
        (["domain", "add", "a.example", "--appliance", "acme", "--quota", "big"], "--quota: should be a size"),
        (
            ["domain", "add", "a.example", "--appliance", "acme", "--quota-messages", "-1"],
            "--quota-messages: '-1' should",
        ),
        (
            ["domain", "add", "a.example", "--appliance", "acme", "--quota-messages", "1k"],
            "--quota-messages: '1k' should",
        ),
        (["domain", "add", "a.example", "--appliance", "acme", "--until", "2026-02-30"], "--until: should be a day"),
        (["domain", "add", "a.example", "--appliance", "acme", "--timezone", "UTC"], "is the appliance's"),
        (["appliance", "add", "acme", "--primary", "192.0.2.25"], "appliance acme exists already"),
        (["appliance", "add", "b", "--primary", "h", "--timezone", "Mars"], "Mars"),
        (["appliance", "add", "b", "--primary", "h", "--business-hours", "Mon 9-5"], "'Mon 9-5' in the hours"),
        (["appliance", "add", "b", "--primary", "h", "--holidays", "Atlantis"], "Atlantis"),
        (["appliance", "add", "b", "--primary", "h", "--contact", "nobody"], "contact 'nobody' should be a mail"),
        (["appliance", "remove", "acme"], "appliance acme still has domains"),
        (["maintenance", "add", "acme", "--for", "soon"], "--for: 'soon' should be a time"),
        (["maintenance", "add", "acme", "--to", "2020-01-01"], "the window would be over before it begins"),
        (["recipient", "add", "gold.example", "a@other.example"], "'a@other.example' is not an address at gold"),
        (["ticket", "ack", "1"], "ticket 1 is resolved; 'relayctl ticket reopen 1' opens it again"),
    ],
    ids=" ".join,
)
def test_what_cannot_be_done_says_why(relayctl: Relayctl, command: list[str], words: str) -> None:
    """And nothing of it is done."""
    relayctl.does("appliance", "add", "acme", "--primary", "192.0.2.25")
    relayctl.does("domain", "add", "gold.example", "--appliance", "acme")
    relayctl.does("ticket", "open", "acme", "-m", "no mail")
    relayctl.does("ticket", "resolve", "1")
    before = [relayctl.json(*what) for what in (["appliance", "list"], ["domain", "list"], ["ticket", "list", "--all"])]
    answer = relayctl(*command)
    assert answer.status in (1, 2) and words in answer.err, answer
    if answer.status == 1:
        assert len(answer.err.splitlines()) == 1
    after = [relayctl.json(*what) for what in (["appliance", "list"], ["domain", "list"], ["ticket", "list", "--all"])]
    assert after == before


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "the first line should name columns among domain, appliance, "),
        (b"name,owner\na.example,acme\n", "the first line should name columns among domain, appliance, "),
        (b"domain,appliance\na.example,acme\nnot a domain,acme\n", "line 3: 'not a domain' is not a domain name; noth"),
        (b"domain,appliance\na.example,nobody\n", "line 2: no appliance is named nobody"),
        (b"domain,appliance,quota\na.example,acme,big\n", "line 2: --quota: should be a size"),
        (b"domain,appliance\na.example,acme,more\n", "line 2: it has more fields than the first line"),
        (b'domain,appliance\n"a.example,acme\n', "is no CSV in UTF-8"),
        (b"domain,appliance\n\xff\xfe,acme\n", "is no CSV in UTF-8"),
        (b"domain,appliance\na\x00b.example,acme\n", ""),
    ],
)
def test_an_import_is_all_or_nothing(relayctl: Relayctl, tmp_path: Path, content: bytes, words: str) -> None:
    """The line that is wrong is named, and what stood before it isn't done either."""
    relayctl.does("appliance", "add", "acme", "--primary", "192.0.2.25")
    file = tmp_path / "domains.csv"
    file.write_bytes(content)
    assert words in relayctl.refuses("domain", "import", str(file))
    assert words in relayctl.refuses("domain", "import", "-", stdin=content)
    assert relayctl.json("domain", "list") == []


def test_a_file_that_is_not_there_is_exit_2(relayctl: Relayctl) -> None:
    """It is the command line that is wrong."""
    assert "No such file" in relayctl.misused("domain", "import", "/nowhere.csv")
