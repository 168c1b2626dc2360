"""Clients that a DNS list names, on real sockets, with a real name server and with one that fails."""

from __future__ import annotations

from pathlib import Path

import pytest

from relay import events
from relay.edge import blocklist
from tests.integration.edge.house import Client, house
from tests.support.dns_stub import DnsStub
from tests.support.nsd import name_server
from tests.support.processes import free_port

BAD = "127.0.0.2"
RECORDS = """\
2.0.0.127 A 127.0.0.2
3.0.0.127 A 127.0.0.11
4.0.0.127 A 127.255.255.254
1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0 A 127.0.0.2
"""


async def rcpt(client: Client, address: str = "someone@gold.example") -> str:
    await client.ask("RSET")
    await client.ask("MAIL FROM:<a@b.example>")
    return await client.ask(f"RCPT TO:<{address}>")


def refused(domain: str) -> float:
    labels = {"domain": domain, "reason": "dnsbl"}
    return events.registry.get_sample_value("relay_refused_total", labels) or 0.0


async def test_a_listed_client_is_refused_but_for_a_postmaster(tmp_path: Path) -> None:
    """At RCPT, by the zone's name, IPv4 and IPv6 alike; what its filter leaves out and who it doesn't serve pass."""
    port = free_port()
    before = refused("gold.example")
    with name_server({"bl.example": RECORDS}, port=port):
        settings = {"limits": {"dnsbl": ["bl.example=127.0.0.2-9"]}, "resolver": f"127.0.0.1:{port}"}
        async with house(tmp_path, listen=["127.0.0.1:0", "[::1]:0"], **settings) as relay:
            async with relay.client(source=BAD) as client:
                reply = await rcpt(client)
                assert reply == "554 5.7.1 Mail from 127.0.0.2 is not taken here: bl.example lists it"
                assert (await rcpt(client, "Postmaster@gold.example")).startswith("250 ")
                assert (await rcpt(client, "postmaster")).startswith("250 ")
                assert (await rcpt(client, "someone@nobody.example")).startswith("554 5.7.1")
            assert refused("gold.example") == before + 1
            async with relay.client(source="::1") as client:
                assert (await rcpt(client)).startswith("554 5.7.1 Mail from ::1 ")
            for source in ("127.0.0.1", "127.0.0.3", "127.0.0.4"):
                async with relay.client(source=source) as client:
                    assert (await rcpt(client)).startswith("250 ")
            exempt = {"exempt": [BAD]}
            relay.edge.reconfigure_limits(relay.settings.limits.model_copy(update=exempt))
            async with relay.client(source=BAD) as client:
                assert (await rcpt(client)).startswith("250 ")


async def test_a_list_without_an_answer_keeps_nobody_away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """SERVFAIL and silence: mail is taken, after a short while."""
    monkeypatch.setattr(blocklist, "WAIT", 0.1)
    records = {f"{number}.0.0.127.bl.test A": ["127.0.0.2"] for number in range(2, 5)}
    async with (
        DnsStub(records) as stub,
        house(tmp_path, limits={"dnsbl": ["bl.test"]}, resolver=stub.address) as relay,
    ):
        stub.servfail = {"2.0.0.127.bl.test"}
        async with relay.client(source="127.0.0.2") as client:
            assert (await rcpt(client)).startswith("250 ")
        stub.silent = True
        async with relay.client(source="127.0.0.3") as client:
            assert (await rcpt(client)).startswith("250 ")
        stub.silent = False
        async with relay.client(source="127.0.0.4") as client:
            assert (await rcpt(client)).startswith("554 ")


async def test_lists_that_are_set_later_hold_for_who_is_here(tmp_path: Path) -> None:
    """A running node takes them over, and lets go of them; without any nobody is asked about."""
    async with (
        DnsStub({"2.0.0.127.bl.test A": ["127.0.0.2"]}) as stub,
        house(tmp_path, resolver=stub.address) as relay,
        relay.client(source=BAD) as client,
    ):
        assert (await rcpt(client)).startswith("250 ")
        assert stub.queries == []
        relay.edge.reconfigure_limits(relay.settings.limits.model_copy(update={"dnsbl": ["bl.test"]}))
        assert (await rcpt(client)).startswith("554 5.7.1")
        relay.edge.reconfigure_limits(relay.settings.limits)
        assert (await rcpt(client)).startswith("250 ")
