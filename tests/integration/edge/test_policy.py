"""What the node knows decides about a recipient at once: lists, health, loop proofs. (More is in the dialogues.)"""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest

from relay.appliances import proofs
from relay.appliances.contract import Naming, set_namings
from relay.appliances.facts import Health, HealthFact
from relay.appliances.model import RecipientPolicy, WhenUp
from relay.edge.counts import refused
from relay.mail import Reply
from relay.queue.model import Outcome
from relay.queue.states import State
from relay.recipients import lists
from tests.integration.edge.house import Client, house


async def rcpt(client: Client, address: str, parameters: str = "") -> str:
    """The code and status of the reply to one recipient."""
    await client.ask("RSET")
    assert (await client.ask(f"MAIL FROM:<a@b.example>{parameters}")).startswith("250 ")
    return (await client.ask(f"RCPT TO:<{address}>"))[:9]


async def test_a_list_that_changes_is_known_at_once(tmp_path: Path) -> None:
    """Unknown is temporary while nobody is listed, and final after."""
    async with house(tmp_path) as relay, relay.client() as client:
        domain = await relay.add_domain("listed.example", recipients=RecipientPolicy.LISTED)
        assert await rcpt(client, "info@listed.example") == "451 4.3.0"
        assert await rcpt(client, "postmaster@listed.example") == "250 2.1.5"
        with relay.db.write() as connection:
            lists.add(connection, domain, ["info"], 0.0)
        await relay.learn()
        assert await rcpt(client, "Info@Listed.Example") == "250 2.1.5"
        assert await rcpt(client, "other@listed.example") == "550 5.1.1"
        with relay.db.write() as connection:
            lists.remove(connection, domain, ["info"])
        await relay.learn()
        assert await rcpt(client, "info@listed.example") == "451 4.3.0"


async def test_a_primary_that_is_up_gets_its_own_mail(tmp_path: Path) -> None:
    """A domain that wants it so is deferred while the probes say that its primary is up, and are on schedule."""
    async with house(tmp_path) as relay, relay.client() as client:
        domain = await relay.add_domain("up.example", when_up=WhenUp.DEFER)
        assert await rcpt(client, "a@up.example") == "250 2.1.5"
        await relay.set_health(domain, HealthFact(Health.UP, "answers", 0.0))
        assert await rcpt(client, "a@up.example") == "250 2.1.5"
        relay.pulse.beat(domain.appliance_id, relay.clock.monotonic())
        assert await rcpt(client, "a@up.example") == "451 4.3.2"
        relay.pulse.beat(domain.appliance_id, relay.clock.monotonic() - 11)
        assert await rcpt(client, "a@up.example") == "250 2.1.5"
        relay.pulse.beat(domain.appliance_id, relay.clock.monotonic())
        await relay.set_health(domain, HealthFact(Health.DELAYED, "slow", 0.0))
        assert await rcpt(client, "a@up.example") == "250 2.1.5"


async def test_what_the_primary_offered_bounds_a_message(tmp_path: Path) -> None:
    """Also one whose sender didn't declare its size."""
    async with house(tmp_path) as relay, relay.client() as client:
        domain = await relay.add_domain("small.example")
        await relay.set_health(domain, HealthFact(Health.DOWN, "silent", 0.0, offered_size=10_000))
        assert await rcpt(client, "a@small.example", " SIZE=9900") == "552 5.3.4"
        assert await rcpt(client, "a@small.example", " SIZE=9000") == "250 2.1.5"
        await client.ask("RSET")
        assert (await client.mail(b"x" * 9_900, recipient="a@small.example")).startswith("552 5.3.4")
        assert (await client.mail(b"x" * 9_000, recipient="a@small.example")).startswith("250 ")


async def test_a_full_quota_leaves_other_domains_alone(tmp_path: Path) -> None:
    """A flood for one domain is deferred once its quota is full, and the neighbour takes mail as before."""
    async with house(tmp_path) as relay, relay.client() as client:
        await relay.add_domain("little.example", quota=50_000)
        replies = []
        for _ in range(8):
            reply = await rcpt(client, "a@little.example")
            replies.append(reply)
            if reply.startswith("250"):
                await client.ask("DATA")
                await client.ask(b"x" * 10_000 + b"\r\n.\r\n")
        assert replies == ["250 2.1.5"] * 5 + ["450 4.2.2"] * 3
        assert await rcpt(client, "a@gold.example") == "250 2.1.5"


