"""What a list is asked, what its answers mean, and what becomes of one that gives none."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import pytest

from relay import events
from relay.clock import Clock
from relay.dns import Resolver
from relay.edge import blocklist
from relay.edge.blocklist import ALONE, FAILURES, LONGEST, SHORTEST, Answer, Blocklists, Source, Zone
from relay.settings import Dns
from relay.values import parse_blocklist
from tests.support.dns_stub import DnsStub

BAD, GOOD = "192.0.2.9", "192.0.2.1"
LISTED = {"9.2.0.192.bl.test A": ["127.0.0.2"], "bl.test A": ["127.0.0.1"]}


@pytest.mark.parametrize(
    ("ip", "name"),
    [
        ("192.0.2.9", "9.2.0.192.bl.test"),
        ("2001:db8::1", "1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.bl.test"),
    ],
)
def test_an_address_is_asked_for_backwards(ip: str, name: str) -> None:
    """RFC 5782 2.1 and 2.4."""
    assert Zone("bl.test").question(ip) == name


@pytest.mark.parametrize(
    ("zone", "answer", "meaning"),
    [
        ("bl.test", [], Answer.CLEAR),
        ("bl.test", ["127.0.0.2"], Answer.LISTED),
        ("bl.test", ["127.0.1.4"], Answer.LISTED),
        ("bl.test", ["127.0.0.1"], Answer.CLEAR),
        ("bl.test", ["127.255.255.254"], Answer.REFUSED),
        ("bl.test", ["127.0.0.2", "127.255.255.252"], Answer.REFUSED),
        ("bl.test", ["203.0.113.80"], Answer.REFUSED),
        ("bl.test=127.0.0.2,127.0.0.4-8", ["127.0.0.2"], Answer.LISTED),
        ("bl.test=127.0.0.2,127.0.0.4-8", ["127.0.0.3"], Answer.CLEAR),
        ("bl.test=127.0.0.2,127.0.0.4-8", ["127.0.0.3", "127.0.0.8"], Answer.LISTED),
        ("bl.test=127.0.0.2,127.0.0.4-8", ["127.0.0.9"], Answer.CLEAR),
        ("bl.test=127.0.0.1", ["127.0.0.1"], Answer.LISTED),
    ],
)
def test_what_an_answer_means(zone: str, answer: Sequence[str], meaning: Answer) -> None:
    """Any in 127/8 but those that say no to us; where some are named, those alone."""
    assert Zone(*parse_blocklist(zone)).read(answer) is meaning


def test_a_list_that_fails_is_left_alone_for_a_while() -> None:
    """Several times in a row, or once where it says that it doesn't serve us."""
    source = Source(Zone("bl.test"))
    assert [source.failed(0.0) for _ in range(FAILURES - 1)] == [False] * (FAILURES - 1)
    source.answered()
    assert [source.failed(1.0) for _ in range(FAILURES)] == [False] * (FAILURES - 1) + [True]
    assert not source.may_be_asked(ALONE)
    assert not source.refused(2.0)
    assert source.may_be_asked(ALONE + 2)
    assert source.refused(ALONE + 3)


@asynccontextmanager
async def lists(
    *zones: str, records: dict[str, Sequence[str]] | None = None, ttl: int = 600
) -> AsyncIterator[tuple[Blocklists, DnsStub, list[float]]]:
    """Lists that ask a stub, and the time that they see."""
    now = [1000.0]
    async with DnsStub(LISTED if records is None else records, ttl=ttl) as stub:
        resolver = Resolver(Dns(resolvers=[stub.address], timeout=1.0))
        made = Blocklists(resolver, Clock(wall=lambda: 0.0, monotonic=lambda: now[0]), zones or ("bl.test",))
        yield made, stub, now
        made.close()


def counted(zone: str, result: str) -> float:
    labels = {"zone": zone, "result": result}
    return events.registry.get_sample_value("relay_dnsbl_lookups_total", labels) or 0.0


async def test_one_list_is_enough() -> None:
    """It is named, however slow or silent the others are."""
    async with lists("silent.test", "bl.test") as (made, stub, _):
        stub.servfail = {"9.2.0.192.silent.test"}
        assert await made.listed(BAD) == "bl.test"
        assert await made.listed(GOOD) == ""


