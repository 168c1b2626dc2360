"""relayctl notify, and what status, doctor and ticket show say of the way to people; no secret is ever printed."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from relay.tickets.people import store
from tests.integration.cli.console import Relayctl, settings
from tests.support.processes import free_port

NOW = 4_000_000_000.0


class Handler(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.posts.append(json.loads(body))  # type: ignore[attr-defined]
        self.send_response(500 if "broken" in self.path else 200)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def target() -> Iterator[Any]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.posts = []  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def configure(relayctl: Relayctl, text: str) -> None:
    relayctl.config.write_text(settings(relayctl.folder) + text)


def checks(relayctl: Relayctl) -> list[dict[str, Any]]:
    return [one for one in json.loads(relayctl("doctor", "--json").out) if one["check"] == "people"]


def test_where_nobody_is_told_the_test_fails(relayctl: Relayctl) -> None:
    """Before the night in which it counts; a mail server for contacts alone wakes nobody."""
    assert relayctl.refuses("notify", "test").startswith("nobody would be told of a P1: set [notify] urls, or rules")
    configure(relayctl, '[notify]\nmail = "mailto://127.0.0.1:25?from=relay@desk.example&to=relay@desk.example"\n')
    assert relayctl.refuses("notify", "test").endswith(
        "'relayctl notify test ADDRESS' tries the mail server for contacts"
    )


def test_a_test_message_is_sent_to_all_or_to_one(relayctl: Relayctl, target: Any) -> None:
    """And says of each whether it was taken; exit 1 where one wasn't, with the reason and without the secret."""
    url = f"json://dana:hunter2@127.0.0.1:{target.server_port}"
    configure(
        relayctl,
        f'[[notify.rules]]\nname = "oncall"\nurls = ["{url}/t0ken"]\n'
        f'[[notify.rules]]\nname = "team"\nurls = ["{url}/broken"]\n',
    )
    assert relayctl.json("notify", "test", "oncall") == [
        {"name": "oncall", "to": "json://127.0.0.1/…", "sent": True, "error": None}
    ]
    assert "A test by " in target.posts[0]["message"]
    assert relayctl("notify", "test", f"{url}/x").status == 0
    answer = relayctl("notify", "test")
    assert answer.status == 1
    assert answer.err == "relayctl: 1 of 2 messages couldn't be sent\n"
    assert "answers 500" in answer.out
    assert "hunter2" not in answer.out + answer.err
    assert "t0ken" not in answer.out + answer.err
    assert "no rule of [notify] is named nobody; there are: oncall, team" in relayctl.refuses(
        "notify", "test", "nobody"
    )
    assert "no [notify] mail" in relayctl.refuses("notify", "test", "ops@elsewhere.example")


def test_the_rules_are_listed_without_secrets(relayctl: Relayctl) -> None:
    """Whom, of what, when; what was sent last and what went wrong."""
    configure(
        relayctl,
        '[notify]\nurls = ["pagerduty://r0uting@t0ken"]\nmail = "mailtos://relay:hunter2@smtp.desk.example"\n'
        '[[notify.rules]]\nname = "desk"\nurls = ["slack://T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ/"]\n'
        'priorities = [2, 3]\nhours = "desk"\ncustomers = ["Acme Ltd"]\n',
    )
    rows = relayctl.json("notify", "list")
    assert [(row["name"], row["to"], row["about"], row["hours"]) for row in rows] == [
        ("everyone", "pagerduty://…", "all", "always"),
        ("everyone", "pagerduty://…", "all", "always"),
        ("desk", "slack://…", "Acme Ltd", "desk"),
        ("contacts", "mailtos://smtp.desk.example/…", "outages, in plain words", "always"),
    ]
    everything = relayctl.does("notify", "list") + json.dumps(rows)
    for secret in ("r0uting", "t0ken", "hunter2", "TIiajkdnlazkcOXrIdevi7FQ"):
        assert secret not in everything


def test_who_has_heard_nothing_is_named_by_status_doctor_and_ticket(relayctl: Relayctl) -> None:
    """One line with the name, for how long, and why."""
    relayctl.does("domain", "add", "gold.example", "--primary", "192.0.2.1")
    relayctl.does("ticket", "open", "gold.example", "-m", "slow")
    configure(relayctl, f'[notify]\nurls = ["json://hooks.example:{free_port()}/s3cr3t"]\n')
    assert [one["result"] for one in checks(relayctl)] == ["ok"]
    db = relayctl.database()
    with db.write() as connection:
        store.add(connection, 1, "everyone", "event 1", "opened", {}, 1e9, 1e9)
        (batch,) = store.due(connection, 1e9, ())
        store.put_off(connection, batch, "can't be reached: Connection refused", 1e9, 1.0)
        store.save_lane(connection, store.Lane("everyone").lost("can't be reached: Connection refused", 1e9, 1.0))
    db.close()
    line = "everyone has heard nothing for "
    assert line in relayctl.does("status")
    assert relayctl.json("status")["notify"]["waiting"] == 1
    (check,) = checks(relayctl)
    assert (check["result"], check["evidence"].startswith(line)) == ("failed", True)
    assert "Connection refused" in check["evidence"]
    assert "everyone: opened (waiting: can't be reached: Connection refused)" in relayctl.does("ticket", "show", 1)
    (told,) = relayctl.json("ticket", "show", 1)["told"]
    assert (told["to"], told["what"], told["outcome"]) == ("everyone", "opened", "waiting")


