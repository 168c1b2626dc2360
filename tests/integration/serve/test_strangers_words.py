"""What strangers say is data: it splits no reply, no line of the log, no Received field and no table of relayctl."""

from __future__ import annotations

import json
import os
import pty
import re
import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.integration.cli.console import Relayctl
from tests.support.processes import free_port, listens, stop
from tests.support.relayctl import RELAYCTL
from tests.support.waiting import wait_until

SETTINGS = """\
[node]
name = "one"
hostname = "mx2.relay.example"
database = "sqlite:///relay.db"
[smtp]
listen = ["127.0.0.1:{port}"]
[limits]
greet_wait = 0
[metrics]
listen = ""
"""
EVIL = "\x1b[2J\x1b]0;title\x07\x9b31m\x85\u2028\u202egnp.exe".encode()
"""Clears a terminal, names it, colours it; begins lines of several kinds; turns the direction of writing."""
UNSEEN = "\u2028\u2029\u202e\ufeff\U000e0041".encode()
"""What an address may hold of it."""
FORGED = b'{"event":"accepted","sender":"ceo@gold.example"}'

COMMANDS = (
    (b"EHLO client.example\r250 evil", b"500"),
    (b"EHLO client.example\n250 evil", b"500"),
    (b"EHLO " + EVIL, b"501"),
    (b"HELO " + UNSEEN, b"501"),
    (EVIL, b"500"),
    (b"250-" + EVIL + b"\0", b"500"),
    (b"VRFY " + EVIL, b"252"),
    (b"HELP " + EVIL, b"214"),
    (b"NOOP " + EVIL, b"250"),
    (b"RSET " + EVIL, b"501"),
    (b"STARTTLS " + EVIL, b"501"),
    (b"DATA " + EVIL, b"501"),
    (b"EHLO x) by mx.gold.example (y [192.0.2.99]) with ESMTPS id 1; Thu, 1 Jan 1970 00:00:00 +0000 \xc3\xa9", b"250"),
    (b"ETRN " + EVIL, b"501"),
    (b"MAIL FROM:<" + EVIL + b"@elsewhere.example> SMTPUTF8", b"553"),
    (b'MAIL FROM:<"' + EVIL + b'"@elsewhere.example> SMTPUTF8', b"553"),
    (b"MAIL FROM:<a@elsewhere.example> SIZE=" + UNSEEN, b"501"),
    (b"MAIL FROM:<a@elsewhere.example> ENVID=" + UNSEEN, b"501"),
    (b"MAIL FROM:<a@elsewhere.example> " + UNSEEN, b"501"),
    (b"MAIL FROM:<a" + UNSEEN + b"@elsewhere.example> SMTPUTF8 ENVID=<" + FORGED + b">", b"250"),
    (b"RCPT TO:<b" + UNSEEN + b"@elsewhere.example>", b"550"),
    (b"RCPT TO:<b@gold" + UNSEEN + b".example>", b"553"),
    (b"RCPT TO:<b@gold.example> ORCPT=utf-8;" + UNSEEN, b"250"),
    (b"RCPT TO:<b" + UNSEEN + b"@gold.example>", b"250"),
    (b"DATA", b"354"),
)
CONTENT = (
    b"Received: from x by mx2.relay.example; date\r\n"
    b"Message-ID: <" + EVIL + b"\0" + FORGED + b">\r\nSubject: " + EVIL + b"\r\n\r\n" + EVIL + b"\r\n"
)
REPLY = re.compile(rb"[2-5]\d\d[ -][ -~]+\r\n")
RECEIVED = re.compile(
    rb"Received: from [\w?.-]+\r\n\t\(\[127\.0\.0\.1\]\)\r\n\tby mx2\.relay\.example with UTF8SMTP id \S+;\r\n"
    rb"\t\w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d \+0000\r\n"
)
STYLE = re.compile(r"\x1b\[[0-9;]*m")


