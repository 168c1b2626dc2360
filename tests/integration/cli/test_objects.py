"""Appliances, domains, recipients and windows: entered, shown, changed, taken back."""

from __future__ import annotations

import json
import re
from contextlib import closing
from datetime import date
from pathlib import Path

import pytest

from relay.appliances import store
from relay.recipients import remembered
from relay.recipients.learned import Answer, Known
from relay.recipients.remembered import Key
from tests.integration.cli.conftest import Mail
from tests.integration.cli.console import Relayctl

ACME = {
    "appliance": "acme",
    "customer": "Acme Ltd",
    "primaries": ["mail.acme.example:25", "[2001:db8::25]:2525"],
    "business_hours": "Sun-Thu 08:00-17:00",
    "timezone": "Asia/Jerusalem",
    "holidays": "IL",
    "activation": "always",
    "contacts": ["ops@elsewhere.example"],
    "hidden": True,
    "skip_proofs": ["dns", "tls"],
}


def _add_acme(relayctl: Relayctl) -> None:
    relayctl.does(
        *("appliance", "add", "acme", "--customer", "Acme Ltd", "--primary", "mail.acme.example"),
        *("--primary", "[2001:db8::25]:2525", "--business-hours", "Sun-Thu 08:00-17:00", "--activation", "always"),
        *("--timezone", "Asia/Jerusalem", "--holidays", "IL", "--contact", "ops@elsewhere.example", "--hidden"),
        *("--skip-proof", "dns", "--skip-proof", "tls"),
    )


def test_an_appliance_is_kept_as_it_was_entered(relayctl: Relayctl) -> None:
    """And changed one thing at a time."""
    _add_acme(relayctl)
    shown = relayctl.json("appliance", "show", "acme")
    assert {key: shown[key] for key in ACME} == ACME
    assert (shown["domains"], shown["health"]) == ([], "unknown")
    changed = relayctl.json("appliance", "set", "acme", "--activation", "manual", "--no-hidden")
    assert {key: changed[key] for key in ACME} == ACME | {"activation": "manual", "hidden": False}
    options = ["--primary", "mx", "--contact", "none", "--skip-proof", "none", "--holidays", ""]
    changed = relayctl.json("appliance", "set", "acme", *options)
    assert (changed["primaries"], changed["contacts"], changed["skip_proofs"]) == (["mx"], [], [])
    assert changed["holidays"] == ""
    assert "mail.acme.example" not in relayctl.does("appliance", "list")
    assert relayctl.does("appliance", "remove", "acme") == "appliance acme removed\n"
    assert relayctl.json("appliance", "list") == []


def test_how_hard_a_primary_is_pressed_is_said_and_taken_back(relayctl: Relayctl) -> None:
    """Connections at once and messages a second, from the beginning or later; 'none' for no word of one's own."""
    options = ["--max-connections", "5", "--max-rate", "0.5"]
    added = relayctl.json("appliance", "add", "acme", "--primary", "mail.acme.example", *options)
    assert (added["max_connections"], added["max_rate"]) == (5, 0.5)
    words = relayctl.does("appliance", "show", "acme")
    assert re.search(r"max connections +5\n", words)
    assert re.search(r"max rate +0\.5 messages a second\n", words)
    changed = relayctl.json("appliance", "set", "acme", "--max-rate", "120")
    assert (changed["max_connections"], changed["max_rate"]) == (5, 120.0)
    changed = relayctl.json("appliance", "set", "acme", "--max-rate", "none", "--max-connections", "none")
    assert (changed["max_connections"], changed["max_rate"]) == (None, None)
    assert re.search(
        r"max connections +20 \(\[delivery\] max_connections\)", relayctl.does("appliance", "show", "acme")
    )
    relayctl.does("domain", "add", "gold.example", "--primary", "192.0.2.25", "--max-rate", "7")
    assert relayctl.json("appliance", "show", "gold.example")["max_rate"] == 7.0


