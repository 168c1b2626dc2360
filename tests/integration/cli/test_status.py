"""status: for a script with stable keys, for a person the most urgent first; and in a second however much there is."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from sqlalchemy import event, insert
from sqlalchemy.engine import Engine

from relay.appliances import facts, store
from relay.appliances.facts import Continuity, ContinuityFact, Health, HealthFact
from relay.clock import Clock
from relay.cluster.tables import nodes, owners
from relay.continuity.proof import Proof
from relay.continuity.store import record_proofs
from relay.edge.tally import Tally
from relay.mail import Client, Envelope, Recipient
from relay.queue.model import Incoming
from relay.queue.queue import Queue
from relay.tickets import desk
from relay.tickets.states import Condition, Priority
from relay.tickets.ticket import Wanted
from tests.integration.cli.conftest import Mail
from tests.integration.cli.console import Relayctl
from tests.integration.queue.material import CONTENT, RECEIVED

KEYS = {
    "domain",
    "appliance",
    "customer",
    "health",
    "continuity",
    "ready",
    "failing_proofs",
    "queued",
    "held",
    "oldest_seconds",
    "ticket",
    "owner",
}


def _trouble(relayctl: Relayctl, name: str, health: Health, priority: int | None, *failing: str) -> None:
    """Facts as watch and continuity would have written them for an appliance."""
    database = relayctl.database()
    now = Clock().now()
    with database.write() as connection:
        one = store.get_appliance(connection, name)
        facts.set_health(connection, one.id, HealthFact(health, "192.0.2.25:25: connection refused", now - 7200))
        state = Continuity.STANDBY if failing or priority is None else Continuity.ACTIVE
        facts.set_continuity(connection, one.id, ContinuityFact(state, now - 7100, not failing, failing))
        evidence = [Proof(proof, False, f"{proof} is not as it should be", now - 60) for proof in failing]
        record_proofs(connection, [(one.id, proof) for proof in evidence])
        domains = tuple(domain.name for domain in store.domains_of(connection, one.id))
        if priority:
            wanted = Wanted(
                one.id, name, one.customer, Condition.MAILFLOW, domains, Priority(priority), now - 7200, "no mail flow"
            )
            desk.reconcile(connection, wanted, now)
    database.close()


def test_the_keys_are_those_that_scripts_rely_on(relayctl: Relayctl, mail: Mail) -> None:
    """A node, and an object for each domain."""
    _trouble(relayctl, "acme", Health.DOWN, 1, "dns", "loop")
    status = relayctl.json("status")
    assert {"name", "version", "listeners", "disk_free_bytes"} <= set(status["node"])
    assert status["node"]["name"] == "n1"
    assert status["node"]["listeners"] == []
    assert status["node"]["disk_free_bytes"] > 0
    assert [row["domain"] for row in status["domains"]] == ["acme.example", "acme.test", "bolt.example"]
    assert all(set(row) >= KEYS for row in status["domains"])
    acme, test, bolt = status["domains"]
    assert {key: acme[key] for key in KEYS - {"oldest_seconds", "ticket"}} == {
        "domain": "acme.example",
        "appliance": "acme",
        "customer": "acme",
        "health": "down",
        "continuity": "standby",
        "ready": False,
        "failing_proofs": ["dns", "loop"],
        "queued": 5,
        "held": 1,
        "owner": None,
    }
    assert acme["ticket"] == {"id": 1, "priority": 1, "status": "open"}
    assert 60 <= acme["oldest_seconds"] < 3600
    assert test["oldest_seconds"] >= 50 * 3600
    assert (bolt["health"], bolt["ready"], bolt["ticket"]) == ("unknown", None, None)


def test_counts_agree_with_the_ledger(relayctl: Relayctl, mail: Mail) -> None:
    """They come from other sums."""
    relayctl.does("queue", "hold", "--domain", "acme.test")
    relayctl.does("queue", "drop", "--id", mail.bolt, "--yes")
    rows = {row["domain"]: (row["queued"], row["held"]) for row in relayctl.json("status")["domains"]}
    assert rows == {row["domain"]: (row["queued"], row["held"]) for row in relayctl.json("ledger")}
    assert rows["bolt.example"] == (0, 0)


def test_one_domain_or_one_appliance_can_be_asked_for(relayctl: Relayctl, mail: Mail) -> None:
    """With what is known of the appliance, the failing proofs' evidence among it."""
    _trouble(relayctl, "acme", Health.DOWN, 1, "dns")
    relayctl.does("maintenance", "add", "acme", "--for", "2h", "--reason", "new firmware")
    assert [row["domain"] for row in relayctl.json("status", "acme")["domains"]] == ["acme.example", "acme.test"]
    assert [row["domain"] for row in relayctl.json("status", "ACME.example.")["domains"]] == ["acme.example"]
    shown = relayctl.does("status", "acme.example")
    for text in ("192.0.2.25:25: connection refused", "dns: dns is not as it should be", "new firmware"):
        assert text in shown
    assert "bolt" not in shown


