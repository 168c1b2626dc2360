"""relayctl as a process: exit statuses, pipes that close, signals, odd terminals, shells, and how little it loads."""

from __future__ import annotations

import asyncio
import fcntl
import json
import os
import signal
import subprocess
import sys
import termios
from collections.abc import Iterator
from pathlib import Path

import pytest

from relay.appliances import store
from relay.appliances.model import Primary
from relay.clock import Clock
from tests.integration.cli.conftest import Mail
from tests.integration.cli.console import Relayctl, balanced
from tests.integration.queue.material import house
from tests.support.processes import need
from tests.support.relayctl import RELAYCTL
from tests.support.waiting import wait_until

MANY = 1500


@pytest.fixture
def large(relayctl: Relayctl) -> Iterator[Relayctl]:
    """More domains than a pipe holds."""
    database = relayctl.database()
    with database.write() as connection:
        owner = store.add_appliance(connection, 0.0, name="acme", primaries=(Primary("192.0.2.25"),))
        for number in range(MANY):
            store.add_domain(connection, 0.0, name=f"domain-{number}.customers.example", appliance_id=owner.id)
    database.close()
    yield relayctl


def test_exit_statuses_are_those_of_the_process(relayctl: Relayctl) -> None:
    """0 done, 1 refused with one line, 2 a wrong command line; never a traceback."""
    done = relayctl.process("status")
    assert (done.returncode, done.stderr) == (0, "")
    refused = relayctl.process("queue", "show", 7)
    assert refused.returncode == 1
    assert refused.stdout == ""
    assert refused.stderr.startswith("relayctl: no message 7 waits here")
    assert refused.stderr.count("\n") == 1
    assert relayctl.process("queue", "shwo").returncode == 2


