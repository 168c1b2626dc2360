"""The table of health, hours, readiness, continuity and ticket; and each sentence below it."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from relay.appliances.facts import Continuity, ContinuityFact, Health, HealthFact
from relay.appliances.model import Activation
from relay.continuity.decide import decide
from relay.continuity.decision import Facts, Step
from tests.unit.continuity.outages import (
    DAY,
    NIGHT,
    appliance,
    at,
    carry_out,
    delayed,
    down,
    facts,
    in_outage,
    outage,
    proofs,
    settle,
    up,
    window,
)

STANDBY, ACTIVE, DRAINING = Continuity.STANDBY, Continuity.ACTIVE, Continuity.DRAINING
ALWAYS_POLICY = appliance(activation=Activation.ALWAYS)
MANUAL = appliance(activation=Activation.MANUAL)
ARMED = ContinuityFact(STANDBY, 0.0, order="activate", order_by="dana", order_at=1.0)
DISARMED = replace(ARMED, order="deactivate")


@dataclass(frozen=True)
class Row:
    """One row: the facts, and after all that follows at once: continuity, ready, the priorities in turn."""

    facts: Facts
    now: float
    state: Continuity
    priorities: tuple[int | None, ...]
    ready: bool | None = None
    says: tuple[str, ...] = field(default=())


def _down(since: float, **changes: Any) -> Facts:
    changes.setdefault("proofs", proofs(since + 5))
    return facts(down(since), **changes)


def _active(since: float, **changes: Any) -> Facts:
    """Taken over at ``since``, ticket P3."""
    continuity = in_outage(ACTIVE, since, priority=3, ready=True, downs=(since,), **changes.pop("continuity", {}))
    return _down(since, continuity=continuity, outage=outage(since, taken_over_at=since), **changes)


ROWS = {
    "unknown: unchanged": Row(
        facts(HealthFact(Health.UNKNOWN, "not probed yet", NIGHT), continuity=in_outage(ACTIVE, NIGHT, priority=3)),
        NIGHT + 1000,
        ACTIVE,
        (),
    ),
    "down in business hours: standby and P1": Row(
        _down(DAY), DAY + 60, STANDBY, (1,), True, ("acme is down since", "business hours", "2026-11-23T18:00:00Z")
    ),
    "down for less than ticket_after: no ticket yet": Row(_down(DAY), DAY + 59, STANDBY, (), True),
    "down off hours, proven: active, P1 and then P3": Row(
        _down(NIGHT), NIGHT + 60, ACTIVE, (1, 3), True, ("off hours", "evidence of loop", "2026-11-23T22:00:05Z")
    ),
    "down off hours, proven, not yet long enough for a ticket: active already": Row(
        _down(NIGHT), NIGHT + 10, ACTIVE, (), True
    ),
    "down off hours, not proven: standby and P1, each failing proof is named": Row(
        _down(NIGHT, proofs=proofs(NIGHT + 5, failing=("dns", "tls"))),
        NIGHT + 60,
        STANDBY,
        (1,),
        False,
        ("can't be proven", "failing dns: evidence of dns", "failing tls: evidence of tls"),
    ),
    "down off hours, a proof has no result yet: standby and P1, it is named": Row(
        _down(NIGHT, proofs=proofs(NIGHT + 5, pending=("loop",))), NIGHT + 60, STANDBY, (1,), False, ("yet: loop",)
    ),
    "down off hours, proofs from before: they prove nothing": Row(
        _down(NIGHT, proofs=proofs(NIGHT - 5)), NIGHT + 60, STANDBY, (1,), False, ("no result yet: loop, space",)
    ),
    "down off hours, evidence older than 15 minutes: it fails": Row(
        _down(NIGHT), NIGHT + 5 + 900, STANDBY, (1,), False, ("older than 15 minutes",)
    ),
    "down off hours, the proof that fails is skipped: active, and the ticket names it": Row(
        _down(NIGHT, proofs=proofs(NIGHT + 5, failing=("dns",)), appliance=appliance(skip_proofs=("dns",))),
        NIGHT + 60,
        ACTIVE,
        (1, 3),
        True,
        ("skipped by the operator: dns",),
    ),
    "the settings skip a proof for all": Row(
        _down(NIGHT, proofs=proofs(NIGHT + 5, failing=("tls",)), rules={"skip_proofs": ["tls"]}),
        NIGHT + 60,
        ACTIVE,
        (1, 3),
        True,
        ("skipped by the operator: tls",),
    ),
    "down on a holiday in what would be business hours: off hours": Row(
        _down(DAY, appliance=appliance(holidays="2026-11-23")), DAY + 60, ACTIVE, (1, 3), True
    ),
    "down in business hours, armed by an operator: active": Row(
        _down(DAY, continuity=ARMED), DAY + 60, ACTIVE, (1, 3), True, ("dana ordered it",)
    ),
    "down in business hours, armed, not proven: standby": Row(
        _down(DAY, continuity=ARMED, proofs=proofs(DAY + 5, failing=("space",))),
        DAY + 60,
        STANDBY,
        (1,),
        False,
        ("failing space",),
    ),
    "down in business hours, policy always: active": Row(
        _down(DAY, appliance=ALWAYS_POLICY), DAY + 60, ACTIVE, (1, 3), True, ("'always'",)
    ),
    "down off hours, policy manual: standby, and how to activate": Row(
        _down(NIGHT, appliance=MANUAL), NIGHT + 60, STANDBY, (1,), True, ("relayctl failover activate acme",)
    ),
    "down off hours, policy manual, activated: active": Row(
        _down(NIGHT, appliance=MANUAL, continuity=ARMED), NIGHT + 60, ACTIVE, (1, 3), True
    ),
    "down off hours, deactivated by an operator: standby": Row(
        _down(NIGHT, continuity=DISARMED), NIGHT + 60, STANDBY, (1,), True, ("so said dana",)
    ),
    "a customer who works around the clock has no off hours": Row(
        _down(NIGHT, appliance=appliance(business_hours="always")), NIGHT + 60, STANDBY, (1,), True, ("no off hours",)
    ),
    "a customer without business hours is always off hours": Row(
        _down(DAY, appliance=appliance(business_hours="none")), DAY + 60, ACTIVE, (1, 3), True
    ),
    "active, a proof is lost: nothing changes yet": Row(
        replace(_active(NIGHT), proofs=proofs(NIGHT + 600, failing=("loop",))), NIGHT + 610, ACTIVE, (), True
    ),
    "active, a proof has been lost for 10 minutes: not ready, P1": Row(
        replace(
            _active(NIGHT, continuity={"doubt_since": NIGHT + 610}), proofs=proofs(NIGHT + 1200, failing=("loop",))
        ),
        NIGHT + 1210,
        ACTIVE,
        (1,),
        False,
        ("has not been proven for 10 minutes", "failing loop: evidence of loop"),
    ),
    "active, not ready, proven again: nothing changes yet": Row(
        replace(
            _active(NIGHT, continuity={"doubt_since": NIGHT + 2000}),
            continuity=in_outage(ACTIVE, NIGHT, priority=1, ready=False, doubt_since=NIGHT + 2000),
            proofs=proofs(NIGHT + 2400),
        ),
        NIGHT + 2599,
        ACTIVE,
        (),
        False,
    ),
    "active, not ready, proven again for 10 minutes: P3": Row(
        replace(
            _active(NIGHT),
            continuity=in_outage(ACTIVE, NIGHT, priority=1, ready=False, doubt_since=NIGHT + 2000),
            proofs=proofs(NIGHT + 2400),
        ),
        NIGHT + 2600,
        ACTIVE,
        (3,),
        True,
        ("reduced to P3", "evidence of loop"),
    ),
    "active, half an hour before opening: P1": Row(
        replace(_active(NIGHT), proofs=proofs(at("2026-11-24 08:25"))),
        at("2026-11-24 08:30"),
        ACTIVE,
        (1,),
        True,
        ("business hours begin at 2026-11-24T09:00:00Z",),
    ),
    "active, more than half an hour before opening: P3 still": Row(
        replace(_active(NIGHT), proofs=proofs(at("2026-11-24 08:25"))), at("2026-11-24 08:29"), ACTIVE, (), True
    ),
    "active, business hours, to be kept: P3 still": Row(
        replace(_active(NIGHT, rules={"on_business_hours": "keep"}), proofs=proofs(at("2026-11-24 09:55"))),
        at("2026-11-24 10:00"),
        ACTIVE,
        (),
        True,
    ),
    "active by order, business hours begin: P3 still": Row(
        replace(_active(NIGHT, continuity={"order": "activate"}), proofs=proofs(at("2026-11-24 09:55"))),
        at("2026-11-24 10:00"),
        ACTIVE,
        (),
        True,
    ),
    "active by policy always, business hours begin: P3 still": Row(
        replace(_active(NIGHT, appliance=ALWAYS_POLICY), proofs=proofs(at("2026-11-24 09:55"))),
        at("2026-11-24 10:00"),
        ACTIVE,
        (),
        True,
    ),
    "active, then deactivated: standby and P1": Row(
        _active(NIGHT, continuity={"order": "deactivate", "order_by": "dana"}),
        NIGHT + 600,
        STANDBY,
        (1,),
        True,
        ("so said dana",),
    ),
    "taken over shortly before opening: active, P1 all the same": Row(
        _down(at("2026-11-24 08:45")),
        at("2026-11-24 08:46"),
        ACTIVE,
        (1,),
        True,
        ("acme is down since", "business hours begin at 2026-11-24T09:00:00Z"),
    ),
    "down since business hours, closing time has come: taken over": Row(
        facts(
            down(DAY),
            continuity=in_outage(STANDBY, DAY, priority=1, ready=True, downs=(DAY,)),
            outage=outage(DAY),
            proofs=proofs(at("2026-11-23 17:55")),
        ),
        at("2026-11-23 18:00"),
        ACTIVE,
        (3,),
        True,
        ("off hours",),
    ),
    "delayed, no outage: P2": Row(
        facts(delayed(DAY), proofs=proofs(DAY)), DAY + 1, STANDBY, (2,), True, ("half of its recipients",)
    ),
    "delayed, then down: P1 at its time, then P3": Row(
        _down(NIGHT, continuity=ContinuityFact(STANDBY, 0.0, priority=2)), NIGHT + 60, ACTIVE, (1, 3), True
    ),
    "down, then delayed: it has returned and is drained, the ticket keeps its priority": Row(
        replace(_active(NIGHT), health=delayed(NIGHT + 700)), NIGHT + 701, DRAINING, (3,)[:0], True
    ),
    "delayed, and the outage is drained: P2": Row(
        facts(
            delayed(NIGHT + 700),
            continuity=in_outage(DRAINING, NIGHT + 700, priority=3),
            outage=outage(NIGHT, returned_at=NIGHT + 700),
            untried=0,
            proofs=proofs(NIGHT),
        ),
        NIGHT + 800,
        DRAINING,
        (2,),
        True,
        ("has been tried", "mail is delayed"),
    ),
    "it answers, but refuses everything: not a return": Row(
        replace(_active(NIGHT), health=delayed(NIGHT + 700, "refused: 554 go away")), NIGHT + 701, ACTIVE, (), True
    ),
    "up with a backlog: draining, the ticket unchanged": Row(
        replace(_active(NIGHT), health=up(NIGHT + 700), untried=5), NIGHT + 701, DRAINING, (), True
    ),
    "up and drained, not settled: draining still": Row(
        facts(
            up(NIGHT + 700),
            continuity=in_outage(DRAINING, NIGHT + 700, priority=3),
            outage=outage(NIGHT, returned_at=NIGHT + 700),
            untried=0,
            proofs=proofs(NIGHT),
        ),
        NIGHT + 1700,
        DRAINING,
        (),
        True,
    ),
    "up, drained and settled for 10 minutes: standby, resolved": Row(
        facts(
            up(NIGHT + 700),
            continuity=in_outage(DRAINING, NIGHT + 700, priority=3),
            outage=outage(NIGHT, returned_at=NIGHT + 700, drained_at=NIGHT + 800),
            proofs=proofs(NIGHT),
        ),
        NIGHT + 1400,
        STANDBY,
        (None,),
        True,
        ("acme is up since 2026-11-23T22:11:40Z",),
    ),
    "up, but the backlog has not been tried: draining however long it takes": Row(
        facts(
            up(NIGHT + 700),
            continuity=in_outage(DRAINING, NIGHT + 700, priority=1),
            outage=outage(NIGHT, returned_at=NIGHT + 700),
            untried=1,
            proofs=proofs(NIGHT),
        ),
        NIGHT + 7000,
        DRAINING,
        (),
        True,
    ),
    "a delay is over and settled: resolved": Row(
        facts(up(DAY), continuity=ContinuityFact(STANDBY, 0.0, priority=2), untried=0, proofs=proofs(DAY)),
        DAY + 600,
        STANDBY,
        (None,),
        True,
        ("answers as it should",),
    ),
    "a delay is over, mail from then waits untried: not resolved": Row(
        facts(up(DAY), continuity=ContinuityFact(STANDBY, 0.0, priority=2), untried=3, proofs=proofs(DAY)),
        DAY + 6000,
        STANDBY,
        (),
        True,
    ),
    "down in a maintenance window: mail is queued, no ticket": Row(
        _down(DAY, windows=(window(DAY - 60, DAY + 3600),)), DAY + 1800, STANDBY, (), False
    ),
    "down in a window off hours: taken over, no ticket": Row(
        _down(NIGHT, windows=(window(NIGHT - 60, NIGHT + 3600),)), NIGHT + 100, ACTIVE, (), True
    ),
    "still down when the window ends: P1": Row(
        _down(DAY, windows=(window(DAY - 60, DAY + 600),)), DAY + 600, STANDBY, (1,), True
    ),
    "windows that touch are one": Row(
        _down(DAY, windows=(window(DAY - 60, DAY + 300), window(DAY + 300, DAY + 900))), DAY + 600, STANDBY, (), True
    ),
    "delayed in a window: no ticket": Row(
        facts(delayed(DAY), proofs=proofs(DAY), windows=(window(DAY - 60, DAY + 600),)), DAY + 100, STANDBY, (), True
    ),
}


@pytest.mark.parametrize("row", ROWS.values(), ids=ROWS.keys())
def test_the_table(row: Row) -> None:
    """Each row of the table gives its continuity, its readiness, and its priorities in turn."""
    after, made = settle(row.facts, row.now)
    assert after.continuity.state is row.state
    wanted = [decision.continuity.priority for decision in made]
    before = row.facts.continuity.priority
    changes = [now for then, now in zip([before, *wanted], wanted, strict=False) if now != then]
    assert tuple(changes) == row.priorities
    if row.ready is not None:
        assert after.continuity.ready is row.ready
    said = "\n".join(str(decision.note) for decision in made if decision.note)
    for words in row.says:
        assert words in said


def test_a_ticket_opens_with_the_problem_and_is_lowered_with_the_proof() -> None:
    """P1 says what is the matter; the note of the P3 has the evidence and time of each proof."""
    _, (opened, lowered) = settle(_down(NIGHT), NIGHT + 60)
    assert opened.note is not None
    assert lowered.note is not None
    assert opened.note.text.startswith("acme is down since 2026-11-23T22:00:00Z: no connection to mail.acme.example:25")
    assert "P3" not in opened.note.text
    assert [line.split(":")[0] for line in lowered.note.lines] == [
        "dns",
        "loop",
        "space",
        "expiry",
        "recipients",
        "tls",
    ]
    assert opened.started_at == NIGHT


def test_the_outage_is_recorded_step_by_step() -> None:
    """It begins with health, is taken over, returns, is drained and ends; the order is forgotten with its end."""
    story = _down(NIGHT, continuity=replace(ARMED, order_by="dana"))
    story, _ = settle(story, NIGHT + 10)
    assert story.outage is not None
    assert (story.outage.began_at, story.outage.taken_over_at) == (NIGHT, NIGHT + 10)
    story, made = settle(replace(story, health=up(NIGHT + 30)), NIGHT + 31)
    assert [step for decision in made for step in decision.steps] == [Step.RETURNED]
    story, _ = settle(replace(story, untried=0), NIGHT + 40)
    assert story.outage is not None
    assert (story.outage.returned_at, story.outage.drained_at) == (NIGHT + 30, NIGHT + 40)
    assert story.continuity.order == "activate"
    assert decide(story, NIGHT + 50).next_at == NIGHT + 640
    decision = decide(story, NIGHT + 640)
    assert decision.outage is not None
    assert decision.outage.ended_at == NIGHT + 640
    story = carry_out(story, decision)
    assert (story.continuity.order, story.continuity.outage_id) == (None, None)


def test_an_order_that_was_given_after_the_return_outlives_the_outage() -> None:
    """Said while the appliance is up, it arms the next outage."""
    story = facts(
        up(NIGHT),
        continuity=in_outage(DRAINING, NIGHT, order="activate", order_by="dana", order_at=NIGHT + 5),
        outage=outage(NIGHT - 600, returned_at=NIGHT, drained_at=NIGHT + 1),
        untried=0,
    )
    decision = decide(story, NIGHT + 700)
    assert Step.END in decision.steps
    assert decision.continuity.order == "activate"


def test_down_again_before_it_ended_is_the_same_outage() -> None:
    """A relapse takes back the return, is taken over anew, and the ticket says so."""
    story, _ = settle(_down(NIGHT), NIGHT + 60)
    story, _ = settle(replace(story, health=up(NIGHT + 100), untried=4), NIGHT + 101)
    again = replace(story, health=down(NIGHT + 200), proofs=proofs(NIGHT + 205), untried=None)
    story, made = settle(again, NIGHT + 210)
    assert story.outage is not None
    assert (story.outage.id, story.outage.returned_at, story.outage.taken_over_at) == (7, None, NIGHT + 60)
    assert story.continuity.state is ACTIVE
    assert "down again since" in str(made[0].note)
    assert story.continuity.downs == (NIGHT, NIGHT + 200)


def test_what_was_drained_before_a_relapse_is_drained_again() -> None:
    """Mail that came during the relapse is tried before the outage ends."""
    back = facts(
        up(NIGHT + 500),
        continuity=in_outage(DRAINING, NIGHT + 500, priority=1, downs=(1.0, 2.0, NIGHT)),
        outage=outage(NIGHT, returned_at=NIGHT + 500, drained_at=NIGHT + 510),
    )
    story, _ = settle(replace(back, health=down(NIGHT + 600)), NIGHT + 610)
    assert story.continuity.downs == (2.0, NIGHT, NIGHT + 600)
    story, _ = settle(replace(story, health=up(NIGHT + 900), untried=2), NIGHT + 901)
    story, made = settle(story, NIGHT + 9000)
    assert story.outage is not None
    assert (story.outage.returned_at, story.outage.drained_at, made) == (NIGHT + 900, None, [])


def test_flapping_keeps_the_ticket_open_for_30_quiet_minutes() -> None:
    """Down three times within an hour: the outage ends half an hour after the last return, not ten minutes."""
    returned = NIGHT + 3000
    story = facts(
        up(returned),
        continuity=in_outage(DRAINING, returned, priority=1, downs=(NIGHT, NIGHT + 1200, NIGHT + 2400)),
        outage=outage(NIGHT, returned_at=returned, drained_at=returned + 10),
        proofs=proofs(returned),
    )
    assert decide(story, returned + 1799).continuity.state is DRAINING
    assert decide(story, returned + 1799).next_at == returned + 1800
    assert decide(story, returned + 1800).continuity.state is STANDBY
    slower = replace(story, continuity=replace(story.continuity, downs=(NIGHT - 1300, NIGHT + 1200, NIGHT + 2400)))
    assert decide(slower, returned + 700).continuity.state is STANDBY


def test_an_outage_of_business_hours_is_decided_again_at_closing_time() -> None:
    """The next decision is due at the ticket's time, and then at closing time, though no fact changes."""
    story, _ = settle(_down(DAY, proofs=proofs(DAY + 5)), DAY + 10)
    assert decide(story, DAY + 10).next_at == DAY + 60
    story = replace(story, proofs=proofs(at("2026-11-23 17:50")))
    story, _ = settle(story, at("2026-11-23 17:51"))
    assert decide(story, at("2026-11-23 17:51")).next_at == at("2026-11-23 18:00")


