"""Recipients: listed one by one or from a file, asked for, taken back."""

from __future__ import annotations

from pathlib import Path

import pytest

from relay.appliances import store
from relay.appliances.facts import Health, HealthFact, set_health
from relay.recipients import lists, remembered
from relay.recipients.entry import Entry, Source
from relay.recipients.learned import Answer, Known
from relay.recipients.remembered import Key
from tests.integration.cli.console import Relayctl

STAFF = "# staff\ninfo\n\nann@gold.example  # from May on\n"


@pytest.fixture
def gold(relayctl: Relayctl) -> Relayctl:
    """With a Gold domain, gold.example, of which nobody is listed yet."""
    relayctl.does("domain", "add", "gold.example", "--primary", "192.0.2.25", "--recipients", "listed")
    return relayctl


def sync(relayctl: Relayctl, *locals_: str) -> None:
    """What a directory says."""
    db = relayctl.database()
    with db.write() as connection:
        domain = store.get_domain(connection, "gold.example")
        lists.replace(connection, domain, Source.SYNC, [Entry.parse(domain.name, one) for one in locals_], 0.0)
    db.close()


def listed(relayctl: Relayctl) -> list[str]:
    return [one["address"] for one in relayctl.json("recipient", "list", "gold.example")]


def test_recipients_are_listed_one_by_one_or_from_a_file(gold: Relayctl) -> None:
    """How many were new is said; comments and empty lines are nobody."""
    assert gold.does("recipient", "add", "gold.example", "Info", "sales@gold.example") == (
        "2 recipients of gold.example added\n"
    )
    assert gold.does("recipient", "import", "gold.example", "-", "--dry-run", stdin=STAFF) == (
        "1 recipient of 2 would be added\n"
    )
    assert gold.does("recipient", "import", "gold.example", "-", stdin=STAFF) == "1 recipient of 2 added\n"
    assert listed(gold) == ["ann@gold.example", "info@gold.example", "sales@gold.example"]
    removed = gold.json("recipient", "remove", "gold.example", "ann", "nobody")
    assert removed == {"removed": 1, "still_listed": []}
    assert listed(gold) == ["info@gold.example", "sales@gold.example"]


def test_a_list_shows_what_everybody_is_and_who_says_so(gold: Relayctl) -> None:
    """Of an alias its target; what two sources list stands there twice, and stays until both drop it."""
    gold.does("recipient", "add", "gold.example", "info", '"john doe"')
    gold.does("recipient", "add", "gold.example", "sales", "--alias-of", "info")
    sync(gold, "info", "bob")
    rows = gold.json("recipient", "list", "gold.example")
    assert [tuple(row.values())[:4] for row in rows] == [
        ("bob@gold.example", "address", None, "sync"),
        ("info@gold.example", "address", None, "operator"),
        ("info@gold.example", "address", None, "sync"),
        ('"john doe"@gold.example', "address", None, "operator"),
        ("sales@gold.example", "alias", "info@gold.example", "operator"),
    ]
    assert rows[0]["added_at"] == "1970-01-01T00:00:00Z"
    lines = gold.does("recipient", "list", "gold.example").splitlines()
    assert lines[0].split() == ["ADDRESS", "KIND", "TARGET", "SOURCE", "SINCE"]
    assert lines[5].split()[:4] == ["sales@gold.example", "alias", "info@gold.example", "operator"]
    assert gold.does("recipient", "remove", "gold.example", "info") == (
        "1 recipient of gold.example removed; still listed by the sync: info@gold.example\n"
    )
    assert "info@gold.example" in listed(gold)
    gold.does("domain", "add", "b.example", "--appliance", "gold.example")
    assert gold.does("recipient", "list", "b.example") == "no recipients of b.example are listed\n"


