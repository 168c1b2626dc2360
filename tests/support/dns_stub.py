"""A name server for tests that need faults: real UDP on loopback, answers from a dictionary, and says no as it is told.

async with DnsStub({"acme.test MX": ["10 mail.acme.test."], "mail.acme.test A": ["192.0.2.1"]}) as stub:
    resolver = Resolver(Dns(resolvers=[stub.address]))

stub.records[...] = [...]    the next query sees it; a name without any record doesn't exist (NXDOMAIN)
stub.servfail = {"acme.test"}     SERVFAIL for these names
stub.failing = True          SERVFAIL, whatever is asked
stub.silent = True           no answers at all
stub.hanging = {"acme.test"}      no answers for these names
stub.delay = 0.5             seconds before each answer
stub.stop()                  nobody listens there any more; await stub.start(): again, on the same port
stub.queries                 what was asked, as "acme.test MX"
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

import dns.flags
import dns.message
import dns.rcode
import dns.rdatatype
import dns.rrset


class DnsStub(asyncio.DatagramProtocol):
    """See above."""

    def __init__(self, records: Mapping[str, Sequence[str]] = {}, *, ttl: int = 60) -> None:
        self.records: dict[str, Sequence[str]] = dict(records)
        self.ttl = ttl
        self.servfail: set[str] = set()
        self.failing = False
        self.silent = False
        self.hanging: set[str] = set()
        self.delay = 0.0
        self.queries: list[str] = []
        self.address = "127.0.0.1:0"
        self._transport: asyncio.DatagramTransport | None = None

    async def __aenter__(self) -> DnsStub:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        self.stop()

    async def start(self) -> None:
        loop = asyncio.get_running_loop()
        host, port = self.address.split(":")
        self._transport, _ = await loop.create_datagram_endpoint(lambda: self, local_addr=(host, int(port)))
        host, port = self._transport.get_extra_info("sockname")[:2]
        self.address = f"{host}:{port}"

    def stop(self) -> None:
        assert self._transport is not None
        self._transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        pass

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        query = dns.message.from_wire(data)
        question = query.question[0]
        name = question.name.to_text(omit_final_dot=True).lower()
        kind = dns.rdatatype.to_text(question.rdtype)
        self.queries.append(f"{name} {kind}")
        if self.silent or name in self.hanging:
            return
        answer = dns.message.make_response(query)
        answer.flags |= dns.flags.RA
        if self.failing or name in self.servfail:
            answer.set_rcode(dns.rcode.SERVFAIL)
        elif found := self.records.get(f"{name} {kind}"):
            answer.answer.append(dns.rrset.from_text_list(question.name, self.ttl, "IN", kind, list(found)))
        elif not any(key.startswith(f"{name} ") for key in self.records):
            answer.set_rcode(dns.rcode.NXDOMAIN)
        asyncio.get_running_loop().call_later(self.delay, self._send, answer.to_wire(), addr)

    def _send(self, data: bytes, addr: tuple[str, int]) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.sendto(data, addr)
