"""The desk, as an engineer on call uses it."""

from __future__ import annotations

import getpass

import pytest

from tests.integration.cli.console import Relayctl

KEYS = [
    "id",
    "appliance",
    "customer",
    "domains",
    "condition",
    "priority",
    "status",
    "waiting",
    "assignee",
    "opened_at",
    "acknowledge_due",
    "respond_due",
    "resolved_at",
    "external_ref",
    "plan",
]


@pytest.fixture(autouse=True)
def engineer(relayctl: Relayctl, monkeypatch: pytest.MonkeyPatch) -> str:
    """Who types: sudo's user. There is one customer."""
    monkeypatch.setenv("SUDO_USER", "dana")
    options = ["--primary", "192.0.2.25", "--customer", "Acme Ltd"]
    relayctl.does("appliance", "add", "acme", *options)
    relayctl.does("domain", "add", "acme.example", "--appliance", "acme")
    relayctl.does("domain", "add", "acme.test", "--appliance", "acme")
    return "dana"


def test_a_ticket_goes_from_open_to_resolved(relayctl: Relayctl) -> None:
    """Each verb says what it did, with its facts for scripts; the history tells who and why."""
    assert relayctl.does("ticket", "open", "acme", "-m", "no mail since noon") == "ticket 1 (P1, acme) opened\n"
    (listed,) = relayctl.json("ticket", "list")
    assert list(listed) == KEYS
    assert listed["domains"] == ["acme.example", "acme.test"]
    assert (listed["priority"], listed["status"], listed["waiting"]) == (1, "open", False)
    assert listed["opened_at"] < listed["acknowledge_due"] == listed["respond_due"]
    assert relayctl.does("ticket", "ack", 1) == "ticket 1 (P1, acme) is yours\n"
    assert relayctl.does("ticket", "respond", 1, "-m", "we are on it") == "ticket 1 (P1, acme) responded\n"
    assert relayctl.json("ticket", "priority", 1, 3, "-m", "agreed on the phone")["priority"] == 3
    assert relayctl.json("ticket", "wait", 1)["waiting"] is True
    assert relayctl.json("ticket", "resume", 1)["waiting"] is False
    relayctl.does("ticket", "comment", 1, "-m", "disk replaced")
    resolved = relayctl.json("ticket", "resolve", 1, "-m", "mail flows")
    assert (resolved["status"], resolved["assignee"]) == ("resolved", "dana")
    assert relayctl.json("ticket", "list") == []
    assert [one["id"] for one in relayctl.json("ticket", "list", "--all")] == [1]
    shown = relayctl.json("ticket", "show", 1)
    assert list(shown) == [*KEYS, "helpdesk", "told", "history"]
    assert [(line["event"], line["from"], line["to"], line["reason"]) for line in shown["history"]] == [
        ("opened", None, 1, "no mail since noon"),
        ("acknowledged", "open", "acknowledged", ""),
        ("responded", "acknowledged", "responded", "we are on it"),
        ("priority", 1, 3, "agreed on the phone"),
        ("waiting", None, None, ""),
        ("resumed", None, None, ""),
        ("comment", None, None, "disk replaced"),
        ("resolved", "responded", "resolved", "mail flows"),
    ]
    assert all(list(line) == ["at", "actor", "event", "from", "to", "reason"] for line in shown["history"])
    assert {line["actor"] for line in shown["history"]} == {"dana"}


def test_a_person_reads_the_story(relayctl: Relayctl) -> None:
    """The clocks first, then line by line what happened."""
    relayctl.does("ticket", "open", "acme.test", "-m", "no mail\nsince noon")
    listed = relayctl.does("ticket", "list").splitlines()[1].split()
    assert listed[:7] == ["1", "P1", "open", "acme", "Acme", "Ltd", "mailflow"]
    assert listed[8:] == ["in", "59m", "in", "59m", "–"]
    relayctl.does("ticket", "ack", 1)
    relayctl.does("ticket", "priority", 1, 2)
    lines = relayctl.does("ticket", "show", 1).splitlines()
    assert lines[0] == "Ticket 1  P2  acknowledged  acme (Acme Ltd)"
    assert "acknowledge  met" in lines
    assert any(line.startswith("respond      in ") for line in lines)
    told = [line.split("  ", 1)[1] for line in lines if line.startswith("20")]
    assert told == ["dana  opened P1     no mail", "dana  acknowledged  –", "dana  P1 → P2       –"]
    assert any(line.strip() == "since noon" for line in lines)


def test_one_ticket_is_open_for_each_condition(relayctl: Relayctl) -> None:
    """A second one is refused with the number of the first; another condition is another ticket."""
    relayctl.does("ticket", "open", "acme", "-m", "no mail")
    assert relayctl.refuses("ticket", "open", "acme", "-m", "again") == ("ticket 1 is open for acme (mailflow) already")
    relayctl.does("ticket", "open", "acme", "--condition", "backup", "--priority", "3", "-m", "none since May")
    assert [(one["id"], one["priority"]) for one in relayctl.json("ticket", "list")] == [(1, 1), (2, 3)]


def test_nobody_goes_by_the_name_of_the_relay(relayctl: Relayctl, monkeypatch: pytest.MonkeyPatch) -> None:
    """The service's own user is shown by its number, and can use the desk all the same."""
    monkeypatch.delenv("SUDO_USER")
    monkeypatch.setattr(getpass, "getuser", lambda: "relay")
    relayctl.does("ticket", "open", "acme", "-m", "no mail")
    (line,) = relayctl.json("ticket", "show", 1)["history"]
    assert line["actor"].startswith("uid ")


def test_a_ticket_keeps_the_plan_that_it_was_opened_under(relayctl: Relayctl) -> None:
    """The customer's plan sets the targets of the next ticket; a plan that isn't there is refused."""
    with relayctl.config.open("a") as config:
        config.write('[support]\nhours = "always"\n[support.plans.silver]\n')
        config.write("".join(f'p{n} = {{ acknowledge = "2h", respond = "24h" }}\n' for n in (1, 2, 3)))
    relayctl.does("ticket", "open", "acme", "-m", "no mail")
    refused = relayctl.refuses("appliance", "set", "acme", "--plan", "bronze")
    assert refused == "no support plan is named bronze; there are gold, silver ([support.plans] in relay.toml)"
    assert relayctl.json("appliance", "set", "acme", "--plan", "Silver")["plan"] == "silver"
    relayctl.does("ticket", "open", "acme", "--condition", "backup", "-m", "none since May")
    assert [one["plan"] for one in relayctl.json("ticket", "list")] == ["gold", "silver"]
    assert "respond      in 23h 59m" in relayctl.does("ticket", "show", 2)
    assert "plan         silver" in relayctl.does("ticket", "show", 2)