@pytest.mark.parametrize("options", [[], ["--json"]], ids=["table", "json"])
def test_a_reader_that_has_enough_is_no_failure_to_complain_of(large: Relayctl, options: list[str]) -> None:
    """relayctl … | head says nothing on standard error."""
    with subprocess.Popen(
        large.argv("domain", "list", *options), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None and process.stderr is not None
        process.stdout.readline()
        process.stdout.close()
        assert process.stderr.read() == ""
        assert process.wait(60) in (0, 1)


def test_an_output_that_cannot_be_written_is_one_line(large: Relayctl) -> None:
    """A disk that is full, whether little is printed, and only at the end, or much."""
    buffered = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    with Path("/dev/full").open("w") as full:
        for command in (["domain", "list"], ["domain", "list", "--json"], ["node", "list"]):
            failed = subprocess.run(
                large.argv(*command), stdout=full, stderr=subprocess.PIPE, text=True, timeout=60, env=buffered
            )
            assert failed.returncode == 1
            assert failed.stderr == "relayctl: can't write the output: No space left on device\n"


@pytest.mark.parametrize("closed", [">&-", "2>&-", "<&- >&- 2>&-"])
def test_who_starts_it_without_outputs_gets_the_status_alone(relayctl: Relayctl, closed: str) -> None:
    """And no database that is opened in their place is written to as if it were one of them."""
    argv = [*relayctl.argv("domain", "add", "acme.example", "--primary", "192.0.2.25")]
    ended = subprocess.run(["sh", "-c", f'exec "$@" {closed}', "sh", *argv], capture_output=True, text=True, timeout=60)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert [one["domain"] for one in relayctl.json("domain", "list")] == ["acme.example"]


def test_a_terminal_without_unicode_gets_escapes(relayctl: Relayctl, mail: Mail) -> None:
    """And JSON that reads the same."""
    relayctl.does("appliance", "set", "acme", "--customer", "Ünïcödé GmbH")
    env = {"PYTHONIOENCODING": "ascii"}
    table = relayctl.process("appliance", "list", env=env)
    assert (table.returncode, table.stderr) == (0, "")
    assert "\\xdcn\\xefc\\xf6d\\xe9 GmbH" in table.stdout
    facts = relayctl.process("appliance", "show", "acme", "--json", env=env)
    assert json.loads(facts.stdout)["customer"] == "Ünïcödé GmbH"


def test_ctrl_c_is_one_line(relayctl: Relayctl) -> None:
    """It says that it stopped, and nothing of Python."""
    read, write = os.pipe()
    with subprocess.Popen(
        relayctl.argv("recipient", "import", "gold.example", "-"), stdin=read, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stderr is not None
        os.write(write, b"info\n")
        wait_until(lambda: _unread(read) == 0)
        process.send_signal(signal.SIGINT)
        told = process.stderr.read()
    os.close(read)
    os.close(write)
    assert process.returncode == 1
    assert told.strip() == "relayctl: stopped"


def _unread(pipe: int) -> int:
    """Bytes that wait in a pipe."""
    return int.from_bytes(fcntl.ioctl(pipe, termios.FIONREAD, bytes(4)), sys.byteorder)


def test_ctrl_c_in_a_long_change_leaves_it_half_done_and_whole(relayctl: Relayctl) -> None:
    """What was held stays held, every recipient is accounted for, and the same command goes on."""
    total = 20_000

    async def fill() -> None:
        async with house(relayctl.folder, Clock()) as home:
            now = home.clock.now()
            for part in range(total // 1000):
                await home.accept(*(f"user{part}-{place}@acme.example" for place in range(1000)), received_at=now - 60)

    asyncio.run(fill())

    def held() -> int:
        return int(relayctl.json("ledger", "acme.example")["held"])

    with subprocess.Popen(relayctl.argv("queue", "hold"), stderr=subprocess.PIPE, text=True) as process:
        wait_until(held, every=0.0)
        process.send_signal(signal.SIGINT)
        assert process.stderr is not None
        told = process.stderr.read()
    assert process.returncode == 1
    assert told.strip() == "relayctl: stopped part way: what is held stays so; the same command goes on"
    done = held()
    assert 0 < done < total
    assert balanced(relayctl.json("ledger"))
    assert relayctl.json("queue", "hold") == {"recipients": total - done, "dry_run": False}
    assert held() == total
    assert relayctl.json("db", "check")["ok"]


@pytest.mark.parametrize(
    ("command", "unwanted"),
    [
        (["--help"], {"relay", "sqlalchemy", "pydantic", "rich", "asyncio", "structlog", "alembic"}),
        (["--version"], {"relay", "sqlalchemy", "pydantic", "rich", "asyncio", "structlog", "alembic"}),
        (["status"], {"alembic", "rich", "structlog", "relay.app", "aiosmtpd", "dns", "prometheus_client"}),
        (["queue", "list"], {"alembic", "rich", "structlog", "relay.app", "aiosmtpd", "dns", "prometheus_client"}),
        (["ticket", "list"], {"alembic", "rich", "structlog", "relay.app", "aiosmtpd", "dns", "prometheus_client"}),
        (["ledger", "--json"], {"alembic", "rich", "structlog", "relay.app", "aiosmtpd", "dns", "prometheus_client"}),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_command_loads_only_what_it_needs(relayctl: Relayctl, command: list[str], unwanted: set[str]) -> None:
    """Half of the time of a short command is loading."""
    code = (
        "import sys; from cli.main import main; status = main(sys.argv[1:]);"
        "print(*sorted(sys.modules), file=sys.stderr); sys.exit(status)"
    )
    run = subprocess.run(
        [sys.executable, "-c", code, "-c", str(relayctl.config), *command], capture_output=True, text=True, timeout=60
    )
    assert run.returncode == 0
    assert unwanted.isdisjoint(run.stderr.split())


def test_the_version_is_told(relayctl: Relayctl) -> None:
    """That of the installed distribution."""
    assert relayctl.process("--version").stdout.startswith("relayctl 0.")


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_shell_accepts_its_completion_script(relayctl: Relayctl, tmp_path: Path, shell: str) -> None:
    """It reads without a syntax error."""
    script = tmp_path / "script"
    script.write_text(relayctl.does("completion", shell))
    assert "_RELAYCTL_COMPLETE" in script.read_text()
    checked = subprocess.run([need(shell, shell), "-n", str(script)], capture_output=True, text=True, timeout=60)
    assert (checked.returncode, checked.stderr) == (0, "")


@pytest.mark.parametrize(
    ("typed", "offered"),
    [
        (["sta"], ["status"]),
        (["queue", "re"], ["release", "retry", "reports"]),
        (["queue", "list", "--st"], ["--state"]),
        (["queue", "list", "--state", ""], ["queued", "held"]),
        (["status", "ac"], ["acme", "acme.example", "acme.test"]),
        (["failover", "activate", "bo"], ["bolt", "bolt.example"]),
        (["domain", "show", "acme"], ["acme.example", "acme.test"]),
        (["appliance", "set", "acme"], ["acme"]),
        (["queue", "hold", "--domain", "b"], ["bolt.example"]),
        (["status", "--json", "bolt."], ["bolt.example"]),
    ],
    ids=lambda value: " ".join(value),
)
def test_bash_completes_commands_options_and_names(
    relayctl: Relayctl, mail: Mail, typed: list[str], offered: list[str]
) -> None:
    """Names of appliances and domains come from the database of the config that is named."""
    words = ["relayctl", "-c", str(relayctl.config), *typed]
    script = """
        source /dev/stdin
        COMP_WORDS=("$@") COMP_CWORD=$(($# - 1))
        _relayctl_completion "$RELAYCTL"
        printf '%s\\n' "${COMPREPLY[@]}"
    """
    shown = subprocess.run(
        ["bash", "-c", script, "bash", *words],
        input=relayctl.does("completion", "bash"),
        env={**os.environ, "RELAYCTL": str(RELAYCTL)},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert shown.stdout.split() == offered
    assert shown.stderr == ""


@pytest.mark.sqlite_only("the file is gone")
def test_completion_stays_silent_where_there_is_no_database(relayctl: Relayctl) -> None:
    """The command itself will say so."""
    (relayctl.folder / "relay.db").unlink()
    env = {
        **os.environ,
        "COMP_WORDS": f"relayctl -c {relayctl.config} status a",
        "COMP_CWORD": "4",
        "_RELAYCTL_COMPLETE": "bash_complete",
    }
    shown = subprocess.run([RELAYCTL], env=env, capture_output=True, text=True, timeout=60)
    assert (shown.returncode, shown.stdout.strip(), shown.stderr) == (0, "", "")
