"""What an operator sees on a terminal, and what a script gets in a pipe."""

from __future__ import annotations

import asyncio
import json

import pytest

from relay.appliances import facts
from relay.appliances.facts import Health, HealthFact
from relay.clock import Clock
from relay.mail import Client, Reply
from relay.queue.states import Reason, State
from tests.integration.cli.conftest import Mail
from tests.integration.cli.console import Relayctl
from tests.integration.cli.screen import STYLE, screen, screen_of_a_process
from tests.integration.queue.material import house, outcomes

EVIL = "\x1b[31m\x1b]0;title\x07\x9b2J\r\x08\u202egnihsihp"
SHOWN = "\\x1b[31m\\x1b]0;title\\x07\\x9b2J\\r\\x08\\u202egnihsihp"
READING = (
    ["queue", "list"],
    ["queue", "show", "1"],
    ["trace", "--id", "1"],
    ["status"],
    ["status", "acme"],
    ["doctor"],
    ["ticket", "list"],
    ["ticket", "show", "1"],
    ["failover", "history"],
    ["ledger"],
    ["domain", "list"],
    ["appliance", "list"],
    ["appliance", "show", "acme"],
    ["node", "list"],
    ["maintenance", "list"],
    ["backup", "list"],
    ["sla", "report"],
    ["sla", "report", "acme"],
    ["dns", "check"],
)


@pytest.fixture
def hostile(relayctl: Relayctl) -> Relayctl:
    """Mail whose sender, Message-ID, HELO name and last reply, and an appliance whose state, try to write on
    terminals."""

    async def fill() -> None:
        async with house(relayctl.folder, Clock()) as home:
            now = home.clock.now()
            letter = home.letter(
                "user@acme.example", sender=f"{EVIL}@elsewhere.example", message_id=f"<{EVIL}@x>", received_at=now
            )
            client = Client("192.0.2.7", 4711, EVIL, "ESMTP")
            await home.queue.accept(
                type(letter)(**{name: getattr(letter, name) for name in letter.__slots__} | {"client": client})
            )
            reply = Reply(550, "5.1.1", EVIL)
            due = await home.due(now=now)
            await home.queue.record(outcomes(due, State.HELD, reply, at=now, reason=Reason.FAILED))
            with home.db.write() as connection:
                facts.set_health(connection, home.acme, HealthFact(Health.DOWN, f"it says {EVIL}", now))

    asyncio.run(fill())
    relayctl.does("ticket", "open", "acme", "-m", f"they say {EVIL}\nand more")
    relayctl.does("backup", "record", "acme", "-m", EVIL)
    relayctl.does("maintenance", "add", "acme", "--for", "1h", "--reason", EVIL)
    return relayctl


@pytest.mark.parametrize("command", READING, ids=" ".join)
def test_what_strangers_write_never_controls_a_terminal(hostile: Relayctl, command: list[str]) -> None:
    """Apart from relayctl's own styles, everything that reaches the terminal or the pipe is printable."""
    on_screen = "\n".join(screen(hostile, *command, columns=200).lines)
    piped = hostile(*command).out
    for shown in (on_screen, piped):
        assert all(one.isprintable() or one == "\n" for one in shown), shown
    text = hostile("--json", *command).out
    assert all(one.isprintable() or one == "\n" for one in text)
    json.loads(text)


def test_what_strangers_write_is_shown_all_the_same(hostile: Relayctl) -> None:
    """As escapes for people, unchanged for scripts."""
    for command in (["queue", "list"], ["queue", "show", "1"], ["trace", "--id", "1"], ["status"]):
        assert SHOWN in hostile.does(*command)
    (row,) = hostile.json("queue", "list")
    assert row["sender"] == f"{EVIL}@elsewhere.example"
    (traced,) = hostile.json("trace", "--id", "1")
    assert (traced["helo"], traced["message_id"]) == (EVIL, f"<{EVIL}@x>")


def test_an_error_line_is_printable_too(hostile: Relayctl) -> None:
    """Whatever it quotes."""
    line = hostile.refuses("status", EVIL)
    assert line.startswith("no Gold domain or appliance is named \\x1b[31m\\x1b]0;title\\x07\\x9b2J")
    assert line.isprintable()


def test_a_message_is_not_poured_onto_a_terminal(hostile: Relayctl) -> None:
    """It may hold anything."""
    shown = screen(hostile, "queue", "export", "--id", "1")
    assert shown.status == 1
    assert shown.lines[0].startswith("relayctl: a message may hold anything")


@pytest.mark.parametrize("command", READING, ids=" ".join)
def test_no_line_is_wider_than_the_terminal(relayctl: Relayctl, mail: Mail, command: list[str]) -> None:
    """Tables give way; a row that breaks at the edge can't be read in columns."""
    relayctl.does("ticket", "open", "acme", "-m", "no mail flow since this morning, says the customer on the telephone")
    for columns in (60, 80, 120):
        lines = screen(relayctl, *command, columns=columns).lines
        told = [line for line in lines if not line.startswith("relayctl: ")]  # what fails is one line, however long
        assert max(map(len, told)) <= columns, told


def test_colours_are_for_terminals_alone(relayctl: Relayctl, mail: Mail) -> None:
    """None in a pipe, none where NO_COLOR or a dumb terminal says so."""
    assert STYLE.search(screen(relayctl, "status").raw)
    for env in ({"NO_COLOR": "1"}, {"TERM": "dumb"}):
        shown = screen(relayctl, "status", env=env).raw
        assert not any(f"\x1b[{code}m" in shown for code in ("31", "1;31", "32", "33", "36", "1;36")), env
    assert "\x1b" not in relayctl.does("status")
    assert "\x1b" not in relayctl.process("status", env={"TERM": "xterm-256color"}).stdout


def test_in_a_pipe_each_row_is_one_line(relayctl: Relayctl, mail: Mail) -> None:
    """However long: grep finds whole rows."""
    relayctl.does("domain", "add", f"{'long-' * 11}name.example", "--appliance", "acme")
    assert len(relayctl.does("domain", "list").splitlines()) == 1 + 4
    assert len(relayctl.does("queue", "list").splitlines()) == 1 + 8


def test_destroying_mail_is_confirmed_at_the_terminal(relayctl: Relayctl, mail: Mail) -> None:
    """No means no, and Ctrl-C or a closed terminal too."""
    drop = ["queue", "drop", "--domain", "acme.example"]
    asked = screen_of_a_process(relayctl, *drop, typed="n\n")
    assert asked.status == 1
    assert "Destroy mail for 6 recipients for good? [y/N]" in asked.raw
    assert "relayctl: stopped" in asked.raw
    assert screen_of_a_process(relayctl, *drop, typed="\x04").status == 1
    assert len(relayctl.json("queue", "list", "--domain", "acme.example")) == 5
    agreed = screen_of_a_process(relayctl, *drop, typed="y\n")
    assert agreed.status == 0
    assert "6 recipients dropped" in agreed.raw
    assert relayctl.json("queue", "list", "--domain", "acme.example") == []
