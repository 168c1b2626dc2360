"""Every rule by which the health of an appliance is decided."""

from __future__ import annotations

import dataclasses

import pytest

from relay.appliances.evidence import View
from relay.appliances.facts import Health, HealthFact
from relay.appliances.pulse import Reach
from relay.settings import Watch
from relay.smtp.dialogue import Offers
from relay.watch.health import Seen, Verdict, judge, note
from relay.watch.probe import Answer, Said

SETTINGS = Watch()
NO_EVIDENCE = View()
OK = Answer(Said.OK, "mail.test:25 answers", offers=Offers(size=1000, smtputf8=True))
BUSY = Answer(Said.TEMPORARY, "mail.test:25: 421 4.3.2 Too many connections")
REFUSED = Answer(Said.REFUSED, "mail.test:25: 554 5.7.1 Go away")
DEAD = Answer(Said.FAILURE, "mail.test:25: connection refused")
NOTHING = Answer(Said.NOTHING, "mail.test:25: the DNS gives no answer")

UNKNOWN = HealthFact(Health.UNKNOWN, "not probed yet", 0.0)
UP = HealthFact(Health.UP, "mail.test:25 answers", 10.0, 1000, True, False)
DOWN = HealthFact(Health.DOWN, "mail.test:25: connection refused", 20.0, 1000, True, False)


def seen(*answers: Answer, at: float = 100.0) -> Seen:
    """What these answers, a second apart from ``at`` on, leave of an endpoint."""
    state = Seen()
    for second, answer in enumerate(answers):
        state = note(state, answer, at + second)
    return state


def decide(
    fact: HealthFact,
    *endpoints: Seen,
    view: View = NO_EVIDENCE,
    now: float = 1000.0,
    began: float = 0.0,
    found: HealthFact | None = None,
    cut_off: bool = False,
) -> Verdict:
    return judge(fact, endpoints, view, SETTINGS, now, began=began, found=found, cut_off=cut_off)


def delayed(reason: str, since: float = 30.0) -> HealthFact:
    return HealthFact(Health.DELAYED, reason, since, 1000, True, False)


def test_down_after_three_failures_in_a_row() -> None:
    """Two failures leave an appliance up and its mail flowing; the third makes it down, since the first."""
    two = decide(UP, seen(OK, DEAD, DEAD))
    assert (two.fact, two.reach) == (UP, Reach.YES)
    three = decide(UP, seen(OK, DEAD, DEAD, DEAD))
    assert three.fact == HealthFact(Health.DOWN, DEAD.text, 101.0, 1000, True, False)
    assert three.reach is Reach.NO


def test_a_success_between_failures_starts_the_count_again() -> None:
    """Failures count only in a row."""
    assert decide(UP, seen(DEAD, DEAD, OK, DEAD, DEAD)).fact.state is Health.UP


@pytest.mark.parametrize("answer", [BUSY, REFUSED, OK])
def test_any_answer_is_no_failure(answer: Answer) -> None:
    """A 4xx, a 421 and a 5xx interrupt a row of failures like a yes."""
    assert seen(DEAD, DEAD, answer).failures == 0
    assert decide(UP, seen(DEAD, DEAD, answer, DEAD, DEAD)).fact.state is not Health.DOWN


def test_down_needs_every_primary_to_fail() -> None:
    """One primary that answers keeps the appliance up; when the last goes, it is down since then."""
    dead = seen(OK, DEAD, DEAD, DEAD, DEAD, at=100.0)
    assert decide(UP, dead, seen(OK)).fact.state is Health.UP
    last = decide(UP, dead, seen(OK, DEAD, DEAD, DEAD, at=200.0)).fact
    assert (last.state, last.since) == (Health.DOWN, 201.0)
    assert last.reason == f"{DEAD.text}; {DEAD.text}"


def test_nothing_learnt_changes_nothing() -> None:
    """A probe that failed for a reason of our own counts neither way."""
    assert seen(OK, DEAD, DEAD, NOTHING) == seen(OK, DEAD, DEAD)
    assert decide(UNKNOWN, seen(NOTHING)).fact == UNKNOWN