def test_a_directory_is_imported_as_it_was_exported(gold: Relayctl, tmp_path: Path) -> None:
    """With a byte order mark; addresses of other domains are refused by their line, or left out and counted."""
    file = tmp_path / "mailboxes.csv"
    file.write_text(
        '"PrimarySmtpAddress";"EmailAddresses"\n'
        '"ann@gold.example";"SMTP:ann@gold.example smtp:sales@gold.example"\n'
        '"bob@gold.example";"SMTP:bob@gold.example smtp:bob@tenant.example"\n',
        encoding="utf-8-sig",
    )
    refusal = gold.refuses("recipient", "import", "gold.example", str(file))
    assert refusal == ("line 3: 'bob@tenant.example' is not an address at gold.example; --skip-others leaves such out")
    assert listed(gold) == []
    assert gold.does("recipient", "import", "gold.example", str(file), "--skip-others") == (
        "3 recipients of 3 added, 1 address of other domains left out\n"
    )
    assert listed(gold) == ["ann@gold.example", "bob@gold.example", "sales@gold.example"]
    assert "UTF-8" in gold.refuses("recipient", "import", "gold.example", "-", stdin=b"\xff\xff\n")


def test_a_file_may_be_all_that_operators_list(gold: Relayctl) -> None:
    """What it lacks is removed, and what the sync says is left alone; so many at once only if somebody is sure."""
    sync(gold, "bob")
    gold.does("recipient", "add", "gold.example", "ann", "cid", "dan", "eve", "fay")
    replace = ("recipient", "import", "gold.example", "-", "--replace")
    assert gold.does(*replace, stdin="ann\ncid\ndan\neve\ngus\n") == "1 recipient of 5 added, 1 removed\n"
    assert gold.does(*replace, "--dry-run", stdin="ann\n") == "0 recipients of 1 would be added, 4 would be removed\n"
    assert gold.refuses(*replace, stdin="ann\n") == (
        "this would remove 4 of 5 recipients that operators listed for gold.example: say --yes where nobody is asked"
    )
    assert len(listed(gold)) == 6
    assert gold.does(*replace, "--yes", stdin="ann\n") == "0 recipients of 1 added, 4 removed\n"
    assert listed(gold) == ["ann@gold.example", "bob@gold.example"]
    answer = gold.json("recipient", "import", "gold.example", "/dev/null", "--replace", "--yes")
    assert answer == {"added": 0, "removed": 1, "total": 0, "skipped": 0, "dry_run": False}


def answers(relayctl: Relayctl, *addresses: str) -> list[str]:
    return [f"{one['answer']} {one['reply'][:9]}".strip() for one in relayctl.json("recipient", "check", *addresses)]


def test_whether_mail_would_be_taken_is_answered_as_at_the_edge(gold: Relayctl) -> None:
    """With its reply, and with the reason."""
    who = ("ann@gold.example", "postmaster@gold.example", "ann@other.example", "ann", "a@b@gold.example")
    assert answers(gold, *who) == [
        "undecided 451 4.3.0",
        "taken",
        "refused 550 5.7.1",
        "refused 553 5.1.3",
        "refused 553 5.1.3",
    ]
    gold.does("recipient", "add", "gold.example", "ann")
    gold.does("recipient", "add", "gold.example", "sales", "--alias-of", "ann")
    sync(gold, "bob")
    rows = gold.json("recipient", "check", "Ann@Gold.example", "sales+x@gold.example", "bob@gold.example")
    assert [(row["answer"], row["why"]) for row in rows] == [
        ("taken", "listed by operators"),
        ("taken", "an extension of sales@gold.example, listed by operators as an alias of ann@gold.example"),
        ("taken", "listed by the sync"),
    ]
    shown = gold.does("recipient", "check", "nobody@gold.example").splitlines()[1]
    assert shown.split(maxsplit=2) == [
        "nobody@gold.example",
        "unknown",
        "550 5.1.1 No such recipient – nobody lists it",
    ]
    gold.does("recipient", "add", "gold.example", "*@gold.example")
    (row,) = gold.json("recipient", "check", "nobody@gold.example")
    assert (row["answer"], row["why"]) == ("taken", "there is a catch-all, listed by operators")
    gold.does("domain", "set", "gold.example", "--recipients", "any")
    assert "every recipient of gold.example is taken" in gold.does("recipient", "check", "nobody@gold.example")


