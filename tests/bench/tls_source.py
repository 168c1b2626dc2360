"""A load generator that encrypts, which smtp-source can't: STARTTLS, then messages, over blocking sockets in threads.

    python -m tests.bench.tls_source --port 2525 --messages 1000 --sessions 20 --recipient user@gold.example FILE

Sends the file's message, whole commands one after the other as most senders do; ends with status 1 unless each got its
250. A process of its own for each half of the sessions, because one can't keep two servers' processors busy.
"""

from __future__ import annotations

import argparse
import multiprocessing
import socket
import ssl
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

PROCESSES = 2


def tls_source(
    port: int, messages: int, *, recipient: str, content: Path, sessions: int = 20, reuse: bool = False
) -> float:
    """Send ``messages`` and return the seconds that it took; AssertionError unless each got its 250."""
    argv = ["--port", str(port), "--messages", str(messages), "--sessions", str(sessions), "--recipient", recipient]
    argv = [sys.executable, "-m", "tests.bench.tls_source", *argv, *(["--reuse"] if reuse else []), str(content)]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, f"tls_source: {done.stderr[-2000:]}"
    return float(done.stdout)


class Session:
    """One connection, encrypted."""

    def __init__(self, port: int, context: ssl.SSLContext) -> None:
        self._sock = socket.create_connection(("127.0.0.1", port), timeout=60)
        self._sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._heard = b""
        self._expect(b"2")
        self.ask(b"EHLO source.example\r\n", b"2")
        self.ask(b"STARTTLS\r\n", b"2")
        self._sock = context.wrap_socket(self._sock)
        self.ask(b"EHLO source.example\r\n", b"2")

    def send(self, recipient: str, letter: bytes) -> None:
        """One message."""
        self.ask(b"MAIL FROM:<sender@source.example>\r\n", b"2")
        self.ask(f"RCPT TO:<{recipient}>\r\n".encode(), b"2")
        self.ask(b"DATA\r\n", b"3")
        self.ask(letter, b"2")

    def quit(self) -> None:
        self.ask(b"QUIT\r\n", b"2")
        self._sock.close()

    def ask(self, command: bytes, wanted: bytes) -> None:
        self._sock.sendall(command)
        self._expect(wanted)

    def _expect(self, wanted: bytes) -> None:
        while True:
            line, end, rest = self._heard.partition(b"\r\n")
            if not end:
                more = self._sock.recv(65536)
                assert more, "the server has closed the connection"
                self._heard += more
                continue
            self._heard = rest
            if line[3:4] != b"-":
                assert line.startswith(wanted), line
                return


def work(port: int, counts: list[int], recipient: str, letter: bytes, reuse: bool) -> None:
    """A thread for each of ``counts``, which sends so many messages."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE

    def one(messages: int) -> None:
        session: Session | None = None
        for _ in range(messages):
            session = session or Session(port, context)
            session.send(recipient, letter)
            if not reuse:
                session.quit()
                session = None
        if session is not None:
            session.quit()

    with ThreadPoolExecutor(len(counts)) as threads:
        list(threads.map(one, counts))


def main() -> None:
    parser = argparse.ArgumentParser()
    for name in ("--port", "--messages", "--sessions"):
        parser.add_argument(name, type=int, required=True)
    parser.add_argument("--recipient", required=True)
    parser.add_argument("--reuse", action="store_true")
    parser.add_argument("content", type=Path)
    given = parser.parse_args()
    lines = given.content.read_bytes().replace(b"\r\n", b"\n").split(b"\n")
    letter = b"\r\n".join(b"." + line if line.startswith(b".") else line for line in lines) + b"\r\n.\r\n"
    counts = [given.messages // given.sessions + (n < given.messages % given.sessions) for n in range(given.sessions)]
    begun = time.monotonic()
    workers = [
        multiprocessing.Process(
            target=work, args=(given.port, counts[number::PROCESSES], given.recipient, letter, given.reuse)
        )
        for number in range(PROCESSES)
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    print(time.monotonic() - begun)
    sys.exit(any(worker.exitcode for worker in workers))


if __name__ == "__main__":
    main()