def test_unknown_becomes_down_without_ever_having_been_up() -> None:
    """A primary that is dead from the first probe on is called down."""
    assert decide(UNKNOWN, seen(DEAD, DEAD, DEAD)).fact.state is Health.DOWN


@pytest.mark.parametrize("before", [UNKNOWN, DOWN])
def test_the_first_success_sends_the_canary_and_the_second_is_up(before: HealthFact) -> None:
    """One answer changes no health but lets one message out; two in a row make the appliance up, since the first."""
    first = decide(before, seen(DEAD, DEAD, DEAD, OK))
    assert (first.fact.state, first.fact.since, first.reach) == (before.state, before.since, Reach.CANARY)
    second = decide(first.fact, seen(DEAD, DEAD, DEAD, OK, OK), now=777.0)
    assert (second.fact.state, second.fact.since, second.reach) == (Health.UP, 103.0, Reach.YES)


def test_what_answered_all_the_while_is_up_since_its_trouble_ended() -> None:
    """Where probes were answered also while MAIL was refused, the return isn't older than the trouble."""
    verdict = decide(delayed("refused: at MAIL: 550 Go away"), seen(OK, OK, OK, at=5.0), now=777.0)
    assert (verdict.fact.state, verdict.fact.since) == (Health.UP, 777.0)


def test_the_way_back_begins_anew_after_a_failure() -> None:
    """A failure after the first success takes the canary's leave back."""
    verdict = decide(DOWN, seen(DEAD, DEAD, DEAD, OK, DEAD))
    assert (verdict.fact, verdict.reach) == (DOWN, Reach.NO)


def test_one_good_primary_of_two_is_enough_to_be_up() -> None:
    """The answers that count in a row are those of one primary."""
    assert decide(DOWN, seen(DEAD, DEAD, DEAD), seen(DEAD, DEAD, DEAD, OK, OK)).fact.state is Health.UP
    assert decide(DOWN, seen(DEAD, OK), seen(DEAD, OK)).fact.state is Health.DOWN


def test_after_a_restart_one_success_confirms_what_was_up() -> None:
    """An appliance that the database knows as up gets its mail with the first answer, and none before it."""
    assert decide(UP, Seen()).reach is Reach.NO
    assert decide(UP, seen(OK)).reach is Reach.YES


def test_refused_is_delayed_and_nothing_is_drained() -> None:
    """A 5xx at the banner or EHLO makes the appliance delayed at once, with a reason that says refused."""
    for before in (UNKNOWN, UP, DOWN):
        verdict = decide(before, seen(REFUSED))
        assert (verdict.fact.state, verdict.reach) == (Health.DELAYED, Reach.NO)
        assert verdict.fact.refuses
        assert "554 5.7.1" in verdict.fact.reason


def test_one_willing_primary_outweighs_one_that_refuses() -> None:
    """Mail still flows through the other, so that the appliance isn't delayed."""
    assert decide(UP, seen(REFUSED), seen(OK)).fact == UP


def test_refused_is_over_after_two_successes() -> None:
    """An appliance that refused us comes back as one that was down: canary, then up."""
    refused = decide(UP, seen(REFUSED)).fact
    assert decide(refused, seen(REFUSED, OK)) == Verdict(refused, Reach.CANARY)
    assert decide(refused, seen(REFUSED, OK, OK)).fact.state is Health.UP


def test_a_refusal_at_mail_counts_like_one_at_the_banner() -> None:
    """What delivery heard at MAIL makes the appliance delayed while its banner still smiles."""
    verdict = decide(UP, seen(OK), view=View(refusal="550 5.7.1 Listed"))
    assert verdict.fact.refuses
    assert verdict.reach is Reach.NO


def test_a_busy_primary_stays_up_and_keeps_its_drain() -> None:
    """A 421 to a probe while mail flows isn't news: it may be our own connections that are too many."""
    assert decide(UP, seen(OK, BUSY, BUSY, BUSY, BUSY)) == Verdict(UP, Reach.YES)


def test_a_primary_that_is_busy_with_the_drain_of_its_return_has_come_back() -> None:
    """After a first yes the mail may flow so well that the second probe gets 421: that is up, and no delay."""
    verdict = decide(DOWN, seen(DEAD, OK, BUSY))
    assert (verdict.fact.state, verdict.reach) == (Health.UP, Reach.YES)