def test_the_most_urgent_stands_first_with_its_reason(relayctl: Relayctl) -> None:
    """A P1 before a P3, what is down before what is up."""
    for name in ("calm", "sleepy", "urgent"):
        relayctl.does("domain", "add", f"{name}.example", "--primary", "192.0.2.25")
    _trouble(relayctl, "calm.example", Health.UP, None)
    _trouble(relayctl, "sleepy.example", Health.DOWN, 3)
    _trouble(relayctl, "urgent.example", Health.DOWN, 1, "dns")
    lines = relayctl.does("status").splitlines()
    assert lines[2] == "3 domains: 2 down, 1 up; 0 queued, 0 held; 1 × P1, 1 × P3"
    first, second, third = (line for line in lines if ".example" in line)
    assert first.startswith("urgent.example") and "P1 open #2" in first
    assert first.endswith("down for 2h: 192.0.2.25:25: connection refused; not proven: dns")
    assert "continuity can't be proven; what to do: 'relayctl doctor'" in lines[3]
    assert second.startswith("sleepy.example") and "P3 open #1" in second
    assert third.startswith("calm.example")


def test_what_else_is_behind_it_is_said(relayctl: Relayctl) -> None:
    """A window, an order, and what other rooms found; what concerns the appliance once, what a domain does there."""
    relayctl.does("appliance", "add", "acme", "--primary", "192.0.2.25")
    for name in ("a.example", "b.example"):
        relayctl.does("domain", "add", name, "--appliance", "acme")
    _trouble(relayctl, "acme", Health.UP, None)
    relayctl.does("maintenance", "add", "acme", "--to", "2999-01-01")
    relayctl.does("maintenance", "add", "acme", "--from", "2998-01-01", "--to", "2998-01-02")
    relayctl.does("failover", "deactivate", "acme")
    database = relayctl.database()
    with database.write() as connection:
        number = store.get_appliance(connection, "acme").id
        facts.set_finding(connection, number, "", "breaker", "the drain is stopped: nobody is known", 0.0)
        facts.set_finding(connection, number, "b.example", "dns", "b.example has no MX record", 0.0)
    database.close()
    lines = relayctl.does("status").splitlines()
    assert lines[5].endswith(
        "maintenance until 2999-01-01T00:00:00Z; an operator said deactivate; the drain is stopped: nobody is known"
    )
    assert lines[6].startswith("b.example") and lines[6].endswith("  b.example has no MX record")
    first, second = relayctl.json("status")["domains"]
    assert (first["maintenance_until"], first["order"]) == ("2999-01-01T00:00:00Z", "deactivate")
    assert [finding["condition"] for finding in first["findings"]] == ["breaker"]
    assert [finding["condition"] for finding in second["findings"]] == ["breaker", "dns"]
    assert "the drain is stopped: nobody is known" in relayctl.does("status", "acme")