def test_how_primaries_are_spoken_to_is_said_for_each_appliance(relayctl: Relayctl) -> None:
    """And 'default' goes back to the node's setting, which is shown."""
    added = relayctl.json("appliance", "add", "acme", "--primary", "mail.acme.example", "--tls", "verify")
    assert added["tls"] == "verify"
    assert relayctl.json("appliance", "set", "acme", "--tls", "default")["tls"] is None
    assert re.search(r"tls +opportunistic \(\[delivery\] tls\)\n", relayctl.does("appliance", "show", "acme"))


def test_a_domain_is_added_to_an_appliance_or_with_one_of_its_own(relayctl: Relayctl) -> None:
    """The long way and the short one; what isn't said has the defaults."""
    _add_acme(relayctl)
    options = [
        "--recipients",
        "listed",
        "--when-up",
        "defer",
        "--lifetime",
        "30d",
        "--quota",
        "5GB",
        "--quota-messages",
        "5000",
    ]
    added = relayctl.json("domain", "add", "ACME.Example.", "--appliance", "acme", *options, "--until", "2030-12-31")
    assert {key: value for key, value in added.items() if key != "created_at"} == {
        "domain": "acme.example",
        "appliance": "acme",
        "recipients": "listed",
        "never_seen": "accept",
        "plus_addressing": "+",
        "when_up": "defer",
        "lifetime_seconds": 30 * 86400,
        "quota_bytes": 5_000_000_000,
        "quota_messages": 5000,
        "until": "2030-12-31",
    }
    said = relayctl.does("domain", "add", "gold.example", "--primary", "192.0.2.25", "--activation", "manual")
    assert said.startswith("domain gold.example added to appliance gold.example; 'relayctl doctor gold.example' says")
    short = relayctl.json("domain", "show", "gold.example")
    assert (short["recipients"], short["when_up"], short["lifetime_seconds"]) == ("any", "relay", 14 * 86400)
    assert relayctl.json("appliance", "show", "gold.example")["activation"] == "manual"
    assert relayctl.json("domain", "set", "acme.example", "--until", "none")["until"] is None
    shown = relayctl.does("domain", "show", "acme.example")
    assert re.search(r"lifetime +30d\n", shown) and re.search(r"quota +5\.0 GB\n", shown)
    assert re.search(r"quota messages +5000\n", shown)
    assert "5.0 GB, 5 000 messages" in relayctl.does("domain", "list")
    assert relayctl.json("domain", "set", "acme.example", "--quota-messages", "0")["quota_messages"] == 0
    assert [one["domain"] for one in relayctl.json("domain", "list")] == ["acme.example", "gold.example"]


def test_a_name_may_be_written_as_people_write_it(relayctl: Relayctl) -> None:
    """In capitals, with a final dot, with umlauts."""
    relayctl.does("domain", "add", "Bücher.Example", "--primary", "192.0.2.25")
    assert relayctl.json("domain", "show", "BÜCHER.example.")["domain"] == "xn--bcher-kva.example"
    assert relayctl.json("status", "bücher.example")["domains"][0]["domain"] == "xn--bcher-kva.example"
    assert relayctl.json("queue", "list", "--domain", "bücher.example") == []


def test_mail_keeps_its_domain_from_being_removed(relayctl: Relayctl, mail: Mail) -> None:
    """Nor may it change its appliance: nothing that was accepted gets lost."""
    assert relayctl.refuses("domain", "remove", "acme.test") == (
        "2 recipients of acme.test still wait here, so it can't be removed; "
        "see 'relayctl queue list --domain acme.test'"
    )
    assert "can't be moved" in relayctl.refuses("domain", "set", "acme.test", "--appliance", "bolt")
    moved = "domain,appliance\nacme.test,bolt\n"
    assert relayctl.refuses("domain", "import", "-", stdin=moved).startswith("line 2: 2 recipients of acme.test still")
    relayctl.does("queue", "drop", "--domain", "acme.test", "--yes")
    assert relayctl.json("domain", "set", "acme.test", "--appliance", "bolt")["appliance"] == "bolt"
    assert relayctl.does("domain", "remove", "acme.test") == "domain acme.test removed\n"