def test_a_step_that_follows_at_once_is_announced() -> None:
    """The P3 that follows the P1, and the raise before opening, are decided in time though no fact changes."""
    assert decide(_down(NIGHT), NIGHT + 60).next_at == NIGHT + 60
    morning = at("2026-11-24 08:20")
    assert decide(replace(_active(NIGHT), proofs=proofs(morning)), morning).next_at == morning + 600


def test_a_raised_takeover_is_lowered_again_at_closing_time() -> None:
    """An outage that lasts a whole working day is P1 in its hours and P3 after them."""
    morning, evening = at("2026-11-24 08:30"), at("2026-11-24 18:00")
    story, _ = settle(replace(_active(NIGHT), proofs=proofs(morning)), morning)
    assert story.continuity.priority == 1
    story, _ = settle(replace(story, proofs=proofs(evening - 60)), evening)
    assert story.continuity.priority == 3


def test_the_clocks_of_the_ticket_start_at_the_end_of_the_maintenance() -> None:
    """Nobody is late for what happened inside a window that kept the ticket from being opened."""
    inside = _down(DAY, windows=(window(DAY - 60, DAY + 600),))
    assert decide(inside, DAY + 600).started_at == DAY + 600
    later = _down(DAY, windows=(window(DAY + 300, DAY + 600),))
    assert decide(later, DAY + 700).started_at == DAY


