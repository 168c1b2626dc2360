"""Who exists at a domain with a list: what a client is told over a real socket."""

from __future__ import annotations

from pathlib import Path

from relay.appliances.model import RecipientPolicy
from relay.recipients import lists
from relay.recipients.entry import Entry, Source
from tests.integration.edge.house import Client, house

TAKEN, UNKNOWN, UNDECIDED = "250 2.1.5", "550 5.1.1", "451 4.3.0"


async def told(client: Client, *locals_: str) -> list[str]:
    """The replies to recipients of gold.listed.example, by what is before their @."""
    await client.ask("RSET")
    assert (await client.ask("MAIL FROM:<a@b.example> SMTPUTF8")).startswith("250 ")
    return [(await client.ask(f"RCPT TO:<{local}@listed.example>"))[:9] for local in locals_]


async def test_those_who_are_listed_are_taken_however_they_are_written(tmp_path: Path) -> None:
    """In capitals, in quotes, in either form of Unicode; others are refused for good."""
    async with house(tmp_path) as relay, relay.client() as client:
        people = ["info", '"john doe"', "bücher", "a.b"]
        await relay.add_domain("listed.example", people, recipients=RecipientPolicy.LISTED)
        assert await told(client, "INFO", '"info"', '"John Doe"', "Bücher", "bu\u0308cher", '"a.b"') == [TAKEN] * 6
        assert await told(client, "inf", "john", '"john  doe"', "bucher", "*", "a") == [UNKNOWN] * 6
        assert await told(client, "postmaster") == [TAKEN]


async def test_an_extension_belongs_to_its_mailbox(tmp_path: Path) -> None:
    """By the domain's own characters."""
    async with house(tmp_path) as relay, relay.client() as client:
        await relay.add_domain(
            "listed.example", ["info", "jean-paul"], recipients=RecipientPolicy.LISTED, plus_addressing="+-"
        )
        assert await told(client, "info+a", "info-a+b", "info+", "jean-paul-x") == [TAKEN] * 4
        assert await told(client, "+info", "jean-x", "inf+o", "paul") == [UNKNOWN] * 4


async def test_an_alias_is_somebody_and_a_catch_all_is_everybody(tmp_path: Path) -> None:
    """What becomes of their mail is the primary's business."""
    async with house(tmp_path) as relay, relay.client() as client:
        domain = await relay.add_domain("listed.example", recipients=RecipientPolicy.LISTED)
        assert await told(client, "sales") == [UNDECIDED]
        with relay.db.write() as connection:
            lists.add(connection, domain, ["sales"], 0.0, alias_of="ann@other.example")
        await relay.learn()
        assert await told(client, "sales", "sales+x", "ann") == [TAKEN, TAKEN, UNKNOWN]
        with relay.db.write() as connection:
            lists.replace(connection, domain, Source.SYNC, [Entry.parse(domain.name, "@listed.example")], 0.0)
        await relay.learn()
        assert await told(client, "ann", "whoever") == [TAKEN, TAKEN]


async def test_somebody_exists_as_long_as_one_source_says_so(tmp_path: Path) -> None:
    """And where neither lists anybody, nobody is refused for good."""
    async with house(tmp_path) as relay, relay.client() as client:
        domain = await relay.add_domain("listed.example", ["ann"], recipients=RecipientPolicy.LISTED)
        for entries, expected in (([Entry("ann"), Entry("bob")], [TAKEN, TAKEN]), ([Entry("bob")], [UNKNOWN, TAKEN])):
            with relay.db.write() as connection:
                lists.replace(connection, domain, Source.SYNC, entries, 0.0)
                if len(entries) == 1:
                    lists.remove(connection, domain, ["ann"])
            await relay.learn()
            assert await told(client, "ann", "bob") == expected
        with relay.db.write() as connection:
            lists.replace(connection, domain, Source.SYNC, [], 0.0)
        await relay.learn()
        assert await told(client, "ann", "bob") == [UNDECIDED, UNDECIDED]
