"""A real node under floods: what one client pours in costs it little memory, and keeps nobody else waiting for ever.

(A whole gigabyte each, and how fast: python -m tests.bench.memory.)
"""

from __future__ import annotations

import smtplib
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.memory import forget_peak, peak, resident
from tests.support.processes import free_port
from tests.support.relayctl import Relay
from tests.support.waiting import wait_until

MB = 1_000_000
MOST = 50 * MB
"""What any of this may cost."""
LISTENS = "0A"
"""A state in /proc/net/tcp."""
ENVELOPE = b"MAIL FROM:<flood@elsewhere.example>\r\nRCPT TO:<someone@gold.example>\r\n"


@dataclass
class Node:
    """A running node: its process and its port."""

    pid: int
    port: int

    @contextmanager
    def client(self, source: str = "127.0.0.1") -> Iterator[socket.socket]:
        """After EHLO."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=60, source_address=(source, 0)) as made:
            until(made, b"220 ")
            made.sendall(b"EHLO flood.example\r\n")
            until(made, b"250 ENHANCEDSTATUSCODES\r\n")
            yield made

    @contextmanager
    def small(self) -> Iterator[None]:
        """What happens here costs little memory, even for a moment, and afterwards mail is taken as before."""
        before = resident(self.pid)
        forget_peak(self.pid)
        yield
        assert peak(self.pid) - before < MOST
        self.serve_others()

    def sessions(self) -> int:
        """Its ends of connections to its port: those of whoever comes, and not its own to primaries and database."""
        sockets, found = {f"socket:[{inode}]" for inode in _connections(self.port)}, 0
        for descriptor in Path(f"/proc/{self.pid}/fd").iterdir():
            with suppress(FileNotFoundError):  # closed meanwhile
                found += str(descriptor.readlink()) in sockets
        return found

    def serve_others(self) -> None:
        with smtplib.SMTP("127.0.0.1", self.port, timeout=60, source_address=("127.0.0.2", 0)) as client:
            assert client.sendmail("a@elsewhere.example", ["someone@gold.example"], "Subject: x\r\n\r\nx\r\n") == {}


def _connections(port: int) -> list[str]:
    """The inodes of this machine's sockets that have this port for their own and aren't its listener (proc_net(5))."""
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return [row[9] for row in rows if row[1].endswith(f":{port:04X}") and row[3] != LISTENS]


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    port = free_port()
    settings = {
        "node": {"name": "one", "hostname": "mx2.relay.example"},
        "smtp": {"listen": [f"127.0.0.1:{port}"]},
        "limits": {"greet_wait": 0},
        "metrics": {"listen": ""},
    }
    relay = Relay(tmp_path_factory.mktemp("node"), settings)
    relay.tell("domain", "add", "gold.example", "--primary", f"127.0.0.1:{free_port()}")
    with relay.serving() as process:
        made = Node(process.pid, port)
        made.serve_others()  # what it loads for its first message it has then
        yield made


def until(client: socket.socket, end: bytes) -> bytes:
    """What is heard up to a line that begins with ``end``."""
    heard = b""
    while not any(line.startswith(end) for line in heard.splitlines(keepends=True)) or not heard.endswith(b"\r\n"):
        piece = client.recv(65536)
        assert piece, heard
        heard += piece
    return heard


def pour(client: socket.socket, piece: bytes, size: int) -> None:
    for _ in range(size // len(piece)):
        client.sendall(piece)


@pytest.mark.parametrize("piece", [b"x", b"\n", b"MAIL FROM:<a@b.example>\n"], ids=["no end", "LF", "commands"])
def test_a_command_without_end(piece: bytes, node: Node) -> None:
    """One refusal for all of it, and behind its CRLF the next command."""
    with node.small(), node.client() as client:
        pour(client, piece * (MB // len(piece)), (200 if piece == b"x" else 20) * MB)
        client.sendall(b"\r\nNOOP\r\n")
        heard = until(client, b"250 2.0.0 ")
        assert heard.startswith(b"500 5.5.2 ")
        assert heard.count(b"\r\n") == 2


@pytest.mark.parametrize(
    ("piece", "size", "reply"),
    [
        (b"x", 200 * MB, b"552 5.3.4"),
        (b"\n", 60 * MB, b"552 5.3.4"),
        (b".", 60 * MB, b"552 5.3.4"),
        (b"X-Header: y\r\n", 60 * MB, b"552 5.3.4"),
        (b"X-Header:\r\n ", 60 * MB, b"552 5.3.4"),
        (b"Received: from a by b.example; date\r\n", 37 * MB, b"554 5.4.6"),
    ],
    ids=["no line end", "LF", "dots", "endless header", "endless folding", "a million Received"],
)
def test_content_without_end(piece: bytes, size: int, reply: bytes, node: Node) -> None:
    """It is swallowed up to its end, and refused."""
    with node.small(), node.client() as client:
        client.sendall(ENVELOPE + b"DATA\r\n")
        until(client, b"354 ")
        pour(client, piece * (MB // len(piece)), size)
        client.sendall(b"\r\n.\r\nNOOP\r\n")
        assert until(client, b"250 2.0.0 ").startswith(reply)


@pytest.mark.parametrize("size", [b"1000000000", b"99999999999999999999"], ids=["a gigabyte", "past 2^64"])
def test_a_chunk_that_is_announced_and_too_large(size: bytes, node: Node) -> None:
    """Not a byte of it is kept, and none is a command."""
    with node.small(), node.client() as client:
        client.sendall(ENVELOPE + b"BDAT " + size + b" LAST\r\n")
        pour(client, b"QUIT\r\n" * (MB // 6), 60 * MB)
        assert until(client, b"250 2.1.5 ").count(b"\r\n") == 2


def recipients(numbers: range) -> bytes:
    """Commands as long as they may be."""
    return b"".join(b"RCPT TO:<%s%d@gold.example>\r\n" % (b"x" * 400, number) for number in numbers)


def test_a_hundred_thousand_recipients(node: Node) -> None:
    """A thousand are taken, a thousand may wait for another message, and who goes on asking is hung up on."""
    with node.small(), node.client() as client:
        client.sendall(b"MAIL FROM:<flood@elsewhere.example>\r\n" + recipients(range(2020)))
        heard = bytearray()
        while heard.count(b"\r\n") < 2021:
            heard += client.recv(65536)
        assert heard.count(b"250 2.1.5 ") == 1000
        assert heard.count(b"452 4.5.3 ") == 1020
        with suppress(ConnectionError):
            client.sendall(recipients(range(2020, 100_000)))
        with suppress(ConnectionError):
            assert until(client, b"421 ").startswith(b"421 4.7.0 ")


@pytest.mark.parametrize("command", [b"NOOP\r\n", b"RSET\r\n", b"VRFY a\r\n", b"HELP\r\n", b"EHLO a\r\n", b"\r\n"])
def test_commands_that_lead_nowhere(command: bytes, node: Node) -> None:
    """The session is ended long before a hundred thousand of them."""
    with node.small(), node.client() as client, suppress(ConnectionError):
        for _ in range(100):
            client.sendall(command * 1000)
        assert b"421 4.7.0 " in until(client, b"421 ")


def test_clients_that_never_read(node: Node) -> None:
    """What they ask for is answered as long as there is room for replies, and no longer."""
    with node.small(), ExitStack() as stack:
        clients = [stack.enter_context(node.client()) for _ in range(20)]
        for client in clients:
            client.sendall(ENVELOPE)
            client.setblocking(False)
        sent = 0
        before = -1
        while sent != before:  # until nothing more is taken
            before = sent
            for client in clients:
                with suppress(BlockingIOError):
                    while sent - before < 20 * MB:
                        sent += client.send(b"RCPT TO:<someone@gold.example>\r\n" * 1000)


def test_clients_that_are_half_gone(node: Node) -> None:
    """One that sends no more, in the middle of whatever it was, is let go of at once."""
    halves = (b"", b"NOO", ENVELOPE, ENVELOPE + b"DATA\r\nhalf a message", ENVELOPE + b"BDAT 100\r\nhalf a chunk")
    with node.small(), ExitStack() as stack:
        for half in halves * 5:
            client = stack.enter_context(node.client())
            client.sendall(half)
            client.shutdown(socket.SHUT_WR)
            while client.recv(65536):
                pass


def test_an_octet_at_a_time(node: Node) -> None:
    """A client whose every octet comes in a packet of its own is as good as any other."""
    with node.small(), node.client() as client:
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for said, reply in (
            (ENVELOPE + b"DATA\r\n", b"354 "),
            (b"Subject: slow\r\n\r\nHello\r\n..\r\n.\r\n", b"250 2.0.0 "),
            (ENVELOPE + b"BDAT 7 LAST\r\n.\r\n.\r\n\n", b"250 2.0.0 "),
        ):
            for octet in said:
                client.sendall(bytes([octet]))
            until(client, reply)


def test_nothing_is_left_of_all_this(node: Node) -> None:
    """No session stays, whatever it was given."""
    wait_until(lambda: node.sessions() == 0)