def test_nobody_to_tell_is_a_warning(relayctl: Relayctl) -> None:
    """As are contacts that no mail server of ours could write to."""
    assert [one["result"] for one in checks(relayctl)] == ["warning"]
    relayctl.does("domain", "add", "gold.example", "--primary", "192.0.2.1", "--contact", "ops@elsewhere.example")
    assert len(checks(relayctl)) == 2


def test_a_contact_at_the_domain_that_would_be_down_is_refused(relayctl: Relayctl) -> None:
    """Whichever of the two comes later, below the domain too, in any letters; nothing is half done."""
    reason = "gets no mail while acme.example is down"
    add = ("--primary", "192.0.2.1", "--contact")
    assert reason in relayctl.refuses("domain", "add", "acme.example", *add, "ops@acme.example")
    assert relayctl.json("appliance", "list") == []
    relayctl.does("appliance", "add", "acme", *add, "ops@mail.acme.example")
    assert reason in relayctl.refuses("domain", "add", "acme.example", "--appliance", "acme")
    assert "straße" in relayctl.refuses("domain", "add", "straße.example", *add, "ops@straße.example")
    relayctl.does("domain", "add", "other.example", "--appliance", "acme")
    assert "other.example is down" in relayctl.refuses("appliance", "set", "acme", "--contact", "x@OTHER.example")
    relayctl.does("domain", "add", "acme.example", "--primary", "192.0.2.2")
    assert reason in relayctl.refuses("domain", "set", "acme.example", "--appliance", "acme")
    csv = "domain,appliance\nsub.acme.example,acme\nmail.acme.example,acme\n"
    assert "mail.acme.example is down" in relayctl.refuses("domain", "import", "-", stdin=csv)


def test_a_domain_where_a_rule_writes_to_is_refused(relayctl: Relayctl) -> None:
    """As is a customer whose name the rule has; what was there before is a failure for doctor."""
    configure(
        relayctl,
        '[[notify.rules]]\nname = "desk"\nurls = ["mailto://r:hunter2@smtp.desk.example?to=dana@acme.example"]\n'
        'customers = ["Acme Ltd"]\n',
    )
    relayctl.does("appliance", "add", "acme", "--primary", "192.0.2.1", "--customer", "Acme Ltd")
    refusal = relayctl.refuses("domain", "add", "acme.example", "--appliance", "acme")
    assert "[notify] rule desk: dana@acme.example gets no mail while acme.example is down" in refusal
    assert "hunter2" not in refusal
    relayctl.does("domain", "add", "acme.example", "--primary", "192.0.2.2", "--customer", "Other")
    assert "rule desk" in relayctl.refuses("appliance", "set", "acme.example", "--customer", "Acme Ltd")
    assert relayctl.config.write_text(relayctl.config.read_text().replace("Acme Ltd", "Other"))
    assert [one["result"] for one in checks(relayctl)] == ["failed"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('[notify]\nurls = ["foo://hunter2"]', "[notify] everyone: foo://… is no URL that Apprise understands"),
        ('[notify]\nurls = ["hunter2"]', "[notify] urls 0: should be one URL of Apprise"),
        ('[notify]\nmail = "json://hunter2"', "[notify] mail should begin with mailto:// or mailtos://"),
        ('[[notify.rules]]\nname = "a"', "[[notify.rules]] a: urls should name somebody"),
        ('[[notify.rules]]\nurls = ["json://hunter2"]', "[notify] rules 0 name: Field required"),
        (
            '[[notify.rules]]\nname = "a"\nurl = "json://hunter2"',
            "[notify] rules 0 url is not a setting; known here: name",
        ),
        ('[[notify.rules]]\nname = "A b"\nurls = ["json://x"]', "'A b' should be a name in small letters"),
        ('[[notify.rules]]\nname = "everyone"\nurls = ["json://x"]', "'everyone' is the relay's own"),
        ('[[notify.rules]]\nname = "a"\ncontacts = true', "contacts = true needs [notify] mail"),
        ('[[notify.rules]]\nname = "a"\nurls = ["json://x"]\nhours = "Foo"', "[[notify.rules]] a: hours, timezone"),
        (
            '[[notify.rules]]\nname = "a"\nurls = ["json://x"]\npriorities = [4]',
            "rules 0 priorities 0: should be 1, 2 or 3",
        ),
        ('[[notify.rules]]\nname = "a"\nurls = ["json://x"]\nevents = ["x"]', "rules 0 events 0: should be 'opened'"),
        (
            '[[notify.rules]]\nname = "a"\nurls = ["json://x"]\ndomains = ["a b"]',
            "[[notify.rules]] a: domains: 'a b' is",
        ),
    ],
)
def test_what_is_wrong_in_notify_is_one_line_without_a_secret(relayctl: Relayctl, text: str, said: str) -> None:
    """It names the rule or the key, and never what could be a token."""
    configure(relayctl, text)
    refusal = relayctl.refuses("notify", "list")
    assert said in refusal
    assert "hunter2" not in refusal
