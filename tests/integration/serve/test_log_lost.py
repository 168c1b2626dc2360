"""A node whose log can't be written: mail goes on as if nothing had happened."""

from __future__ import annotations

import smtplib
import subprocess
from pathlib import Path

from tests.support.processes import free_port
from tests.support.relayctl import RELAYCTL, Relay
from tests.support.waiting import wait_until


def answers(port: int) -> bool:
    try:
        with smtplib.SMTP("127.0.0.1", port, timeout=30):
            return True
    except OSError:
        return False


def test_mail_gets_its_250_once_though_nobody_reads_the_log_any_more(tmp_path: Path) -> None:
    """The log's reader has gone: a message is taken, queued once, and the node stops cleanly."""
    port = free_port()
    relay = Relay(
        tmp_path,
        {
            "node": {"name": "one", "hostname": "mx2.relay.example"},
            "smtp": {"listen": [f"127.0.0.1:{port}"]},
            "metrics": {"listen": ""},
        },
    )
    relay.tell("domain", "add", "gold.example", "--primary", f"127.0.0.1:{free_port()}")
    node = subprocess.Popen([RELAYCTL, "-c", tmp_path / "relay.toml", "serve"], stderr=subprocess.PIPE)
    try:
        assert node.stderr is not None
        node.stderr.readline()
        wait_until(lambda: answers(port), timeout=60)
        node.stderr.close()
        with smtplib.SMTP("127.0.0.1", port, timeout=30) as client:
            assert client.sendmail("a@stranger.example", ["b@gold.example"], "Subject: hello\r\n\r\nHello.\r\n") == {}
        assert len(relay.ask("queue", "list")) == 1
        node.terminate()
        assert node.wait(40) == 0
    finally:
        node.kill()
        node.wait()