def test_a_return_with_4xx_alone_is_delayed_until_it_says_yes() -> None:
    """An appliance that comes back and answers 421 is no longer down, is tried with a canary, and isn't called up."""
    first = decide(DOWN, seen(DEAD, BUSY))
    assert (first.fact.state, first.reach) == (Health.DOWN, Reach.CANARY)
    second = decide(DOWN, seen(DEAD, BUSY, BUSY))
    assert (second.fact.state, second.reach) == (Health.DELAYED, Reach.CANARY)
    assert "421 4.3.2" in second.fact.reason
    again = decide(second.fact, seen(DEAD, BUSY, BUSY, BUSY), now=2000.0)
    assert again == second
    willing = decide(second.fact, seen(DEAD, BUSY, BUSY, OK))
    assert (willing.fact.state, willing.reach) == (Health.UP, Reach.YES)


SLOW = View(p95_reply=12.2, replies=10)
DEFERRING = View(recipients=20, deferred=10)
WAITING = View(oldest_since=100.0)


@pytest.mark.parametrize(
    ("view", "word"),
    [(SLOW, "slow"), (DEFERRING, "deferring"), (WAITING, "waiting")],
)
def test_what_makes_an_appliance_delayed(view: View, word: str) -> None:
    """Slow replies, half of the recipients deferred, or mail that waited for 15 minutes: delayed, and still drained."""
    verdict = decide(UP, seen(OK), view=view)
    assert (verdict.fact.state, verdict.fact.since, verdict.reach) == (Health.DELAYED, 1000.0, Reach.YES)
    assert verdict.fact.reason.startswith(f"{word}: ")
    assert not verdict.fact.refuses


@pytest.mark.parametrize(
    "view",
    [
        View(p95_reply=10.0, replies=100),
        View(p95_reply=12.2, replies=9),
        View(recipients=19, deferred=19),
        View(recipients=21, deferred=10),
        View(oldest_since=101.0),
    ],
)
def test_what_is_just_not_enough_to_be_delayed(view: View) -> None:
    """At 10 s, below 20 recipients, below half, or a second before 15 minutes an appliance is up."""
    assert decide(UP, seen(OK), view=view).fact == UP


def test_mail_that_waited_before_this_node_began_says_nothing() -> None:
    """After a restart the 15 minutes begin with the node: before, nobody here could have handed the mail on."""
    assert decide(UP, seen(OK), view=WAITING, began=101.0).fact == UP
    assert decide(UP, seen(OK), view=WAITING, began=100.0).fact.state is Health.DELAYED


def test_delayed_ends_with_its_cause() -> None:
    """When the evidence is gone, so is the delay."""
    verdict = decide(delayed("slow: …"), seen(OK), now=1234.0)
    assert (verdict.fact.state, verdict.fact.since) == (Health.UP, 1234.0)


@pytest.mark.parametrize("word", ["slow", "deferring", "waiting"])
def test_a_delay_that_another_node_found_counts_as_long_as_its_evidence(word: str) -> None:
    """Whoever takes over has seen nothing yet: delayed for ten more minutes, and drained, then by its own evidence."""
    before = delayed(f"{word}: …")
    kept = decide(before, seen(OK, OK), now=1599.0, began=1000.0, found=before)
    assert kept == Verdict(before, Reach.YES)
    assert decide(before, seen(OK, OK), now=1600.0, began=1000.0, found=before).fact.state is Health.UP


def test_mail_that_waited_long_enough_for_another_node_waits_still() -> None:
    """A handover doesn't begin its fifteen minutes anew; that it is gone ends the delay."""
    before, waits_still = delayed("waiting: …"), dataclasses.replace(WAITING, looked=True)
    assert decide(before, seen(OK), view=waits_still, now=1700.0, began=1000.0, found=before).fact == before
    gone_on = View(oldest_since=1001.0, looked=True)
    assert decide(before, seen(OK), view=gone_on, now=1700.0, began=1000.0, found=before).fact.state is Health.UP