def test_of_many_domains_the_quiet_ones_are_counted(relayctl: Relayctl) -> None:
    """Trouble doesn't scroll away; --all and JSON have everything."""
    relayctl.does("appliance", "add", "big", "--primary", "192.0.2.25")
    relayctl.does("domain", "add", "urgent.example", "--primary", "192.0.2.26")
    lines = "".join(f"domain-{number}.example,big\n" for number in range(100))
    relayctl.does("domain", "import", "-", stdin=f"domain,appliance\n{lines}")
    _trouble(relayctl, "big", Health.UP, None)
    _trouble(relayctl, "urgent.example", Health.DOWN, 1)
    shown = relayctl.does("status")
    assert "urgent.example" in shown and "domain-7.example" not in shown
    assert shown.splitlines()[-1] == "100 more domains without trouble; --all lists them"
    assert "domain-7.example" in relayctl.does("status", "--all")
    assert "domain-7.example" in relayctl.does("status", "big")
    assert len(relayctl.json("status")["domains"]) == 101
    _trouble(relayctl, "urgent.example", Health.UP, None)
    relayctl.does("ticket", "resolve", "1")
    assert "all 101 domains are up and quiet; --all lists them" in relayctl.does("status")


def test_a_node_that_is_missing_or_in_doubt_stands_first_with_what_to_do(relayctl: Relayctl, mail: Mail) -> None:
    """And a domain whose health such a node can't tell says so, instead of looking well."""
    database = relayctl.database()
    now = Clock().now()
    about = {"hostname": "h", "version": "1", "listeners": [], "drift": 0.0, "started_at": 1.0}
    with database.write() as connection:
        for name, heard, isolated in (("n2", now - 60, ""), ("n3", now, "6 of 6 primaries fail together")):
            values = {"name": name, "instance": name, "counter": 1, "heartbeat_at": heard, "isolated": isolated}
            connection.execute(insert(nodes).values(**values, **about))
        one = store.get_appliance(connection, "acme")
        connection.execute(insert(owners).values(appliance_id=one.id, node="n3", epoch=1))
    database.close()
    shown = relayctl.does("status")
    assert "node n2 1: dead for 1m, others have what it owned; start it again, or 'relayctl node remove n2'" in shown
    assert "node n3 may be cut off itself, nothing is called down: 6 of 6 primaries fail together; look at" in shown
    assert "it may be down: node n3, which probes it, can't say so while it may be cut off" in shown


def test_nobody_takes_over_where_nobody_runs(relayctl: Relayctl, mail: Mail) -> None:
    """Of the only node, that has died, it isn't said that others see to what it owned."""
    database = relayctl.database()
    about = {"hostname": "h", "version": "1", "listeners": [], "drift": 0.0, "started_at": 1.0, "isolated": ""}
    with database.write() as connection:
        heard = Clock().now() - 60
        connection.execute(insert(nodes).values(name="n2", instance="n2", counter=1, heartbeat_at=heard, **about))
        one = store.get_appliance(connection, "acme")
        connection.execute(insert(owners).values(appliance_id=one.id, node="n2", epoch=1))
    words = "nobody runs who could take over what it owned"
    assert words in relayctl.does("status")
    assert words in relayctl.does("node", "list")
    with database.write() as connection:
        now = Clock().now()
        connection.execute(insert(nodes).values(name="n3", instance="n3", counter=1, heartbeat_at=now, **about))
    database.close()
    for command in ("status",), ("node", "list"):
        assert "what it owned is being taken over" in relayctl.does(*command)


def test_an_empty_relay_says_what_to_do_next(relayctl: Relayctl) -> None:
    """And that no node runs."""
    shown = relayctl.does("status")
    assert "node n1 0." in shown and ": stopped, " in shown
    assert "no node is running: what stands below is what the last one knew" in shown
    assert "no Gold domains yet; 'relayctl domain add' adds one" in shown
    assert relayctl.json("status")["domains"] == []


