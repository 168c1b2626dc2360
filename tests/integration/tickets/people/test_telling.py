"""People are told over real connections: in order, each thing once, whatever those do who are told."""

from __future__ import annotations

import asyncio
import threading
from contextlib import suppress
from pathlib import Path

import pytest

from relay.hours import Calendar
from relay.tickets import operators
from relay.tickets.people import store
from relay.tickets.people import targets as apprise
from relay.tickets.plan import Terms
from relay.tickets.states import Condition, Priority
from relay.tickets.warnings import record_warnings
from tests.integration.tickets.conftest import Desk
from tests.integration.tickets.people.calls import DAY, Calls, book_of, outcomes, rule
from tests.support.hook import CUT, GARBAGE, HANG, LOST, Fault, hook
from tests.support.processes import free_port
from tests.support.waiting import eventually

P1, P2, P3 = Priority.P1, Priority.P2, Priority.P3
DESK = '[support]\nhours = "Mon-Fri 09:00-18:00"\ntimezone = "Europe/Berlin"\n'
NINE = 8 * 3600.0
"""Seconds from the Monday's 00:00 UTC, when the story begins, to nine o'clock in Berlin."""


async def test_whoever_is_on_call_hears_p1_then_p3_then_resolved(office: Desk, tmp_path: Path) -> None:
    """In order, each once; the first line says everything."""
    async with hook() as oncall:
        calls = Calls(office, tmp_path, f'{DESK}[notify]\nurls = ["{oncall.url()}"]')
        office.facts(P1)
        await calls.drain()
        office.facts(P3)
        office.facts(None)
        await calls.drain()
        assert await calls.turn() == 0
    first, second, third = (post.first_line for post in oncall.posts)
    assert first.startswith("P1 opened: Acme Ltd, no mail flow (acme.example, acme.org.example), Mon 23 Nov 01:00 CET.")
    assert "Acknowledge by Mon 23 Nov 01:59 CET" in first
    assert second.startswith("P1 → P3: Acme Ltd")
    assert third.startswith("P3 resolved: Acme Ltd")
    assert "relayctl ticket show 1" in oncall.posts[0].text
    assert len({post.body["id"] for post in oncall.posts}) == 3
    assert len({post.body["thread"] for post in oncall.posts}) == 1


async def test_the_short_way_tells_of_p1_and_of_every_breach(office: Desk, tmp_path: Path) -> None:
    """A P3 that nobody has looked at in time is told; that it was opened isn't."""
    async with hook() as oncall:
        calls = Calls(office, tmp_path, f'[support]\nhours = "always"\n[notify]\nurls = ["{oncall.url()}"]')
        office.facts(P3, condition=Condition.BACKUP, outage_id=None)
        await calls.drain()
        assert oncall.posts == []
        office.now += 2 * 3600
        office.do(record_warnings, office.now, Terms(Calendar.parse("always")))
        await calls.drain()
    (post,) = oncall.posts
    assert post.first_line.startswith("P3 target missed: Acme Ltd, backup of the mail server")


@pytest.mark.parametrize("fault", [500, 404, GARBAGE, CUT])
async def test_who_fails_is_tried_again_and_holds_up_nobody(office: Desk, tmp_path: Path, fault: int | Fault) -> None:
    """An answer that is no yes, nonsense or none: the other target is told at once, this one later, in one message."""
    async with hook() as bad, hook() as good:
        bad.answers = fault
        calls = Calls(office, tmp_path, f'[notify]\nurls = ["{bad.url()}", "{good.url()}"]')
        office.facts(P1)
        await calls.drain()
        office.facts(P3)
        await calls.drain()
        assert len(good.posts) == 2
        assert (len(bad.tries), bad.posts) == (1, [])
        lane = office.see(store.load_lane, "everyone")
        assert lane.failures == 1
        assert lane.trouble.startswith("answers 4" if fault == 404 else "answers 5" if fault == 500 else "breaks off")
        await calls.later(1)
        assert len(bad.tries) == 1, "not before its time"
        bad.answers = 200
        await calls.later()
        (post,) = bad.posts
        assert post.first_line.startswith("P1 → P3: Acme Ltd")
        assert ", 2 things happened since" in post.first_line
        assert office.see(store.load_lane, "everyone").trouble == ""


