"""A real load balancer in front of a node, which says by the PROXY protocol whose connection it hands on.

with haproxy(node_port, version=2) as port:
    smtplib.SMTP("127.0.0.1", port)
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support.processes import free_port, listens, need, running, tail
from tests.support.waiting import wait_until

CONFIG = """\
defaults
    mode tcp
    timeout connect 5s
    timeout client 60s
    timeout server 60s
listen relay
    bind 127.0.0.1:{port}
    server node 127.0.0.1:{node} {send} check check-send-proxy inter 200ms
"""


@contextmanager
def haproxy(node: int, *, version: int) -> Iterator[int]:
    """One before the node's port, on the port that is given; it checks the node's health in between."""
    program, port = need("haproxy", "haproxy"), free_port()
    with tempfile.TemporaryDirectory(prefix="relay-haproxy-") as folder:
        config, output = Path(folder) / "haproxy.cfg", Path(folder) / "output"
        config.write_text(CONFIG.format(port=port, node=node, send="send-proxy" if version == 1 else "send-proxy-v2"))
        with running([program, "-db", "-f", config], output) as process:
            wait_until(lambda: listens(port) or process.poll() is not None, timeout=20)
            assert process.poll() is None, tail(output)
            yield port
