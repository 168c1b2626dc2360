"""ETRN in a house with many domains: the customer's own host gets its mail, a stranger costs next to nothing."""

from __future__ import annotations

from pathlib import Path

from relay.appliances import store
from relay.appliances.model import Primary
from tests.integration.edge.house import House, house
from tests.support.dns_stub import DnsStub

MANY = 150


async def settle(relay: House, appliances: int) -> None:
    """So many domains below many.example, over so many appliances, whose hosts have names."""
    with relay.db.write() as connection:
        now = relay.clock.now()
        for number in range(MANY):
            if number < appliances:
                host = Primary(f"mail{number}.many.example")
                appliance = store.add_appliance(connection, now, name=f"many{number}", primaries=(host,))
            store.add_domain(connection, now, name=f"d{number}.many.example", appliance_id=appliance.id)
    await relay.learn()


async def test_a_name_that_is_nobodys_own_looks_nothing_up(tmp_path: Path) -> None:
    """A stranger who asks for all that lies below a top-level domain is sent away before a single host is looked up."""
    async with DnsStub() as stub, house(tmp_path, resolver=stub.address) as relay, relay.client() as client:
        await settle(relay, MANY)
        for name in ("@example", "@many.example"):
            assert (await client.ask(f"ETRN {name}")).startswith("459 4.7.1 ")
        assert stub.queries == []


async def test_one_host_of_many_domains_is_looked_up_once(tmp_path: Path) -> None:
    """An appliance asks for all its domains at once, however many, and its host is looked up one time for all."""
    records = {"mail0.many.example A": ["127.0.0.1"]}
    async with DnsStub(records) as stub, house(tmp_path, resolver=stub.address) as relay, relay.client() as client:
        await settle(relay, 1)
        assert (await client.ask("ETRN @many.example")).startswith("251 2.0.0 ")
        assert sorted(stub.queries) == ["mail0.many.example A", "mail0.many.example AAAA"]