async def test_nobody_who_listens_is_a_plain_reason(office: Desk, tmp_path: Path) -> None:
    """And the URL with its secret stands nowhere in the database."""
    calls = Calls(office, tmp_path, f'[notify]\nurls = ["json://user:hunter2@127.0.0.1:{free_port()}/s3cr3t"]')
    office.facts(P1)
    await calls.drain()
    assert office.rows("SELECT last_error FROM notices") == [("can't be reached: Connection refused",)]
    everything = str(office.rows("SELECT * FROM notices") + office.rows("SELECT * FROM notice_lanes"))
    assert "hunter2" not in everything
    assert "s3cr3t" not in everything


async def test_who_hangs_holds_up_nobody_and_no_stop(office: Desk, tmp_path: Path) -> None:
    """A target that never answers costs its own messages and threads of its own; the others' go on."""
    async with hook() as silent, hook() as good:
        silent.answers = HANG
        text = f'[notify]\nurls = ["{silent.url()}?rto=600", "{good.url()}"]'
        calls = Calls(office, tmp_path, text, patience=0.3)
        office.facts(P1)
        await calls.drain()
        assert len(good.posts) == 1
        assert office.see(store.load_lane, "everyone").trouble == "has not ended within 0.3 s"
        for _ in range(5):
            await calls.later()
        assert len(silent.tries) == 3, "no more threads than that wait for one target"
        assert sum(thread.name == "notify everyone" for thread in threading.enumerate()) == 3
        office.facts(P3)
        await calls.drain()
        assert len(good.posts) == 2
    await eventually(lambda: not any(thread.name == "notify everyone" for thread in threading.enumerate()))


async def test_a_crash_in_mid_call_repeats_the_same_message(office: Desk, tmp_path: Path) -> None:
    """What was on its way comes again with the same key and nothing added; then what has come since."""
    async with hook() as oncall:
        text = f'[notify]\nurls = ["{oncall.url()}"]'
        dying = Calls(office, tmp_path, text)
        oncall.answers = 500
        office.facts(P1)
        await dying.drain()
        office.facts(P3)
        oncall.answers = LOST
        office.now += 10
        (task,) = await dying.people.turn()
        await eventually(lambda: oncall.posts)
        task.cancel()  # the process dies: it never learns what became of it
        with suppress(asyncio.CancelledError):
            await task
        office.facts(None)
        oncall.answers = 200
        await Calls(office, tmp_path, text).drain()
    first, again, then = oncall.posts
    assert again.body == first.body
    assert ", 2 things happened since" in again.first_line
    assert then.first_line.startswith("P3 resolved")


async def test_what_happens_at_night_waits_for_the_desk_and_is_one_message(office: Desk, tmp_path: Path) -> None:
    """A P3 of the night that has ended by the morning is told in one message; a P1 is told at once."""
    async with hook() as office_hours, hook() as oncall:
        rules = rule("desk", [office_hours.url()], priorities=[2, 3], hours="desk")
        rules += rule("oncall", [oncall.url()], priorities=[1])
        calls = Calls(office, tmp_path, DESK + rules)
        office.facts(P3, condition=Condition.BACKUP, outage_id=None)
        office.facts(None, condition=Condition.BACKUP, outage_id=None, reason="there is a new one")
        office.facts(P1)
        await calls.drain()
        assert (len(office_hours.posts), len(oncall.posts)) == (0, 1)
        await calls.later(NINE - 60)
        assert office_hours.posts == []
        await calls.later(60)
        (post,) = office_hours.posts
        assert post.first_line.startswith("P3 resolved: Acme Ltd, backup of the mail server")
        assert "there is a new one" in post.text


async def test_after_a_day_nobody_is_told_any_more(office: Desk, tmp_path: Path) -> None:
    """Given up with a line in the ticket's history, which is told to nobody either."""
    calls = Calls(office, tmp_path, f'[notify]\nurls = ["json://127.0.0.1:{free_port()}/"]')
    ticket = office.facts(P1)
    assert ticket is not None
    await calls.drain()
    await calls.later(DAY + 60)
    assert outcomes(office) == [("opened", "given up")]
    reasons = office.rows("SELECT reason FROM ticket_events WHERE event = 'comment'")
    assert reasons == [
        ("everyone was not told (opened): given up after 24 hours: can't be reached: Connection refused",)
    ]
    assert await calls.turn() == 0
    assert len(outcomes(office)) == 1


