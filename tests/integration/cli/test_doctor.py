"""doctor, dns check and node list: beside a node that runs, and without one; each failure says what to do."""

from __future__ import annotations

import asyncio
import json
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from relay.db import revisions
from tests.integration.cli.console import Answer, Relayctl, settings
from tests.support.dns_stub import DnsStub
from tests.support.node import running

RECORDS = {
    "gold.example MX": ["10 mail.gold.example.", "20 mx2.relay.example."],
    "mail.gold.example A": ["192.0.2.25"],
    "mx2.relay.example A": ["127.0.0.1"],
}


def _checks(answer: Answer) -> dict[tuple[str, str], dict[str, Any]]:
    return {(check["about"], check["check"]): check for check in json.loads(answer.out)}


def _ask(relayctl: Relayctl, records: dict[str, list[str]], *argv: str) -> Answer:
    """Run a command beside a name server that answers from ``records``."""

    async def run() -> Answer:
        async with DnsStub(records) as stub:
            text = (
                settings(relayctl.folder).replace("127.0.0.1:9", stub.address).replace("timeout = 0.2", "timeout = 5")
            )
            relayctl.config.write_text(text)
            return await asyncio.to_thread(relayctl, *argv)

    return asyncio.run(run())


@pytest.fixture
def gold(relayctl: Relayctl) -> Relayctl:
    relayctl.does("domain", "add", "gold.example", "--primary", "mail.gold.example")
    return relayctl


def test_without_a_node_doctor_says_how_to_start_one(gold: Relayctl) -> None:
    """And tries everything that can be tried without it."""
    answer = gold("doctor", "--json")
    checks = _checks(answer)
    assert answer.status == 1
    assert answer.err.splitlines()[-1] == f"relayctl: 3 checks of {len(checks)} failed"
    running = checks["n1", "running"]
    assert (running["result"], running["evidence"]) == ("failed", "this node doesn't run")
    assert "'relayctl serve'" in running["remedy"]
    loop = checks["gold.example", "loop"]
    assert (loop["result"], loop["evidence"]) == ("failed", "no listener is open")
    assert loop["remedy"] == running["remedy"]
    assert checks["gold.example", "dns"]["result"] == "failed"
    for name in ("space", "expiry", "recipients", "tls"):
        assert checks["gold.example", name]["result"] == "ok", checks["gold.example", name]
    for name in ("postmaster", "references", "mx", "backup"):
        assert checks["n1", name]["result"] == "warning" and checks["n1", name]["remedy"]
    assert all(bool(check["remedy"]) == (check["result"] in ("failed", "warning")) for check in checks.values())


def test_a_person_sees_what_to_do_below_what_is_wrong(gold: Relayctl) -> None:
    """Evidence, then an arrow and the remedy."""
    lines = gold("doctor", "gold.example").out.splitlines()
    place = next(number for number, line in enumerate(lines) if "no listener is open" in line)
    assert lines[place].split()[:3] == ["gold.example", "loop", "failed"]
    assert lines[place + 1].strip().startswith("→ start it: 'relayctl serve'")


def test_who_takes_everybody_is_warned(gold: Relayctl) -> None:
    """By policy, or by a catch-all in the list; a list of people is no cause."""
    assert "every recipient is taken while" in _checks(gold("doctor", "--json"))["gold.example", "policy"]["evidence"]
    gold.does("domain", "set", "gold.example", "--recipients", "listed")
    gold.does("recipient", "add", "gold.example", "info")
    assert ("gold.example", "policy") not in _checks(gold("doctor", "--json"))
    gold.does("recipient", "add", "gold.example", "*@gold.example")
    checks = _checks(gold("doctor", "--json"))
    assert checks["gold.example", "policy"]["result"] == "warning"
    assert checks["gold.example", "policy"]["evidence"].startswith("a catch-all is listed: every recipient is taken")
    evidence = "gold.example: every recipient is taken, by a catch-all in the list"
    assert (checks["gold.example", "recipients"]["result"], checks["gold.example", "recipients"]["evidence"]) == (
        "ok",
        evidence,
    )


def test_doctor_looks_at_one_appliance_or_at_all(gold: Relayctl) -> None:
    """Named by itself or by one of its domains; one without domains has nothing to prove."""
    gold.does("appliance", "add", "acme", "--primary", "192.0.2.25", "--skip-proof", "dns")
    gold.does("domain", "add", "acme.example", "--appliance", "acme", "--recipients", "listed")
    gold.does("appliance", "add", "bare", "--primary", "192.0.2.25")
    proven = {about for about, check in _checks(gold("doctor", "--json")) if check == "space"}
    assert proven == {"acme", "gold.example"}
    for name in ("acme", "ACME.example"):
        chosen = _checks(gold("doctor", "--json", name))
        assert {about for about, _ in chosen} == {"n1", "acme"}
    assert chosen["acme", "dns"]["result"] == "skipped"
    empty = chosen["acme", "recipients"]
    assert empty["result"] == "failed"
    assert empty["remedy"].startswith("'relayctl recipient import acme.example FILE' fills the list")
    gold.does("recipient", "add", "acme.example", "info")
    assert _checks(gold("doctor", "--json", "acme"))["acme", "recipients"]["result"] == "ok"


