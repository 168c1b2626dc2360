"""A region's primaries and its name server, in a process of their own, so that a bench counts the node alone.

    python -m tests.bench.region --appliances 3000 --port 12500 --dns 12501 --mx mx.gold.example

Each appliance's primary listens on an address of its own (:func:`primary`) and ``--port``, and speaks as far as a probe
hears it. The name server answers for every domain that :func:`domain` names: its primary first, then ``--mx``, whose
address is 127.0.0.1. Commands on standard input: ``count`` prints how many connections there were so far, ``down N``
takes the first N primaries away.
"""

from __future__ import annotations

import argparse
import asyncio
import resource
import sys
from typing import cast

import dns.flags
import dns.message
import dns.rdatatype
import dns.rrset
import uvloop


def primary(appliance: int) -> str:
    """The address of one."""
    return f"127.1.{appliance // 250}.{appliance % 250 + 1}"


def domain(appliance: int, number: int) -> str:
    """The name of a domain behind an appliance."""
    return f"d{number}-of-{appliance}.gold.example"


class Primary(asyncio.Protocol):
    """What a probe hears: banner, EHLO, QUIT."""

    connections = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        Primary.connections += 1
        self._transport = cast(asyncio.Transport, transport)
        self._transport.write(b"220 primary.example ESMTP\r\n")

    def data_received(self, data: bytes) -> None:
        verb = data[:4].upper()
        if verb == b"EHLO":
            self._transport.write(b"250-primary.example\r\n250-PIPELINING\r\n250 SIZE 52428800\r\n")
        elif verb == b"QUIT":
            self._transport.write(b"221 bye\r\n")
            self._transport.close()
        else:
            self._transport.write(b"250 ok\r\n")


class Names(asyncio.DatagramProtocol):
    """The name server."""

    def __init__(self, mx: str) -> None:
        self._mx = mx

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        query = dns.message.from_wire(data)
        question = query.question[0]
        answer = dns.message.make_response(query)
        answer.flags |= dns.flags.RA
        kind = dns.rdatatype.to_text(question.rdtype)
        found = self._records(question.name.to_text(omit_final_dot=True).lower(), kind)
        if found:
            answer.answer.append(dns.rrset.from_text_list(question.name, 300, "IN", kind, found))
        self._transport.sendto(answer.to_wire(), addr)

    def _records(self, name: str, kind: str) -> list[str]:
        appliance = name.partition(".")[0].rpartition("-")[2]
        if kind == "MX" and appliance.isdigit():
            return [f"10 primary-{appliance}.example.", f"20 {self._mx}."]
        if kind == "A" and name == self._mx:
            return ["127.0.0.1"]
        if kind == "A" and appliance.isdigit():
            return [primary(int(appliance))]
        return []


async def serve(appliances: int, port: int, dns_port: int, mx: str) -> None:
    loop = asyncio.get_running_loop()
    primaries = [await loop.create_server(Primary, primary(number), port) for number in range(appliances)]
    await loop.create_datagram_endpoint(lambda: Names(mx), local_addr=("127.0.0.1", dns_port))
    print("ready", flush=True)
    while line := await asyncio.to_thread(sys.stdin.readline):
        match line.split():
            case ["count"]:
                print(Primary.connections, flush=True)
            case ["down", number]:
                for server in primaries[: int(number)]:
                    server.close()
                print("down", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser()
    for name in ("--appliances", "--port", "--dns"):
        parser.add_argument(name, type=int, required=True)
    parser.add_argument("--mx", required=True)
    given = parser.parse_args()
    resource.setrlimit(resource.RLIMIT_NOFILE, (given.appliances + 1000, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
    uvloop.run(serve(given.appliances, given.port, given.dns, given.mx))


if __name__ == "__main__":
    main()