async def test_a_rule_that_is_gone_tells_nobody_and_another_url_gets_what_waits(office: Desk, tmp_path: Path) -> None:
    """A token that was renewed in relay.toml is for the same person; SIGHUP tries at once."""
    async with hook() as oncall:
        calls = Calls(office, tmp_path, f'[notify]\nurls = ["json://127.0.0.1:{free_port()}/"]')
        office.facts(P1)
        await calls.drain()
        calls.people.reconfigure(*book_of(tmp_path, f'[notify]\nurls = ["{oncall.url()}"]'))
        await calls.drain()
        assert len(oncall.posts) == 1
        oncall.answers = 500
        office.facts(P3)
        await calls.drain()
        calls.people.reconfigure(*book_of(tmp_path, ""))
        await calls.drain()
    assert outcomes(office) == [("opened", "sent"), ("lowered", "skipped")]
    assert office.rows("SELECT last_error FROM notices ORDER BY id DESC LIMIT 1") == [("no rule names it any more",)]


async def test_a_person_said_it_is_told_with_their_name(office: Desk, tmp_path: Path) -> None:
    """Who asked to hear of acknowledgments and comments knows who took it."""
    async with hook() as team:
        text = rule("team", [team.url()], events=["acknowledged", "comment"])
        calls = Calls(office, tmp_path, text)
        ticket = office.facts(P1)
        assert ticket is not None
        office.do(operators.acknowledge, ticket.id, "dana", office.now)
        office.do(operators.comment, ticket.id, "dana", "on my way to the site", office.now)
        await calls.drain()
    taken, said = team.posts
    assert taken.first_line.startswith("P1 acknowledged by dana: Acme Ltd")
    assert "on my way to the site" in said.text
    assert "Said by dana." in said.text


async def test_a_pager_has_one_incident_for_a_ticket(
    office: Desk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Triggered, resolved when it is a P3, triggered again when raised, resolved at the end: by one key all along."""
    from apprise.plugins import pagerduty

    async with hook() as pager:
        monkeypatch.setitem(pagerduty.PAGERDUTY_API_LOOKUP, "us", pager.url("http", "/v2/enqueue"))
        calls = Calls(office, tmp_path, rule("oncall", ["pagerduty://routing@token"], priorities=[1]))
        ticket = office.facts(P1)
        assert ticket is not None
        await calls.drain()
        office.do(operators.acknowledge, ticket.id, "dana", office.now)
        office.facts(P3)
        await calls.drain()
        office.facts(P1)
        await calls.drain()
        office.facts(None)
        await calls.drain()
    assert [post.body["event_action"] for post in pager.posts] == ["trigger", "resolve", "trigger", "resolve"]
    assert len({post.body["dedup_key"] for post in pager.posts}) == 1
    assert pager.posts[0].body["dedup_key"].endswith(f"-{ticket.id}")
    assert pager.posts[0].body["payload"]["severity"] == "critical"
    assert pager.posts[0].body["payload"]["summary"].startswith("P1 opened: Acme Ltd, no mail flow")


async def test_a_pager_that_was_down_isnt_woken_by_what_is_over(
    office: Desk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What began and ended while it couldn't be reached is a resolve alone."""
    from apprise.plugins import pagerduty

    async with hook() as pager:
        monkeypatch.setitem(pagerduty.PAGERDUTY_API_LOOKUP, "us", pager.url("http", "/v2/enqueue"))
        pager.answers = 500
        calls = Calls(office, tmp_path, '[notify]\nurls = ["pagerduty://routing@token"]')
        office.facts(P1)
        await calls.drain()
        office.facts(P3)
        office.facts(None)
        pager.answers = 202
        await calls.later()
    assert [post.body["event_action"] for post in pager.posts] == ["resolve"]


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("json://user:hunter2@hooks.example:8443/t0ken?x=y", "json://hooks.example/…"),
        ("mailtos://relay:hunter2@smtp.desk.example?to=dana@desk.example", "mailtos://smtp.desk.example/…"),
        ("slack://T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ/", "slack://…"),
        ("pagerduty://routing@token", "pagerduty://…"),
    ],
)
def test_what_is_shown_of_a_url_is_no_secret(url: str, shown: str) -> None:
    """Its scheme, and the host where that is one."""
    assert apprise.redacted(url) == shown