def test_an_appliance_that_loses_its_last_domain_is_not_forgotten(relayctl: Relayctl) -> None:
    """It is watched as before: who removes the domain is told, and so is who wonders about its ticket."""
    relayctl.does("domain", "add", "acme.example", "--primary", "192.0.2.25")
    told = relayctl.does("domain", "remove", "acme.example")
    assert told == (
        "domain acme.example removed; appliance acme.example has none left, and is still watched: "
        "'relayctl appliance remove acme.example'\n"
    )
    relayctl.does("ticket", "open", "acme.example", "-m", "it smokes")
    line = "appliance acme.example has no domains, and P1 #1: 'relayctl appliance remove acme.example', if nobody"
    assert line in relayctl.does("status")
    shown = relayctl.does("status", "acme.example")
    assert "acme.example has no Gold domains\n" in shown
    assert "192.0.2.25" in shown


def test_domains_are_exported_and_imported_again(relayctl: Relayctl, tmp_path: Path) -> None:
    """What comes out goes in; a dry run says the same and does nothing."""
    _add_acme(relayctl)
    relayctl.does("domain", "add", "a.example", "--appliance", "acme", "--until", "2030-12-31")
    listed = ["--recipients", "listed", "--plus-addressing", "none"]
    relayctl.does("domain", "add", "b.example", "--appliance", "acme", "--quota-messages", "123", *listed)
    before = relayctl.json("domain", "list")
    exported = relayctl.does("domain", "export")
    assert exported.splitlines()[1] == "a.example,acme,any,relay,1209600s,10000000000,0,2030-12-31,accept,+"
    relayctl.does("domain", "remove", "b.example")
    file = tmp_path / "domains.csv"
    file.write_text(exported)
    said = relayctl.does("domain", "import", str(file), "--dry-run")
    assert said == "1 domain would be added, 1 would be changed\n"
    assert len(relayctl.json("domain", "list")) == 1
    assert relayctl.json("domain", "import", str(file)) == {"added": 1, "changed": 1, "dry_run": False}
    after = relayctl.json("domain", "list")
    assert [one["plus_addressing"] for one in after] == ["+", ""]
    assert [one | {"created_at": ""} for one in after] == [one | {"created_at": ""} for one in before]


def test_learned_recipients_are_shown_and_forgotten(relayctl: Relayctl) -> None:
    """With answer, age and how sure it is; a dry run says the same and does nothing."""
    relayctl.does("domain", "add", "gold.example", "--primary", "192.0.2.25", "--recipients", "learned")
    assert relayctl.does("recipient", "list", "gold.example").startswith("nothing has been learned of gold.example yet")
    assert relayctl.json("domain", "set", "gold.example", "--never-seen", "defer")["never_seen"] == "defer"
    with closing(relayctl.database()) as db, db.write() as connection:
        domain = store.get_domain(connection, "gold.example")
        key = Key(domain.id, domain.created_at)
        seen = {"ann": Known(Answer.ACCEPTED, 1e9, 2e9, 7), "nobody": Known(Answer.REJECTED, 1e9, 1e9)}
        remembered.write(connection, {(key, local): known for local, known in seen.items()})
    first, second = relayctl.json("recipient", "list", "gold.example")
    assert (first["address"], first["answer"], first["sure"]) == ("ann@gold.example", "accepted", True)
    assert (first["confirmations"], first["last_at"]) == (7, "2033-05-18T03:33:20Z")
    assert (second["address"], second["answer"], second["sure"]) == ("nobody@gold.example", "rejected", False)
    lines = relayctl.does("recipient", "list", "gold.example").splitlines()
    assert lines[0].split() == ["ADDRESS", "ANSWER", "AGE", "CONFIRMED", "SURE"]
    assert lines[2].split()[:2] == ["nobody@gold.example", "rejected"] and lines[2].endswith("not yet")
    assert relayctl.json("domain", "show", "gold.example")["accepts_all"] is None
    said = relayctl.does("recipient", "forget", "gold.example", "--dry-run")
    assert said == "2 recipients of gold.example would be forgotten\n"
    assert relayctl.does("recipient", "forget", "gold.example", "ANN") == "1 recipient of gold.example forgotten\n"
    assert [one["address"] for one in relayctl.json("recipient", "list", "gold.example")] == ["nobody@gold.example"]
    relayctl.does("domain", "set", "gold.example", "--recipients", "any")
    assert "are not learned" in relayctl.refuses("recipient", "forget", "gold.example")


