"""The mail that waits: found, looked at, held, let go, destroyed; and every recipient accounted for after each."""

from __future__ import annotations

import re
from typing import Any

import pytest

from tests.integration.cli.conftest import CONTENT, Mail
from tests.integration.cli.console import Relayctl, balanced
from tests.integration.queue.material import RECEIVED

KEYS = [
    "id",
    "domain",
    "sender",
    "recipients",
    "size",
    "received_at",
    "attempts",
    "next_attempt_at",
    "last_reply",
    "state",
    "reason",
    "evidence",
]


def _numbers(relayctl: Relayctl, *options: str | int) -> list[int]:
    return sorted({row["id"] for row in relayctl.json("queue", "list", *options)})


def _ledger(relayctl: Relayctl) -> dict[str, int]:
    """The sums of all domains, which must balance, and agree with the rows."""
    rows = relayctl.json("ledger")
    assert balanced(rows)
    assert relayctl.json("db", "check") == {"ok": True, "faults": []}
    return {key: sum(row[key] for row in rows) for key in rows[0] if key != "domain"}


def test_a_list_has_the_keys_that_scripts_rely_on(relayctl: Relayctl, mail: Mail) -> None:
    """One object a message and domain, oldest first, with times in UTC."""
    rows = relayctl.json("queue", "list")
    assert [row["id"] for row in rows] == sorted(row["id"] for row in rows)
    assert len(rows) == 8
    assert all(list(row) == KEYS for row in rows)
    (deferred,) = [row for row in rows if row["id"] == mail.deferred]
    assert deferred["domain"] == "acme.example"
    assert deferred["recipients"] == ["grey@acme.example"]
    assert deferred["attempts"] == 1
    assert deferred["last_reply"] == "451 4.7.1 greylisted"
    assert (deferred["state"], deferred["reason"]) == ("queued", None)
    assert deferred["received_at"].endswith("Z") and deferred["next_attempt_at"] > deferred["received_at"]
    (failed,) = [row for row in rows if row["id"] == mail.failed]
    assert (failed["state"], failed["reason"], failed["next_attempt_at"]) == ("held", "failed", None)


@pytest.mark.parametrize(
    ("options", "names"),
    [
        ([], ["plain", "null", "many", "old", "deferred", "failed", "bolt"]),
        (["--domain", "ACME.test."], ["many", "old"]),
        (["--sender", "<>"], ["null"]),
        (["--sender", "BOB@elsewhere.example"], ["old"]),
        (["--recipient", "Two@acme.example"], ["many"]),
        (["--state", "held"], ["failed"]),
        (["--reason", "failed"], ["failed"]),
        (["--older-than", "2d"], ["old"]),
        (["--domain", "acme.test", "--older-than", "2d", "--state", "queued"], ["old"]),
        (["--domain", "bolt.example", "--older-than", "2d"], []),
    ],
)
def test_one_filter_finds_what_is_asked_for(
    relayctl: Relayctl, mail: Mail, options: list[str], names: list[str]
) -> None:
    """All options that are given must hold."""
    assert _numbers(relayctl, *options) == sorted(getattr(mail, name) for name in names)


def test_messages_are_chosen_by_number(relayctl: Relayctl, mail: Mail) -> None:
    """One or several."""
    assert _numbers(relayctl, "--id", mail.plain, "--id", mail.bolt) == sorted([mail.plain, mail.bolt])


def test_a_long_list_says_that_there_is_more(relayctl: Relayctl, mail: Mail) -> None:
    """Nobody takes the first lines for all."""
    shown = relayctl.does("queue", "list", "--limit", 2).splitlines()
    assert len(shown) == 4
    assert shown[-1] == "… and 5 more messages; --limit shows more than 2 lines"
    assert len(relayctl.json("queue", "list", "--limit", 2)) == 2


def test_one_message_is_shown_with_each_recipient(relayctl: Relayctl, mail: Mail) -> None:
    """Where it comes from, and where each recipient stands."""
    shown = relayctl.does("queue", "show", mail.many)
    for text in ("ann@elsewhere.example", "one@acme.example", "two@acme.example", "three@acme.test"):
        assert text in shown
    assert "held failed" in relayctl.does("queue", "show", mail.failed)
    assert "550 5.1.1 no such user" in relayctl.does("queue", "show", mail.failed)
    assert [row["domain"] for row in relayctl.json("queue", "show", mail.many)] == ["acme.example", "acme.test"]