@pytest.mark.parametrize(
    ("word", "too_little", "enough"),
    [
        ("slow", View(p95_reply=0.1, replies=9), View(p95_reply=0.1, replies=10)),
        ("deferring", View(recipients=19), View(recipients=20)),
    ],
)
def test_enough_evidence_of_its_own_goes_before_what_was_found(word: str, too_little: View, enough: View) -> None:
    """A node that sees for itself that the trouble is over says so, however often the ten minutes have begun anew."""
    before = delayed(f"{word}: …")
    assert decide(before, seen(OK), view=too_little, began=900.0, found=before).fact == before
    assert decide(before, seen(OK), view=enough, began=900.0, found=before).fact.state is Health.UP


def test_mail_that_waits_no_more_ends_the_delay_at_once() -> None:
    """As soon as this node has looked, and not after ten minutes; until then it is as it was found."""
    before = delayed("waiting: …")
    assert decide(before, seen(OK), now=1001.0, began=1000.0, found=before).fact == before
    none = View(looked=True)
    assert decide(before, seen(OK), view=none, now=1001.0, began=1000.0, found=before).fact.state is Health.UP


def test_what_was_found_counts_for_no_other_trouble() -> None:
    """Its own evidence goes first, a later delay is another one, and a refusal may have been of another address."""
    before = delayed("slow: …")
    other = decide(before, seen(OK), view=DEFERRING, began=900.0, found=before).fact
    assert other.reason.startswith("deferring: ")
    assert decide(other, seen(OK), began=900.0, found=before).fact.state is Health.UP
    refused = delayed("refused: at MAIL: 550 Go away")
    assert decide(refused, seen(OK, OK), began=900.0, found=refused).fact.state is Health.UP


def test_figures_that_move_are_no_news() -> None:
    """The reason stays while the kind of trouble does; another kind is said, and the delay keeps its beginning."""
    before = decide(UP, seen(OK), view=View(recipients=20, deferred=10), now=50.0).fact
    assert decide(before, seen(OK), view=View(recipients=400, deferred=399)).fact == before
    other = decide(before, seen(OK), view=SLOW).fact
    assert other.reason.startswith("slow: ")
    assert other.since == 50.0


def test_a_delayed_appliance_can_go_down() -> None:
    """Three failures count from any state."""
    assert decide(delayed("slow: …"), seen(OK, DEAD, DEAD, DEAD), view=SLOW).fact.state is Health.DOWN


def test_down_stays_as_it_was_first_described() -> None:
    """Further failures change neither the reason nor the beginning of an outage."""
    timeout = Answer(Said.FAILURE, "mail.test:25: no connection within 2 s")
    assert decide(DOWN, seen(DEAD, DEAD, DEAD, timeout)).fact == DOWN


def test_while_cut_off_nothing_is_called_down() -> None:
    """The health stays, mail isn't handed out, and the doubt is told; what was down before stays down."""
    verdict = decide(UP, seen(OK, DEAD, DEAD, DEAD), cut_off=True)
    assert verdict == Verdict(UP, Reach.NO, doubtful=True)
    assert decide(DOWN, seen(DEAD, DEAD, DEAD), cut_off=True) == Verdict(DOWN, Reach.NO, doubtful=False)


def test_offers_are_kept_as_they_were_last_heard() -> None:
    """SIZE, SMTPUTF8 and 8BITMIME are those of the most preferred primary that ever answered, also while it is down."""
    fact = decide(UNKNOWN, seen(OK)).fact
    assert (fact.offered_size, fact.offered_smtputf8, fact.offered_8bitmime) == (1000, True, False)
    other = Answer(Said.OK, "other", offers=Offers(size=5, eightbitmime=True))
    assert decide(fact, seen(OK, DEAD), seen(other)).fact.offered_size == 1000
    assert decide(fact, Seen(), seen(other)).fact.offered_8bitmime is True


def test_a_size_of_zero_is_no_limit() -> None:
    """SIZE 0 and SIZE without a number (RFC 1870 4) leave no size to hold mail against."""
    assert decide(UP, seen(Answer(Said.OK, "", offers=Offers(size=0)))).fact.offered_size is None


def test_an_appliance_without_endpoints_is_neither_up_nor_down() -> None:
    """Where no MX is left, nothing is decided and no mail is handed out."""
    assert decide(UNKNOWN) == Verdict(UNKNOWN, Reach.NO)
