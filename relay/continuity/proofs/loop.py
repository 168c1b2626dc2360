"""Proof ``loop``: a synthetic message for a domain of the appliance, through a real listener over real SMTP, committed,
read back and removed.

It goes to an address that the DNS publishes for this cluster where one can be reached on port 25, as a sender's mail
would; else to our own listener, and the evidence says 'inside only'. Nothing of it reaches ledger, drain or quotas.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from relay.appliances.proofs import make
from relay.clock import Clock
from relay.dns import Resolver
from relay.errors import LookupFailed, RelayError
from relay.mail import NULL_SENDER, Envelope, Recipient
from relay.networks import Networks
from relay.queue.queue import Queue
from relay.settings import Node
from relay.smtp.connection import Connection
from relay.smtp.failure import Failure, Stage
from relay.values import parse_address

SMTP_PORT = 25
CONNECT_TIMEOUT = 5.0
REPLY_TIMEOUT = 15.0
LOCAL = b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0"
"""A header of the PROXY protocol, version 2, for a connection that is on nobody else's behalf."""


@dataclass(frozen=True, slots=True)
class Loop:
    """What the proof needs. ``listeners``: host:port of our own, asked when they are bound. ``key``: the cluster's.
    ``proxies``: from where our listeners want a header of the PROXY protocol first."""

    node: Node
    proxies: Networks
    key: bytes
    listeners: Callable[[], Sequence[str]]
    queue: Queue
    resolver: Resolver
    clock: Clock


async def prove_loop(loop: Loop, domain: str) -> tuple[bool, str]:
    """Whether it holds, and the evidence."""
    try:
        connection, where = await _connect(loop)
    except RelayError as error:
        return False, str(error)
    began = loop.clock.monotonic()
    address = make(loop.key, domain, loop.clock.now())
    body = f"A synthetic message: it proves that mail for {domain} is taken and kept. {secrets.token_hex(16)}\r\n"
    content = (
        f"From: <postmaster@{loop.node.hostname}>\r\nTo: <{address}>\r\nSubject: proof of continuity\r\n"
        f"Message-ID: <{address.partition('@')[0]}@{loop.node.hostname}>\r\n\r\n{body}"
    ).encode("utf-8", "replace")
    try:
        result = await connection.send(Envelope(NULL_SENDER, (Recipient(address),)), content)
        await connection.quit()
    finally:
        connection.close()
    answer = result.answers[0]
    if not answer.delivered:
        return False, f"{where}, a message for {domain} was refused at {answer.stage}: {answer.reply}"
    try:
        found = await loop.queue.consume_proof(address.partition("@")[0])
    except RelayError as error:
        return False, f"{where}, a message for {domain} was taken, but could not be read back: {error}"
    if found is None or not found.endswith(content):
        return False, f"{where}, a message for {domain} was taken, but is not in the queue"
    seconds = loop.clock.monotonic() - began
    return True, f"{where}, a message for {domain} was taken, committed, read back and removed in {seconds:.2f} s"


async def _connect(loop: Loop) -> tuple[Connection, str]:
    """A session and how it came about. Raises RelayError with the evidence."""
    unwilling: Failure | None = None
    published = await _published(loop)
    for address in published:
        try:
            connection = await _open(loop, address, SMTP_PORT, [address])
            return connection, f"over {connection.peer[0]}:{SMTP_PORT}, as the DNS has it"
        except Failure as failure:
            if failure.stage is not Stage.CONNECT:
                unwilling = failure  # a node that is drained, perhaps: a sender would try the next address, too
    if unwilling is not None:
        raise RelayError(f"over {', '.join(published)}, as the DNS has it: {unwilling}") from unwilling
    refused = "no listener is open"
    for listener in loop.listeners():
        host, port = parse_address(listener)
        try:
            inside = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
            connection = await _open_inside(loop, inside, port)
            return connection, f"inside only, at {listener}"
        except (Failure, LookupFailed) as failure:
            refused = f"inside, at {listener}: {failure}"
    raise RelayError(refused)


async def _open_inside(loop: Loop, host: str, port: int) -> Connection:
    """To a listener of ours, which sees us come from the address that we connect to."""
    addresses = await loop.resolver.addresses(host)
    preamble = LOCAL if any(address in loop.proxies for address in addresses) else b""
    return await _open(loop, host, port, addresses, preamble)


async def _open(loop: Loop, host: str, port: int, addresses: Sequence[str], preamble: bytes = b"") -> Connection:
    return await Connection.open(
        host,
        port,
        addresses=addresses,
        preamble=preamble,
        local_hostname=loop.node.hostname,
        connect_timeout=CONNECT_TIMEOUT,
        reply_timeout=REPLY_TIMEOUT,
        end_of_data_timeout=REPLY_TIMEOUT,
    )


async def _published(loop: Loop) -> list[str]:
    """The addresses by which the DNS names this cluster."""
    found = list(loop.node.mx_addresses)
    for name in loop.node.mx_names:
        try:
            found += await loop.resolver.addresses(name)
        except LookupFailed:
            pass  # the dns proof says so; this one goes by the other addresses, or inside
    return list(dict.fromkeys(found))