def test_the_dns_is_right_wrong_or_silent(gold: Relayctl) -> None:
    """Three different things, to dns check and to doctor."""
    right = _ask(gold, RECORDS, "dns", "check", "--json")
    assert (right.status, json.loads(right.out)) == (
        0,
        [
            {
                "domain": "gold.example",
                "ok": True,
                "unknown": False,
                "evidence": "10 mail.gold.example, 20 mx2.relay.example",
            }
        ],
    )
    assert _checks(_ask(gold, RECORDS, "doctor", "--json"))["gold.example", "dns"]["result"] == "ok"
    alone = RECORDS | {"gold.example MX": ["10 mail.gold.example."]}
    wrong = _ask(gold, alone, "dns", "check")
    assert wrong.status == 1
    assert "doesn't list this relay; add: gold.example MX 20 mx2.relay.example" in wrong.out
    assert wrong.err == "relayctl: the DNS of 1 of 1 domain is wrong; see deploy/dns.md\n"
    failed = _checks(_ask(gold, alone, "doctor", "--json"))["gold.example", "dns"]
    assert (failed["result"], failed["remedy"]) == (
        "failed",
        "mend the MX set as the evidence says; deploy/dns.md shows how it should look",
    )
    gold.config.write_text(settings(gold.folder))  # nobody answers there
    silent = gold("dns", "check", "gold.example")
    assert silent.status == 1
    assert silent.err == "relayctl: nothing is known of 1 of 1 domain: the DNS gives no answer\n"


def test_what_the_pages_promise_is_there() -> None:
    """Hints name pages of the project."""
    assert (Path(__file__).parents[3] / "deploy" / "dns.md").is_file()


async def test_beside_a_running_node_every_proof_goes_through_it(tmp_path: Path) -> None:
    """A message through its listener, read back and removed; the node isn't disturbed, and nothing is left behind."""
    async with running(tmp_path, settings={"node": {"postmaster": "postmaster@relay.example"}}) as node:
        relayctl = Relayctl(tmp_path)
        told = partial(asyncio.to_thread, relayctl.json)
        await told("domain", "add", "gold.example", "--primary", "127.0.0.1:9", "--skip-proof", "dns")
        answer = await asyncio.to_thread(relayctl, "doctor", "--json")
        checks = _checks(answer)
        assert answer.status == 0, [check for check in checks.values() if check["result"] == "failed"]
        (listener,) = (await told("status"))["node"]["listeners"]
        assert listener == node.app.listeners[0]
        running_ = checks["one", "running"]
        assert (running_["result"], running_["evidence"]) == ("ok", f"listens on {listener}")
        for name in ("connected", "clock", "postmaster", "hostname", "mx"):
            assert checks["one", name]["result"] == "ok", checks["one", name]
        loop = checks["gold.example", "loop"]
        assert loop["result"] == "ok"
        assert f"inside only, at {listener}, a message for gold.example was taken" in loop["evidence"]
        assert await told("queue", "list") == []
        assert (await told("db", "check"))["ok"]
        (listed,) = await told("node", "list")
        assert (listed["name"], listed["state"]) == ("one", "live")
        shown = await asyncio.to_thread(relayctl.does, "status")
        assert shown.startswith(f"node one {listed['version']}: live, listening on {listener}, ")
    (listed,) = await told("node", "list")
    assert listed["state"] == "stopped"


async def test_an_older_database_is_not_upgraded_under_a_running_node(tmp_path: Path) -> None:
    """The node is named, and goes on as it was."""
    async with running(tmp_path):
        relayctl = Relayctl(tmp_path)
        await asyncio.to_thread(relayctl.does, "db", "upgrade")  # it is up to date: nothing to refuse
        await asyncio.to_thread(relayctl.run_sql, "UPDATE alembic_version SET version_num = '0001_appliances'")
        await asyncio.to_thread(relayctl.run_sql, "UPDATE nodes SET revision = '0001_appliances'")
        for command in ("db", "upgrade"), ("init",):
            line = await asyncio.to_thread(relayctl.refuses, *command)
            assert line == f"node one runs on {relayctl.place}: stop it, upgrade, then start it again"
        back = "UPDATE alembic_version SET version_num = :head"
        await asyncio.to_thread(relayctl.run_sql, back, head=revisions()[-1])
        await asyncio.to_thread(relayctl.does, "status")


def test_a_plan_that_is_in_no_setting_any_more_is_a_warning(gold: Relayctl) -> None:
    """Its tickets have Gold's targets meanwhile."""
    before = gold.config.read_text()
    line = '{ acknowledge = "2h", respond = "8h" }'
    gold.config.write_text(f"{before}[support.plans.silver]\np1 = {line}\np2 = {line}\np3 = {line}\n")
    gold.does("appliance", "set", "gold.example", "--plan", "silver")
    assert ("gold.example", "plan") not in _checks(gold("doctor", "--json"))
    gold.config.write_text(before)
    check = _checks(gold("doctor", "--json"))["gold.example", "plan"]
    assert (check["result"], "the targets of gold" in check["evidence"]) == ("warning", True)
    assert "relayctl appliance set gold.example --plan" in check["remedy"]