def test_what_was_learned_is_answered_from_memory(gold: Relayctl) -> None:
    """No primary is asked; the never-seen meet what the domain wants for them."""
    gold.does("domain", "set", "gold.example", "--recipients", "learned")
    db = gold.database()
    with db.write() as connection:
        domain = store.get_domain(connection, "gold.example")
        known = {"ann": Known(Answer.ACCEPTED, 1e9, 2e9), "nobody": Known(Answer.REJECTED, 1e9, 2e9, 3)}
        remembered.write(connection, {(Key(domain.id, domain.created_at), name): one for name, one in known.items()})
    db.close()
    who = ("ann@gold.example", "nobody@gold.example", "new@gold.example")
    assert answers(gold, *who) == ["taken", "unknown 550 5.1.1", "taken"]
    gold.does("domain", "set", "gold.example", "--never-seen", "reject")
    assert answers(gold, *who) == ["taken", "unknown 550 5.1.1", "unknown 550 5.1.1"]
    assert "by what its primary has answered" in gold.does("recipient", "check", *who)


def test_what_else_speaks_against_mail_is_answered_too(gold: Relayctl) -> None:
    """The end of the contract, a primary that is up."""
    gold.does("recipient", "add", "gold.example", "ann")
    gold.does("domain", "set", "gold.example", "--until", "2020-01-01")
    assert answers(gold, "ann@gold.example") == ["deferred 451 4.7.1"]
    gold.does("domain", "set", "gold.example", "--until", "none", "--when-up", "defer")
    assert answers(gold, "ann@gold.example") == ["taken"]
    db = gold.database()
    with db.write() as connection:
        set_health(connection, 1, HealthFact(Health.UP, "answers", 0.0))
    db.close()
    assert answers(gold, "ann@gold.example") == ["deferred 451 4.3.2"]


def test_what_begins_an_extension_is_each_domains_own(gold: Relayctl) -> None:
    """Several characters, or none; anything else is refused."""
    gold.does("recipient", "add", "gold.example", "ann")
    assert answers(gold, "ann+x@gold.example", "ann-x@gold.example") == ["taken", "unknown 550 5.1.1"]
    changed = gold.json("domain", "set", "gold.example", "--plus-addressing", "-=-")
    assert changed["plus_addressing"] == "-="
    assert answers(gold, "ann+x@gold.example", "ann-x@gold.example") == ["unknown 550 5.1.1", "taken"]
    gold.does("domain", "set", "gold.example", "--plus-addressing", "none")
    assert answers(gold, "ann+x@gold.example", "ann-x@gold.example") == ["unknown 550 5.1.1"] * 2
    for text in ("ab", ".", "%", " "):
        refusal = gold.refuses("domain", "set", "gold.example", "--plus-addressing", text)
        assert refusal == f"--plus-addressing: {text!r} should be characters such as + or +-, or none"


def test_who_wants_listed_recipients_before_there_are_any_is_told(relayctl: Relayctl) -> None:
    """All mail is put off from that moment on."""
    relayctl.does("domain", "add", "acme.example", "--primary", "192.0.2.25")
    told = relayctl.does("domain", "set", "acme.example", "--recipients", "listed")
    assert told == (
        "domain acme.example changed; nobody is listed: all mail is put off until "
        "'relayctl recipient import acme.example'\n"
    )
    relayctl.does("recipient", "add", "acme.example", "info")
    assert relayctl.does("domain", "set", "acme.example", "--recipients", "listed") == "domain acme.example changed\n"
