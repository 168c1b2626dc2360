"""Whether an MX still names us is looked up once a contract is over, and recorded by the owner."""

from __future__ import annotations

from datetime import date
from pathlib import Path

from relay.appliances import store
from relay.appliances.contract import EVERY, Naming, all_namings
from tests.integration.watch.watching import Watching, watching
from tests.support.dns_stub import DnsStub
from tests.support.waiting import eventually

RECORDS = {
    "named.test MX": ["10 mail.named.test.", "20 relay.test."],
    "gone.test MX": ["10 mail.gone.test."],
    "mail.gone.test A": ["192.0.2.25"],
    "running.test MX": ["10 mail.gone.test."],
}


def add(it: Watching, until: date, *names: str) -> dict[str, int]:
    """Domains of one appliance, by id."""
    with it.db.write() as connection:
        appliance = store.add_appliance(connection, it.clock.now(), name=names[0])
        return {
            name: store.add_domain(connection, it.clock.now(), name=name, appliance_id=appliance.id, until=until).id
            for name in names
        }


def seen(it: Watching) -> dict[int, Naming]:
    with it.db.read() as connection:
        return all_namings(connection)


async def test_domains_past_their_contract_are_looked_up(tmp_path: Path) -> None:
    """Named, silent and gone are three different things; a contract that runs is nobody's business."""
    async with DnsStub(RECORDS) as dns, watching(tmp_path, resolver=dns.address) as it:
        dns.servfail = {"silent.test"}
        numbers = add(it, date(2020, 1, 1), "named.test", "gone.test", "silent.test", "none.test")
        add(it, date(2999, 1, 1), "running.test")
        await it.directory.refresh()
        first = await eventually(lambda: len(found := seen(it)) == 4 and found)
        assert set(first) == set(numbers.values())
        number = it.directory.snapshot.domains["running.test"].id
        assert number not in first
        it.ahead += EVERY
        # The lease is renewed by that clock too.
        await eventually(lambda: it.node.owns(it.directory.snapshot.domains["gone.test"].appliance_id))
        with it.db.write() as connection:
            store.set_domain(connection, "running.test", quota=1)
        await it.directory.refresh()
        second = await eventually(
            lambda: (found := seen(it)) and all(found[n].looked_at > first[n].looked_at for n in found) and found
        )
        renewed = {name for name, number in numbers.items() if second[number].named_at > first[number].named_at}
        assert renewed == {"named.test", "silent.test"}
        await eventually(lambda: it.directory.naming(numbers["gone.test"]) == second[numbers["gone.test"]])


async def test_a_domain_that_is_removed_meanwhile_harms_no_other(tmp_path: Path) -> None:
    """Its record goes with it."""
    async with DnsStub(RECORDS) as dns, watching(tmp_path, resolver=dns.address) as it:
        dns.delay = 0.5
        numbers = add(it, date(2020, 1, 1), "named.test", "gone.test")
        await it.directory.refresh()
        await eventually(lambda: "gone.test MX" in dns.queries)
        with it.db.write() as connection:
            store.remove_domain(connection, "gone.test")
        assert set(await eventually(lambda: seen(it))) == {numbers["named.test"]}
