"""What holds for every story of an appliance, whatever happens in whatever order."""

from __future__ import annotations

from dataclasses import dataclass, replace

from hypothesis import given, settings
from hypothesis import strategies as st

from relay.appliances.facts import Continuity, Health, HealthFact
from relay.appliances.model import Activation
from relay.continuity.decide import decide
from relay.continuity.decision import Facts, Step
from relay.settings import PROOFS
from tests.unit.continuity.outages import DAY, appliance, facts, proofs, settle, window


@dataclass(frozen=True)
class Happening:
    """``wait`` seconds pass; then what is not None becomes so."""

    wait: float
    health: Health | None
    reason: str
    failing: tuple[str, ...] | None
    untried: int
    order: str | None


HAPPENINGS = st.lists(
    st.builds(
        Happening,
        st.sampled_from([0.5, 2.0, 30.0, 60.0, 599.0, 600.0, 901.0, 1800.0, 3600.0, 14400.0]) | st.floats(0.1, 90000.0),
        st.none() | st.sampled_from(Health),
        st.sampled_from(["slow", "refused: 554"]),
        st.none() | st.lists(st.sampled_from(PROOFS), max_size=2).map(tuple),
        st.sampled_from([0, 0, 0, 3]),
        st.sampled_from([None, None, None, None, "activate", "deactivate"]),
    ),
    min_size=1,
    max_size=25,
)
SCENES = st.builds(
    facts,
    st.just(HealthFact(Health.UP, "answers", DAY - 3600)),
    appliance=st.builds(
        appliance,
        activation=st.sampled_from(Activation),
        business_hours=st.sampled_from(["Mon-Fri 09:00-18:00", "always", "none", "22:00-06:00"]),
        skip_proofs=st.sampled_from([(), ("dns",)]),
    ),
    rules=st.fixed_dictionaries({}, optional={"on_business_hours": st.just("keep"), "ticket_after": st.just(0)}),
    windows=st.sampled_from([(), (window(DAY + 1000, DAY + 5000), window(DAY + 5000, DAY + 9000))]),
)


def _happens(story: Facts, event: Happening, now: float) -> Facts:
    if event.health is not None and event.health is not story.health.state:
        story = replace(story, health=HealthFact(event.health, event.reason, now - 0.05))
    if event.failing is not None:
        story = replace(story, proofs=proofs(now - 0.01, failing=event.failing))
    if event.order is not None:
        story = replace(story, continuity=replace(story.continuity, order=event.order, order_by="dana", order_at=now))
    return replace(story, untried=event.untried)


@settings(max_examples=300)
@given(scene=SCENES, happenings=HAPPENINGS, later=st.floats(0.0, 1.0))
def test_every_story(scene: Facts, happenings: list[Happening], later: float) -> None:
    """P3 while down needs proof; nothing ends untried; decisions settle, and hold until the time they name."""
    story, now = scene, DAY
    last_proven = float("-inf")
    for event in happenings:
        now += event.wait
        story = _happens(story, event, now)
        judged = story.judge(now)
        last_proven = now if judged.proven else last_proven
        before = story
        story, made = settle(story, now)  # raises where it finds no end

        for decision in made:
            if Step.END in decision.steps:
                assert before.untried == 0 or (before.outage and before.outage.drained_at is not None)
                assert story.health.state is Health.UP
        for before_it, decision in zip([before.continuity, *(one.continuity for one in made)], made, strict=False):
            if decision.continuity.priority != before_it.priority:
                assert decision.note is not None
                assert decision.note.text
        continuity = story.continuity
        if story.health.state is Health.DOWN:
            assert story.outage is not None
            if continuity.priority == 3 and before.continuity.priority != 3:
                assert continuity.state is Continuity.ACTIVE
                assert continuity.ready
                assert judged.proven or now - last_proven <= story.rules.proof_after + event.wait
            if continuity.state is Continuity.ACTIVE and before.continuity.state is not Continuity.ACTIVE:
                assert judged.proven
        if story.health.state is Health.UP:
            assert continuity.state is not Continuity.ACTIVE
            assert (story.outage is None) == (continuity.state is Continuity.STANDBY)
        assert (story.outage is None) == (continuity.outage_id is None)

        assert not decide(story, now).changes(story)
        until = decide(story, now).next_at
        assert until is None or until > now
        moment = now + later * ((now + 10 * 86400 if until is None else until) - now)
        if until is None or moment < until:
            assert not decide(story, moment).changes(story), f"changes {moment - now} s later, before {until}"