@contextmanager
def serving(folder: Path, *, terminal: bool) -> Iterator[list[bytes]]:
    """The node, its log on a terminal or in a pipe; what it has said, once it has ended."""
    reader, writer = pty.openpty() if terminal else os.pipe()
    said: list[bytes] = []

    def read() -> None:
        try:
            while piece := os.read(reader, 65536):
                said.append(piece)
        except OSError:
            pass  # the end of a terminal

    hearing = threading.Thread(target=read)
    hearing.start()
    node = subprocess.Popen(
        [RELAYCTL, "-c", folder / "relay.toml", "serve"],
        stderr=writer,
        env={**os.environ, "LC_ALL": "C.UTF-8", "TERM": "xterm"},
        start_new_session=True,
    )
    os.close(writer)
    try:
        yield said
    finally:
        stop(node)
        hearing.join()
        os.close(reader)


def converse(port: int) -> list[bytes]:
    """Say all of it; the lines of the replies, each checked."""
    heard: list[bytes] = []

    def reply() -> bytes:
        while True:
            line = replies.readline()
            assert REPLY.fullmatch(line), line
            heard.append(line)
            if line[3:4] == b" ":
                return line

    with socket.create_connection(("127.0.0.1", port), timeout=30) as client, client.makefile("rb") as replies:
        assert reply().startswith(b"220 mx2.relay.example ESMTP")
        for command, code in COMMANDS:
            client.sendall(command + b"\r\n")
            assert (answer := reply()).startswith(code), (command, answer)
        client.sendall(CONTENT + b".\r\n")
        assert reply().startswith(b"250 2.0.0 ")
        client.sendall(b"QUIT\r\n")
        assert reply().startswith(b"221 ")
        assert replies.read() == b""
    return heard


def printable(text: str) -> bool:
    return all(one.isprintable() or one == "\n" for one in text)


@pytest.mark.parametrize("terminal", [False, True], ids=["JSON", "terminal"])
def test_what_a_stranger_says_breaks_nothing(terminal: bool, tmp_path: Path) -> None:
    """One reply a command, one line of log an event, one Received field, one row of a table, all of them printable."""
    port = free_port()
    (tmp_path / "relay.toml").write_text(SETTINGS.format(port=port))
    relayctl = Relayctl(tmp_path)
    relayctl.does("init")
    relayctl.does("domain", "add", "gold.example", "--primary", f"127.0.0.1:{free_port()}")
    with serving(tmp_path, terminal=terminal) as said:
        wait_until(lambda: listens(port), timeout=60)
        heard = converse(port)
        assert not any(b"evil" in line or b"title" in line or b"gnp" in line for line in heard)
        assert len(relayctl.does("queue", "list").splitlines()) == 2
        for command in (["queue", "list"], ["queue", "show", "1"], ["trace", "--id", "1"], ["status"]):
            assert printable(relayctl.does(*command)), command
            assert printable(relayctl.does("--json", *command)), command
        (row,) = relayctl.json("queue", "list")
        assert row["sender"] == f"a{UNSEEN.decode()}@elsewhere.example"
        relayctl.does("queue", "export", "--id", "1", "--to", str(tmp_path))
        check_message(next(tmp_path.glob("*.eml")).read_bytes())
    log = STYLE.sub("", b"".join(said).decode().replace("\r\n", "\n"))
    assert printable(log)
    check_log(log.splitlines(), terminal=terminal)


def check_message(octets: bytes) -> None:
    """Our one line, and below it the content as it came."""
    received, content = octets[: -len(CONTENT)], octets[-len(CONTENT) :]
    assert content == CONTENT
    assert RECEIVED.fullmatch(received), received


def check_log(lines: list[str], *, terminal: bool) -> None:
    """Each line is whole, and what was refused and accepted has one each."""
    if terminal:
        assert [line for line in lines if not re.match(r"\d{4}-\d\d-\d\dT[0-9:.]+Z \[\w+ *\] ", line)] == []
        events = [line.split("]", 1)[1].split()[0] for line in lines]
    else:
        events = [json.loads(line)["event"] for line in lines]
    assert events.count("accepted") == 1
    assert events.count("refused") == sum(code[:1] == b"5" for _, code in COMMANDS)