async def test_a_quota_of_messages_is_full_when_so_many_wait(tmp_path: Path) -> None:
    """However small they are; the next sender is put off until one has gone home."""
    async with house(tmp_path) as relay, relay.client() as client:
        domain = await relay.add_domain("little.example", quota_messages=2)
        for _ in range(2):
            assert (await client.mail(b"x", recipient="a@little.example")).startswith("250 ")
        assert await rcpt(client, "a@little.example") == "450 4.2.2"
        assert await rcpt(client, "postmaster@little.example") == "450 4.2.2"
        assert await rcpt(client, "a@gold.example") == "250 2.1.5"
        oldest = (await relay.queue.due(domain.appliance_id, relay.clock.now()))[0]
        done = Reply(250, "2.0.0", "taken")
        await relay.queue.record(
            [Outcome(oldest.id, one.id, State.DELIVERED, done, relay.clock.now()) for one in oldest.recipients]
        )
        assert await rcpt(client, "a@little.example") == "250 2.1.5"


async def test_a_message_for_two_appliances_is_two_messages(tmp_path: Path) -> None:
    """One 250 for all of it, and each appliance's part on its own."""
    async with house(tmp_path) as relay, relay.client() as client:
        await relay.add_domain("other.example")
        await client.ask("MAIL FROM:<a@b.example>")
        for address in ("1@gold.example", "2@other.example", "3@gold.example"):
            await client.ask(f"RCPT TO:<{address}>")
        await client.ask("DATA")
        assert (await client.ask(b"x\r\n.\r\n")) == "250 2.0.0 Ok: queued as 1, 2"
        assert [one.recipients for one in await relay.stored()] == [["1@gold.example", "3@gold.example"]]
        assert [one.recipients for one in await relay.stored("other.example")] == [["2@other.example"]]


async def test_a_loop_proof_comes_all_the_way(tmp_path: Path) -> None:
    """It passes every policy, is stored apart from mail with our Received line, and counts once."""
    async with house(tmp_path) as relay, relay.client() as client:
        await relay.add_domain("closed.example", recipients=RecipientPolicy.LISTED, quota=0)
        address = proofs.make(relay.key, "closed.example", relay.clock.now())
        assert (await client.mail(b"Subject: proof", recipient=address, sender="")).startswith("250 2.0.0")
        found = await relay.queue.consume_proof(address.partition("@")[0])
        assert found is not None
        assert found.startswith(b"Received: from client.example ")
        assert found.endswith(b"\r\nSubject: proof\r\n")
        assert await relay.everything() == []
        assert (await client.mail(b"again", recipient=address, sender="")).startswith("550 5.7.1")


@pytest.mark.parametrize(("key", "age"), [(b"another", 0.0), (None, 120.0)], ids=["forged", "late"])
async def test_what_only_looks_like_a_proof_is_nobody(key: bytes | None, age: float, tmp_path: Path) -> None:
    """Nobody else makes an address that passes, nor is an old one good again; nor is it mail, at any domain."""
    async with house(tmp_path) as relay, relay.client() as client:
        address = proofs.make(key or relay.key, "gold.example", relay.clock.now() - age)
        assert await rcpt(client, address) == "550 5.1.1"


async def test_a_proof_travels_alone(tmp_path: Path) -> None:
    """Mail can't be hidden behind one, nor one in mail."""
    async with house(tmp_path) as relay, relay.client() as client:
        address = proofs.make(relay.key, "gold.example", relay.clock.now())
        assert await rcpt(client, address) == "250 2.1.5"
        assert (await client.ask("RCPT TO:<a@gold.example>")).startswith("452 4.5.3")
        assert await rcpt(client, "a@gold.example") == "250 2.1.5"
        assert (await client.ask(f"RCPT TO:<{address}>")).startswith("452 4.5.3")


async def test_a_node_without_a_postmaster_says_so(tmp_path: Path) -> None:
    """On loopback one may start without; its own postmaster's mail is then deferred, not lost."""
    async with house(tmp_path, node={"postmaster": ""}) as relay, relay.client() as client:
        assert await rcpt(client, "postmaster") == "451 4.3.5"
        assert await rcpt(client, "postmaster@gold.example") == "250 2.1.5"


@pytest.mark.parametrize(
    ("named", "looked", "expected"),
    [(None, None, "451 4.7.1"), (1, 0, "451 4.7.1"), (15, 0, "550 5.1.2"), (15, 3, "451 4.7.1")],
    ids=["nobody looked", "named yesterday", "not named for 15 days", "not looked for 3 days"],
)
async def test_after_the_contract_the_record_decides(
    named: int | None, looked: int | None, expected: str, tmp_path: Path
) -> None:
    """Days since an MX named us, and since anybody looked; both refusals count as the contract's."""
    async with house(tmp_path) as relay, relay.client() as client:
        domain = await relay.add_domain("over.example", until=date(2020, 1, 1))
        if named is not None and looked is not None:
            now = relay.clock.now()
            with relay.db.write() as connection:
                set_namings(connection, {domain.id: Naming(now - named * 86400, now - looked * 86400)})
            await relay.learn()
        assert await rcpt(client, "a@over.example") == expected
        await relay.tally.write()
        assert await relay.db.run(refused, relay.clock.now()) == {"over.example": {"contract": 1}}