def test_a_failing_proof_that_comes_to_light_later_is_told() -> None:
    """The ticket that was opened before the proofs were done names those that fail once they are."""
    story, _ = settle(_down(NIGHT, proofs=()), NIGHT + 60)
    _, made = settle(replace(story, proofs=proofs(NIGHT + 50, failing=("dns",))), NIGHT + 65)
    assert [str(decision.note) for decision in made if "failing dns" in str(decision.note)]
    story, made = settle(replace(story, proofs=proofs(NIGHT + 50)), NIGHT + 65)
    assert story.continuity.priority == 3


def test_what_was_said_while_up_waits_for_the_next_outage() -> None:
    """An order changes nothing while the appliance is up, and is still there when it goes down."""
    quiet = facts(up(DAY - 1000), continuity=replace(ARMED, ready=True), proofs=proofs(DAY - 5))
    assert not decide(quiet, DAY).changes(quiet)
    story, _ = settle(replace(quiet, health=down(DAY), proofs=proofs(DAY + 5)), DAY + 60)
    assert story.continuity.state is ACTIVE


def test_readiness_in_quiet_times_is_that_of_the_last_round() -> None:
    """Evidence gathered hourly is shown until the next round; without any, readiness is not known."""
    assert decide(facts(up(DAY)), DAY).continuity.ready is None
    assert decide(facts(up(DAY), proofs=proofs(DAY)), DAY + 3700).continuity.ready is True
    assert decide(facts(up(DAY), proofs=proofs(DAY, failing=("tls",))), DAY).continuity.failing_proofs == ("tls",)


def test_the_last_good_answer_of_the_dns_serves_a_day() -> None:
    """The customer's name servers may be down with its mail: what they said before the outage counts, for 24 hours."""
    rest = proofs(NIGHT + 5)[1:]
    (before, *_) = proofs(NIGHT - 3600)
    story, _ = settle(_down(NIGHT, proofs=(before, *rest)), NIGHT + 60)
    assert story.continuity.priority == 3
    (yesterday, *_) = proofs(NIGHT - 86400)
    story, _ = settle(_down(NIGHT, proofs=(yesterday, *rest)), NIGHT + 60)
    assert story.continuity.priority == 1
