"""A load generator that encrypts, which smtp-source can't: STARTTLS, then messages, over many sockets in one thread.

    python -m tests.bench.tls_source --port 2525 --messages 1000 --sessions 20 --recipient user@gold.example FILE

Sends the file's message, whole commands one after the other as most senders do; ends with status 1 unless each got its
250. Each session has a handshake of its own, none is resumed. Like smtp-source it looks after all of its sessions in
one thread: with a thread for each (stunnel in front of smtp-source too) every reply wakes another one, at the expense
of the server that is measured.
"""

from __future__ import annotations

import argparse
import select
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Generator
from pathlib import Path

READ, WRITE = select.EPOLLIN, select.EPOLLOUT
SILENCE = 60.0
"""Seconds without any reply after which the server counts as dead."""

Steps = Generator[int, None, None]
"""What a session waits for, again and again: READ or WRITE."""


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
    """One connection, encrypted; it never blocks, and says what it waits for."""

    def __init__(self, port: int) -> None:
        self.sock = socket.create_connection(("127.0.0.1", port), timeout=SILENCE)
        self.sock.setblocking(False)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._heard = b""

    def mails(self, context: ssl.SSLContext, messages: int, recipient: str, letter: bytes) -> Steps:
        """All of it, from the banner to the goodbye."""
        yield from self._expect(b"2")
        yield from self._ask(b"EHLO source.example\r\n", b"2")
        yield from self._ask(b"STARTTLS\r\n", b"2")
        tls = self.sock = context.wrap_socket(self.sock, do_handshake_on_connect=False)
        while True:
            try:
                tls.do_handshake()
                break
            except ssl.SSLWantReadError:
                yield READ
        yield from self._ask(b"EHLO source.example\r\n", b"2")
        for _ in range(messages):
            yield from self._ask(b"MAIL FROM:<sender@source.example>\r\n", b"2")
            yield from self._ask(f"RCPT TO:<{recipient}>\r\n".encode(), b"2")
            yield from self._ask(b"DATA\r\n", b"3")
            yield from self._ask(letter, b"2")
        yield from self._ask(b"QUIT\r\n", b"2")

    def _ask(self, command: bytes, wanted: bytes) -> Steps:
        left = memoryview(command)
        while left:
            try:
                left = left[self.sock.send(left) :]
            except (BlockingIOError, ssl.SSLWantWriteError):
                yield WRITE
        yield from self._expect(wanted)

    def _expect(self, wanted: bytes) -> Steps:
        while True:
            line, end, rest = self._heard.partition(b"\r\n")
            if not end:
                yield READ  # it can't be there yet
                try:
                    more = self.sock.recv(65536)
                except (BlockingIOError, ssl.SSLWantReadError):
                    continue  # a session ticket, which is no reply
                assert more, "the server has closed the connection"
                self._heard += more
                continue
            self._heard = rest
            if line[3:4] != b"-":
                assert line.startswith(wanted), line
                return


def send(port: int, counts: list[int], sessions: int, recipient: str, letter: bytes) -> None:
    """A session for each of ``counts``, which sends so many messages; so many ``sessions`` at a time."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    poll = select.epoll()
    open_now: dict[int, tuple[Session, Steps, int]] = {}
    counts = counts[::-1]
    while counts or open_now:
        while counts and len(open_now) < sessions:
            session = Session(port)
            steps = session.mails(context, counts.pop(), recipient, letter)
            wants = next(steps)
            open_now[session.sock.fileno()] = session, steps, wants
            poll.register(session.sock.fileno(), wants)
        ready = poll.poll(SILENCE)
        assert ready, "the server is silent"
        for number, _ in ready:
            session, steps, wanted = open_now[number]
            wants = next(steps, 0)
            if not wants:
                del open_now[number]
                poll.unregister(number)
                session.sock.close()
            elif wants != wanted:
                open_now[number] = session, steps, wants
                poll.modify(number, wants)


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
    each, more = divmod(given.messages, given.sessions)
    counts = [each + (n < more) for n in range(given.sessions)] if given.reuse else [1] * given.messages
    begun = time.monotonic()
    send(given.port, counts, given.sessions, given.recipient, letter)
    print(time.monotonic() - begun)


if __name__ == "__main__":
    main()