def test_a_thousand_domains_cost_no_more_queries_than_three(relayctl: Relayctl, mail: Mail) -> None:
    """Whose mail waits, and since when, is asked once, not once for each domain."""
    for_three = _statements(relayctl)
    relayctl.does("appliance", "add", "big", "--primary", "192.0.2.25")
    lines = "".join(f"domain-{number}.example,big\n" for number in range(1000))
    relayctl.does("domain", "import", "-", stdin=f"domain,appliance\n{lines}")
    database, clock = relayctl.database(), Clock()
    with database.read() as connection:
        new = [domain for domain in store.list_domains(connection) if domain.name.startswith("domain-")]
    routes = tuple((domain, (Recipient(f"user@{domain.name}"),)) for domain in new)

    async def fill() -> None:
        queue = Queue(database, clock, "n1", on_accept=lambda _: None)
        await queue.start()
        envelope = Envelope("", tuple(recipient for _, (recipient,) in routes))
        client = Client("192.0.2.7", 4711, "client.example")
        await queue.accept(Incoming(envelope, client, clock.now(), RECEIVED, CONTENT, len(CONTENT), "", routes))
        await queue.close()

    asyncio.run(fill())
    database.close()
    rows = [row for row in relayctl.json("status")["domains"] if row["appliance"] == "big"]
    assert len(rows) == 1000
    assert all(row["queued"] == 1 and row["oldest_seconds"] is not None for row in rows)
    assert _statements(relayctl) == for_three


def _statements(relayctl: Relayctl) -> int:
    """How many SQL statements status takes."""
    seen: list[str] = []

    def note(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        seen.append(statement)

    event.listen(Engine, "before_cursor_execute", note)
    try:
        relayctl.json("status")
    finally:
        event.remove(Engine, "before_cursor_execute", note)
    return len(seen)


def _refuse(relayctl: Relayctl, *refusals: tuple[str, str, int]) -> None:
    """Counts as a node would have written them: domain, reason, how often."""
    database = relayctl.database()

    async def count() -> None:
        tally = Tally(database, Clock(), "n1")
        for domain, reason, times in refusals:
            for _ in range(times):
                tally.add([domain], reason)
        await tally.write()

    asyncio.run(count())
    database.close()


def test_why_mail_was_refused_is_told(relayctl: Relayctl, mail: Mail) -> None:
    """By domain with what each reason means, for no domain in one line, and as JSON."""
    _refuse(
        relayctl,
        ("acme.example", "quota", 31),
        ("acme.example", "unknown-recipient", 1204),
        ("acme.test", "quota", 2),
        ("", "not-ours", 7),
    )
    status = relayctl.json("status")
    assert status["refused"] == [{"reason": "not-ours", "count": 7}]
    assert [row["refused"] for row in status["domains"]] == [
        [{"reason": "unknown-recipient", "count": 1204}, {"reason": "quota", "count": 31}],
        [{"reason": "quota", "count": 2}],
        [],
    ]
    assert "refused in the last 24 hours, for no domain of ours: not ours 7\n" in relayctl.does("status")
    one = relayctl.does("status", "acme.example")
    assert "unknown recipient 1 204 · quota 31" in one
    assert "quota: too much mail waits for the domain; senders try again, mail is late" in one
    assert "not ours" not in one
    assert "unknown recipient 1 204 · quota 33" in relayctl.does("status", "acme")
    assert "refused" not in relayctl.does("status", "bolt.example")


def test_doctor_warns_of_mail_that_is_put_off_for_reasons_of_ours(relayctl: Relayctl, mail: Mail) -> None:
    """With what to do; what strangers do wrong is no reason to worry."""
    _refuse(relayctl, ("acme.example", "quota", 31), ("acme.test", "unknown-recipient", 99), ("", "full", 50))
    checks = [check for check in json.loads(relayctl("--json", "doctor").out) if check["check"] == "refusals"]
    assert [(check["about"], check["result"]) for check in checks] == [("n1", "warning"), ("acme.example", "warning")]
    assert checks[1]["evidence"].endswith("for reasons of ours: quota 31")
    assert checks[1]["remedy"] == "drain what waits, or 'relayctl domain set acme.example --quota SIZE'"