def test_mail_is_held_released_and_tried_again(relayctl: Relayctl, mail: Mail) -> None:
    """Each verb says on how many recipients it was carried out, and the ledger balances after each."""
    before = _ledger(relayctl)
    assert relayctl.does("queue", "hold", "--domain", "acme.example") == "5 recipients held\n"
    assert _ledger(relayctl) == before | {"queued": before["queued"] - 5, "held": before["held"] + 5}
    assert len(relayctl.json("queue", "list", "--reason", "operator")) == 4
    assert relayctl.does("queue", "release", "--reason", "operator") == "5 recipients released\n"
    assert _ledger(relayctl) == before
    assert relayctl.does("queue", "retry", "--id", mail.deferred) == "1 recipient tried again now\n"
    (row,) = relayctl.json("queue", "show", mail.deferred)
    assert row["next_attempt_at"] is None
    assert relayctl.json("queue", "release", "--state", "held") == {"recipients": 1, "dry_run": False}
    assert _ledger(relayctl) == before | {"queued": before["queued"] + 1, "held": 0}


@pytest.mark.parametrize(
    ("verb", "recipients"), [("hold", 8), ("release", 1), ("retry", 8), ("drop", 3)], ids=lambda value: str(value)
)
def test_a_dry_run_counts_and_changes_nothing(relayctl: Relayctl, mail: Mail, verb: str, recipients: int) -> None:
    """With the same numbers as the real run that follows."""
    which = ["--id", str(mail.many)] if verb == "drop" else []
    before = relayctl.json("queue", "list")
    said = relayctl.json("queue", verb, "--dry-run", *which)
    assert said == {"recipients": recipients, "dry_run": True}
    assert relayctl.json("queue", "list") == before
    really = relayctl.json("queue", verb, *which, *(["--yes"] if verb == "drop" else []))
    assert really == {"recipients": recipients, "dry_run": False}


def test_dropped_mail_leaves_its_trace_and_the_ledger_balanced(relayctl: Relayctl, mail: Mail) -> None:
    """It is gone from the queue, and who dropped it stays known."""
    before = _ledger(relayctl)
    assert relayctl.does("queue", "drop", "--id", mail.plain, "--yes") == "1 recipient dropped\n"
    assert _ledger(relayctl) == before | {"queued": before["queued"] - 1, "dropped": 1}
    assert relayctl.refuses("queue", "show", mail.plain) == (
        f"no message {mail.plain} waits here; 'relayctl trace --id {mail.plain}' knows what became of it"
    )
    (traced,) = relayctl.json("trace", "--id", mail.plain)
    assert traced["removed_at"] is not None
    assert traced["recipients"][0]["state"] == "dropped"
    assert traced["recipients"][0]["last_reply"].startswith("dropped by ")


def test_destroying_mail_asks_somebody(relayctl: Relayctl, mail: Mail) -> None:
    """Without a terminal and without --yes nothing is destroyed; nor is everything, for want of a filter."""
    before = relayctl.json("queue", "list")
    line = relayctl.refuses("queue", "drop", "--domain", "acme.example", stdin="y\n")
    assert line == "this would destroy mail for 6 recipients: say --yes where nobody is asked"
    assert "needs a filter" in relayctl.misused("queue", "drop", "--yes")
    assert relayctl.refuses("queue", "drop", "--domain", "bolt.example", "--older-than", "9d") == (
        "nothing matches, nothing dropped"
    )
    assert relayctl.json("queue", "list") == before


def test_a_message_is_exported_as_it_would_be_sent(relayctl: Relayctl, mail: Mail) -> None:
    """Byte for byte, one to standard output."""
    assert relayctl("queue", "export", "--id", mail.plain).raw == RECEIVED + CONTENT
    assert relayctl.refuses("queue", "export").startswith("several messages match")


@pytest.mark.parametrize("verb", ["list", "hold", "release", "retry", "export"])
def test_a_misspelt_domain_is_no_empty_queue(relayctl: Relayctl, mail: Mail, verb: str) -> None:
    """'Nothing waits' would be believed."""
    line = relayctl.refuses("queue", verb, "--domain", "acme.exmaple")
    assert line == "no Gold domain is named acme.exmaple; 'relayctl domain list' shows them"


@pytest.mark.parametrize("verb", ["show", "hold", "release", "retry", "export", "drop"])
def test_a_number_that_does_not_wait_is_said(relayctl: Relayctl, mail: Mail, verb: str) -> None:
    """With the command that knows more."""
    number = [99] if verb == "show" else ["--id", "99"]
    assert relayctl.refuses("queue", verb, *number).startswith("no message 99 waits here; 'relayctl trace --id 99'")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--domain", "not a domain"], "'not a domain' is not a domain name"),
        (["--older-than", "soon"], "'soon' should be a time such as 14d, 12h or 90m"),
    ],
)
def test_a_filter_that_makes_no_sense_is_refused(relayctl: Relayctl, options: list[str], words: str) -> None:
    """In words that name what is wrong."""
    assert relayctl.refuses("queue", "list", *options) == words