async def test_an_answer_is_kept_for_as_long_as_it_says() -> None:
    """Within bounds; that an address isn't listed is asked again soon."""
    async with lists(ttl=10**6) as (made, stub, now):
        for _ in range(3):
            assert await made.listed(BAD) == "bl.test"
            assert await made.listed(GOOD) == ""
        assert len(stub.queries) == 2
        now[0] += SHORTEST + 1
        stub.records["1.2.0.192.bl.test A"] = ["127.0.0.2"]
        stub.records.pop("9.2.0.192.bl.test A")
        assert await made.listed(GOOD) == await made.listed(BAD) == "bl.test"
        assert len(stub.queries) == 3
        now[0] += LONGEST
        assert await made.listed(BAD) == ""


async def test_many_sessions_of_one_address_ask_once() -> None:
    """While the answer is on its way, too."""
    async with lists() as (made, stub, _):
        assert await asyncio.gather(*(made.listed(BAD) for _ in range(20))) == ["bl.test"] * 20
        assert len(stub.queries) == 1


async def test_what_gives_no_answer_keeps_nobody_away(monkeypatch: pytest.MonkeyPatch) -> None:
    """SERVFAIL and silence are counted; after some of them the list isn't asked any more for a while."""
    monkeypatch.setattr(blocklist, "WAIT", 0.05)
    async with lists() as (made, stub, now):
        failed, late = counted("bl.test", "failed"), counted("", "late")
        stub.silent = True
        assert await made.listed(GOOD) == ""
        assert counted("", "late") == late + 1
        stub.silent, stub.servfail = False, {f"{number}.2.0.192.bl.test" for number in range(100)}
        for number in range(20, 20 + FAILURES):
            assert await made.listed(f"192.0.2.{number}") == ""
        assert counted("bl.test", "failed") >= failed + FAILURES
        asked = len(stub.queries)
        assert await made.listed("192.0.2.90") == ""
        assert len(stub.queries) == asked
        stub.servfail = set()
        now[0] += ALONE + SHORTEST
        assert await made.listed(BAD) == "bl.test"


@pytest.mark.parametrize("answer", ["127.255.255.254", "203.0.113.80"])
async def test_a_list_that_does_not_serve_us_keeps_nobody_away(answer: str) -> None:
    """It says so once, or answers anything at all with an address of its own; then it is left alone."""
    async with lists(records={f"{number}.2.0.192.bl.test A": [answer] for number in range(100)}) as (made, stub, _):
        before = counted("bl.test", "refused")
        for number in range(10):
            assert await made.listed(f"192.0.2.{number}") == ""
        assert len(stub.queries) == 1
        assert counted("bl.test", "refused") == before + 1


async def test_a_flood_of_addresses_is_not_asked_about_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """So many at a time, and so many remembered; the rest is taken unasked."""
    monkeypatch.setattr(blocklist, "ASKING", 5)
    monkeypatch.setattr(blocklist, "KEPT", 10)
    async with lists() as (made, _, _):
        busy = counted("", "busy")
        for number in range(8):
            made.ask(f"198.51.100.{number}")
        assert counted("", "busy") == busy + 3
        assert await made.listed("198.51.100.4") == ""
        for number in range(20):
            await made.listed(f"203.0.113.{number}")
        assert len(made._known) == 10
        assert await made.listed(BAD) == "bl.test"


async def test_other_lists_are_asked_from_then_on() -> None:
    """What the old ones said is forgotten; who still waits for them goes on."""
    async with lists() as (made, stub, _):
        assert await made.listed(BAD) == "bl.test"
        made.reconfigure(["bl.test"])
        assert await made.listed(BAD) == "bl.test"
        assert len(stub.queries) == 1
        stub.silent = True
        waits = asyncio.create_task(made.listed(GOOD))
        await asyncio.sleep(0)
        made.reconfigure(["other.test"])
        assert await waits == ""
        stub.silent = False
        stub.records["9.2.0.192.other.test A"] = ["127.0.0.2"]
        assert await made.listed(BAD) == "other.test"
        made.reconfigure([])
        assert await made.listed(BAD) == ""
