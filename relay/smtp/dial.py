"""A TCP connection to the first of a host's addresses that answers.

Addresses are tried in the order given, the next one a quarter of a second after the last or as soon as that has
failed, and whichever connects first is kept (RFC 8305, without its sorting): a dead IPv6 path costs a moment, not
the whole time allowed.
"""

from __future__ import annotations

import asyncio
import errno
import ipaddress
from collections.abc import Callable, Sequence

from relay.smtp.failure import Failure, Kind, Stage, timed_out
from relay.smtp.wire import Wire

_OURS = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM, errno.EADDRNOTAVAIL)

ATTEMPT_DELAY = 0.25
"""Seconds before the next address gets its chance (RFC 8305 section 5)."""


def addresses_of(host: str, addresses: Sequence[str]) -> list[str]:
    """The addresses to try: those given, or the host itself where it is one. Raises Failure where there is none."""
    if addresses:
        return list(addresses)
    try:
        return [str(ipaddress.ip_address(host.strip("[]")))]
    except ValueError:
        raise Failure(Stage.CONNECT, Kind.DNS, f"{host} has no address") from None


async def dial(addresses: Sequence[str], port: int, timeout: float, make: Callable[[], Wire]) -> Wire:
    """Connect within ``timeout`` seconds in all. Raises Failure."""
    refused: list[Failure] = []
    waiting = list(reversed(addresses))
    attempts: dict[asyncio.Task[Wire], str] = {}
    try:
        async with asyncio.timeout(timeout):
            while waiting or attempts:
                if waiting:
                    address = waiting.pop()
                    attempts[asyncio.create_task(_connect(address, port, make))] = address
                delay = ATTEMPT_DELAY if waiting else None
                done, _ = await asyncio.wait(attempts, timeout=delay, return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    error = task.exception()
                    if error is None:
                        del attempts[task]
                        return task.result()
                    if not isinstance(error, OSError):
                        raise error
                    refused.append(_failure(error, attempts.pop(task), len(addresses) > 1))
    except TimeoutError:
        raise timed_out(Stage.CONNECT, timeout) from None
    finally:
        for task in attempts:
            task.add_done_callback(_discard)
            task.cancel()
    kinds = {failure.kind for failure in refused}
    kind = next(kind for kind in (Kind.REFUSED, Kind.UNREACHABLE, Kind.LOCAL) if kind in kinds)
    raise Failure(Stage.CONNECT, kind, "; ".join(failure.text for failure in refused))


async def _connect(address: str, port: int, make: Callable[[], Wire]) -> Wire:
    _, wire = await asyncio.get_running_loop().create_connection(make, address, port)
    return wire


def _discard(task: asyncio.Task[Wire]) -> None:
    """An address that lost the race: its connection, if there is one, is ended."""
    if not task.cancelled() and task.exception() is None:
        task.result().close()


def _failure(error: OSError, address: str, several: bool) -> Failure:
    if isinstance(error, ConnectionRefusedError):
        kind, text = Kind.REFUSED, "connection refused"
    elif error.errno in (errno.ENETUNREACH, errno.EHOSTUNREACH):
        kind, text = Kind.UNREACHABLE, "the network says that it can't be reached"
    else:
        kind = Kind.LOCAL if error.errno in _OURS else Kind.UNREACHABLE
        text = error.strerror or str(error) or type(error).__name__
    return Failure(Stage.CONNECT, kind, f"{address}: {text}" if several else text)