@pytest.mark.parametrize(
    ("options", "names"),
    [
        (["--message-id", "5@elsewhere.example"], ["plain"]),
        (["--message-id", "<5@elsewhere.example>"], ["plain"]),
        (["--sender", "bob@elsewhere.example"], ["old"]),
        (["--recipient", "three@acme.test"], ["many"]),
    ],
)
def test_a_message_that_waits_is_traced(relayctl: Relayctl, mail: Mail, options: list[str], names: list[str]) -> None:
    """By whatever a caller on the telephone knows of it."""
    found = relayctl.json("trace", *options)
    assert [one["id"] for one in found] == [getattr(mail, name) for name in names]
    assert all(one["removed_at"] is None for one in found)


def test_a_trace_tells_the_whole_story(relayctl: Relayctl, mail: Mail) -> None:
    """To people and to scripts."""
    shown = relayctl.does("trace", "--id", mail.plain)
    for text in ("<5@elsewhere.example>", "ann@elsewhere.example", "192.0.2.7 (client.example)", "user@acme.example"):
        assert text in shown
    assert shown.splitlines()[0] == (
        "Not yet: for user@acme.example it waits here, since its turn has not come; acme is unknown."
    )
    (traced,) = relayctl.json("trace", "--id", mail.failed)
    assert traced["recipients"] == [
        {
            "address": "nobody@acme.example",
            "domain": "acme.example",
            "state": "held",
            "reason": "failed",
            "attempts": 1,
            "last_attempt_at": traced["recipients"][0]["last_attempt_at"],
            "last_reply": "550 5.1.1 no such user",
            "next_attempt_at": None,
        }
    ]
    assert relayctl.refuses("trace", "--recipient", "x@acme.example") == (
        "no such message is here, or left within the last 30 days"
    )
    assert "say --sender" in relayctl.misused("trace")


def test_a_trace_begins_with_the_answer(relayctl: Relayctl, mail: Mail) -> None:
    """Did it get through? Of one message a sentence, of several how many of them first; and for scripts."""
    (deferred,) = relayctl.json("trace", "--id", mail.deferred)
    assert deferred["through"] == "not yet"
    assert re.fullmatch(
        r"Not yet: for grey@acme\.example it waits here, since acme put it off \(451 4\.7\.1 greylisted\); "
        r"it is tried again in 5[0-9]m\.",
        deferred["answer"],
    )
    assert deferred["recipients"][0]["next_attempt_at"] is not None
    relayctl.does("queue", "drop", "--id", mail.plain, "--yes")
    (dropped,) = relayctl.json("trace", "--id", mail.plain)
    assert dropped["through"] == "no"
    assert dropped["answer"].startswith(
        "No: for user@acme.example it was dropped here, and nobody was told (dropped by"
    )
    lines = relayctl.does("trace", "--sender", "ann@elsewhere.example").splitlines()
    assert lines[0] == "Of 5 messages: 3 not yet, 1 held here, 1 did not."
    shown = relayctl.does("trace", "--sender", "ann@elsewhere.example", "--limit", 2).splitlines()
    assert shown[0] == "Of the newest 2 messages: 1 not yet, 1 held here."
    assert shown[-1] == "… and more: --limit shows more than 2"


def test_the_ledger_of_several_domains_ends_with_their_sum(relayctl: Relayctl, mail: Mail) -> None:
    """With the parts that there are."""
    lines = relayctl.does("ledger").splitlines()
    assert lines[-1] == "3 domains: 9 accepted = 8 queued + 1 held"
    assert [line.split()[-1] for line in lines[1:-1]] == ["ok", "ok", "ok"]


def test_the_ledger_is_told_for_one_domain_or_for_all(relayctl: Relayctl, mail: Mail) -> None:
    """An object for one, a list for all; zeros for a domain that never had mail."""
    keys = ["domain", "accepted", "delivered", "bounced", "expired", "dropped", "queued", "held"]
    one: dict[str, Any] = relayctl.json("ledger", "Acme.Example")
    assert list(one) == keys
    assert one == {
        "domain": "acme.example",
        "accepted": 6,
        "delivered": 0,
        "bounced": 0,
        "expired": 0,
        "dropped": 0,
        "queued": 5,
        "held": 1,
    }
    assert [row["domain"] for row in relayctl.json("ledger")] == ["acme.example", "acme.test", "bolt.example"]
    relayctl.does("domain", "add", "new.example", "--appliance", "acme")
    assert relayctl.json("ledger", "new.example")["accepted"] == 0
    assert relayctl.refuses("ledger", "other.example").startswith("no Gold domain is named other.example")
    assert relayctl.refuses("ledger", "--outage", "7").startswith("there is no outage 7")