def test_a_window_is_announced_shown_and_taken_back(relayctl: Relayctl) -> None:
    """For a time or up to one; those that are over are shown with --all."""
    _add_acme(relayctl)
    relayctl.does("domain", "add", "acme.example", "--appliance", "acme")
    added = relayctl.json("maintenance", "add", "acme.example", "--for", "2h", "--reason", "new firmware")
    assert (added["id"], added["appliance"], added["reason"]) == (1, "acme", "new firmware")
    relayctl.does("maintenance", "add", "acme", "--from", "2040-01-01T22:00", "--to", "2040-01-02T04:00+02:00")
    first, second = relayctl.json("maintenance", "list")
    assert first["created_by"]
    assert (second["starts_at"], second["ends_at"]) == ("2040-01-01T22:00:00Z", "2040-01-02T02:00:00Z")
    shown = relayctl.does("maintenance", "list")
    assert "ends in 1h 59m" in shown and "new firmware" in shown
    assert relayctl.does("maintenance", "remove", 1) == "maintenance 1 removed\n"
    assert [one["id"] for one in relayctl.json("maintenance", "list")] == [2]
    ended, _ = relayctl.json("maintenance", "list", "--all")
    assert ended["ends_at"] < added["ends_at"]  # until now nobody was expected to answer
    assert relayctl.does("maintenance", "remove", 2) == "maintenance 2 removed\n"
    assert [one["id"] for one in relayctl.json("maintenance", "list", "--all")] == [1]


@pytest.mark.parametrize("order", ["activate", "deactivate"])
def test_an_order_is_taken_and_recorded(relayctl: Relayctl, order: str) -> None:
    """While the appliance isn't down it is kept for the next outage; the domain's name does as well."""
    _add_acme(relayctl)
    relayctl.does("domain", "add", "acme.example", "--appliance", "acme")
    ordered = relayctl.json("failover", order, "acme.example", "-m", "the customer called")
    assert ordered == {"appliance": "acme", "order": order, "health": "unknown", "armed": True}
    assert "armed for its next outage" in relayctl.does("failover", order, "acme")
    history = relayctl.json("failover", "history", "acme")
    assert history["outages"] == []
    (line,) = history["history"]
    assert (line["appliance"], line["to"], line["reason"]) == ("acme", order, "the customer called")
    assert f"{order} (" in relayctl.does("status", "acme")
    assert "the customer called" in relayctl.does("failover", "history")


def test_a_contract_that_is_over_is_said(relayctl: Relayctl) -> None:
    """By domain show, and by doctor with what to do; one that runs needs no word."""
    relayctl.does("domain", "add", "over.example", "--primary", "192.0.2.25", "--until", date(2020, 1, 1))
    relayctl.does("domain", "add", "on.example", "--primary", "192.0.2.25", "--until", date(2999, 1, 1))
    assert "over since the end of 2020-01-01; mail is put off (451)" in relayctl.does("domain", "show", "over.example")
    assert relayctl.json("domain", "show", "over.example")["contract"] == "over"
    assert relayctl.json("domain", "show", "on.example")["contract"] == "running"
    (check,) = [one for one in json.loads(relayctl("--json", "doctor").out) if one["check"] == "contract"]
    assert (check["about"], check["result"]) == ("over.example", "warning")
    assert "'relayctl domain set over.example --until DATE'" in check["remedy"]
