"""A node as its operator starts and stops it: in words when it can't, in order when it must."""

from __future__ import annotations

import json
import signal
import smtplib
import socket
import subprocess
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.support.disk import failing_disk
from tests.support.processes import free_port
from tests.support.relayctl import RELAYCTL, Relay
from tests.support.waiting import wait_until


def settings(port: int, **more: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {
        "node": {"name": "one", "hostname": "mx2.relay.example"},
        "smtp": {"listen": [f"127.0.0.1:{port}"]},
        "watch": {"down_interval": 0.5},
        "metrics": {"listen": ""},
        **more,
    }


@pytest.fixture
def port() -> int:
    return free_port()


@pytest.fixture
def relay(tmp_path: Path, port: int) -> Relay:
    relay = Relay(tmp_path, settings(port))
    relay.tell("domain", "add", "gold.example", "--primary", f"127.0.0.1:{free_port()}")
    return relay


@contextmanager
def session(port: int) -> Iterator[tuple[socket.socket, Any]]:
    """A raw SMTP session after EHLO: its socket, and the file of its replies."""
    with socket.create_connection(("127.0.0.1", port), timeout=30) as client, client.makefile("rb") as replies:
        assert replies.readline().startswith(b"220 ")
        client.sendall(b"EHLO stranger.example\r\n")
        while replies.readline()[3:4] == b"-":
            pass
        yield client, replies


def refused(folder: Path) -> str:
    """What a start that is refused says: one line, exit 1, no traceback."""
    done = subprocess.run(
        [RELAYCTL, "-c", folder / "relay.toml", "serve"], capture_output=True, text=True, timeout=60, check=False
    )
    said = [line for line in done.stderr.splitlines() if not line.startswith("{")]
    assert done.returncode == 1
    assert len(said) == 1, done.stderr
    return said[0]


def test_sigterm_lets_a_message_in_flight_be_committed_and_then_says_421(relay: Relay, port: int) -> None:
    """The message gets its 250 and is in the queue, the session its 421, the idle one its 421 at once, exit 0."""
    with relay.serving() as node, session(port) as (sender, replies), session(port) as (idle, idle_replies):
        sender.sendall(b"MAIL FROM:<a@stranger.example>\r\nRCPT TO:<b@gold.example>\r\nDATA\r\n")
        assert [replies.readline()[:3] for _ in range(3)] == [b"250", b"250", b"354"]
        sender.sendall(b"Subject: in flight\r\n\r\n")
        node.send_signal(signal.SIGTERM)
        assert idle_replies.readline().startswith(b"421 4.3.2 ")
        assert idle.recv(1) == b""
        sender.sendall(b"still going\r\n.\r\n")
        assert replies.readline().startswith(b"250 2.0.0 ")
        assert replies.readline().startswith(b"421 4.3.2 ")
        assert node.wait(30) == 0
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", port), timeout=5)
    assert relay.domain()["queued"] == 1


def test_a_busy_port_is_one_line(tmp_path: Path, relay: Relay, port: int) -> None:
    """Whoever has the port, the line names it and guesses right."""
    with socket.create_server(("127.0.0.1", port)):
        said = refused(tmp_path)
    assert f"can't listen on 127.0.0.1:{port}" in said
    assert "already in use" in said


def test_a_name_runs_once(tmp_path: Path, relay: Relay) -> None:
    """A second start of the same node is told which process has the name, and the first goes on."""
    with relay.serving() as node:
        assert refused(tmp_path) == f"relayctl: node one is already running (pid {node.pid})"
        assert relay.ask("status")["node"]["state"] == "live"


def test_a_busy_metrics_port_is_one_line(tmp_path: Path, port: int) -> None:
    """It says which setting to change, and no mail was taken meanwhile."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        listen = f"127.0.0.1:{taken.getsockname()[1]}"
        Relay(tmp_path, settings(port, metrics={"listen": listen}))
        assert f"can't serve metrics on {listen}: address already in use" in refused(tmp_path)


def test_a_certificate_that_does_not_load_is_one_line(tmp_path: Path, port: int) -> None:
    """The line names the setting."""
    smtp = {"listen": [f"127.0.0.1:{port}"], "tls_certificate": "absent.pem", "tls_key": "absent.pem"}
    Relay(tmp_path, settings(port, smtp=smtp))
    assert "tls_certificate" in refused(tmp_path)


@pytest.mark.sqlite_only("the file is gone")
def test_a_node_without_database_says_how_to_make_one(tmp_path: Path, port: int) -> None:
    """serve doesn't make an empty database in a wrong place."""
    Relay(tmp_path, settings(port))
    for path in (tmp_path / "var").iterdir():
        path.unlink()
    assert "no database at" in refused(tmp_path)
    assert list((tmp_path / "var").iterdir()) == []


def test_after_kill_9_the_same_node_is_back_with_every_message(relay: Relay, port: int) -> None:
    """What got 250 is there after the start that follows, which needs no clean-up by hand."""
    with relay.serving() as node:
        with smtplib.SMTP("127.0.0.1", port, timeout=30) as client:
            for number in range(20):
                client.sendmail("a@stranger.example", ["b@gold.example"], f"Subject: {number}\r\n\r\nhello\r\n")
        node.kill()
        node.wait(30)
    with relay.serving():
        assert relay.domain()["queued"] == 20
        assert relay.ask("db", "check")["ok"]


def test_sighup_takes_over_what_can_change_and_keeps_the_old_when_wrong(
    tmp_path: Path, relay: Relay, port: int
) -> None:
    """A smaller size limit is offered to the next session; a broken file changes nothing; the log says both."""
    path = tmp_path / "relay.toml"
    good = path.read_text()

    def offered() -> str:
        with smtplib.SMTP("127.0.0.1", port, timeout=30) as client:
            client.ehlo()
            return client.esmtp_features["size"]

    with relay.serving() as node:
        assert offered() == "52428800"
        path.write_text(good.replace("[smtp]", "[smtp]\nmax_message_size = 1000000"))
        node.send_signal(signal.SIGHUP)
        wait_until(lambda: offered() == "1000000")
        path.write_text(good.replace("[smtp]", "[smtp]\nmax_message_sise = 2000000"))
        node.send_signal(signal.SIGHUP)
        wait_until(lambda: "max_message_sise is not a setting" in relay.log())
        assert offered() == "1000000"


def test_sighup_takes_over_limits(tmp_path: Path, relay: Relay, port: int) -> None:
    """Rates, who is exempt from them, and the disk that is kept free hold at once; a wrong line changes nothing."""
    path = tmp_path / "relay.toml"
    good = path.read_text()
    table = "" if good.rstrip().partition("[limits]")[1] else "\n[limits]\n"

    def answer() -> bytes:
        with session(port) as (client, replies):
            client.sendall(b"MAIL FROM:<a@stranger.example>\r\n")
            return bytes(replies.readline())

    with relay.serving() as node:
        for limits, reply in (
            ("client_messages = 1", b"450 4.7.1 Too many messages from you"),
            ('client_messages = 1\nexempt = ["127.0.0.0/8"]', b"250 "),
            ('min_disk_free = "1000TB"', b"452 4.3.1"),
            ("", b"250 "),
        ):
            path.write_text(f"{good}{table}{limits}\n")
            node.send_signal(signal.SIGHUP)
            wait_until(lambda reply=reply: answer().startswith(reply))
        path.write_text(f'{good}{table}exempt = ["nowhere"]\n')
        node.send_signal(signal.SIGHUP)
        wait_until(lambda: "'nowhere' should be an address or a network" in relay.log())
        assert answer().startswith(b"250 ")


def test_the_log_is_json_and_the_metrics_are_prometheus(tmp_path: Path, port: int) -> None:
    """Away from a terminal each line of the log is one JSON object; accepted mail is counted by domain."""
    metrics = free_port()
    relay = Relay(tmp_path, settings(port, metrics={"listen": f"127.0.0.1:{metrics}"}))
    relay.tell("domain", "add", "gold.example", "--primary", f"127.0.0.1:{free_port()}")
    with relay.serving():
        with smtplib.SMTP("127.0.0.1", port, timeout=30) as client:
            client.sendmail("a@stranger.example", ["b@gold.example", "c@gold.example"], "Subject: x\r\n\r\nhello\r\n")
        with urllib.request.urlopen(f"http://127.0.0.1:{metrics}/metrics", timeout=30) as answer:
            found = answer.read().decode()
    assert 'relay_accepted_total{domain="gold.example"} 2.0' in found
    lines = [json.loads(line) for line in relay.log(1000).splitlines()]
    assert any(line["event"] == "accepted" and line["recipients"] == 2 for line in lines)
    assert lines[-1]["event"] == "node stopped"


def test_a_failing_disk_ends_the_node_at_once(tmp_path: Path, port: int) -> None:
    """After an I/O error nothing is promised any more: the client gets 4xx or nothing, and the node exits non-zero."""
    with failing_disk(tmp_path / "disk") as disk:
        relay = Relay(tmp_path, settings(port, node={"name": "one", "database": f"sqlite:///{disk.path}/relay.db"}))
        relay.tell("domain", "add", "gold.example", "--primary", f"127.0.0.1:{free_port()}")
        with relay.serving() as node:
            client = smtplib.SMTP("127.0.0.1", port, timeout=30)
            disk.fail()
            with pytest.raises((smtplib.SMTPResponseException, smtplib.SMTPServerDisconnected)) as said:
                client.sendmail("a@stranger.example", ["b@gold.example"], "Subject: x\r\n\r\nhello\r\n")
            client.close()
            if isinstance(said.value, smtplib.SMTPResponseException):
                assert 400 <= said.value.smtp_code < 500
            assert node.wait(10) == 1
