"""Who is taken and who isn't: every rule about a recipient, as values."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime

import pytest

from relay.appliances.facts import Health, HealthFact
from relay.appliances.model import Domain, RecipientPolicy, WhenUp
from relay.edge.admission import Facts, judge, room
from relay.edge.parameters import NOTHING_ASKED, MailParameters
from relay.queue.content import RECEIVED_ROOM
from relay.recipients.known import Verdict

NOW = datetime(2027, 6, 1, tzinfo=UTC).timestamp()
DOMAIN = Domain(1, "gold.example", 1, RecipientPolicy.ANY, WhenUp.RELAY, 86400, 1000, None, 0.0)
DOWN = HealthFact(Health.DOWN, "silent", 0.0)
FACTS = Facts(DOMAIN, DOWN, proven_up=False, waiting=0, verdict=Verdict.TAKEN)


def reply(facts: Facts, asked: MailParameters = NOTHING_ASKED) -> str:
    refusal = judge(facts, asked, NOW)
    return "" if refusal is None else f"{refusal.reply.code} {refusal.reply.enhanced}"


def test_mail_for_a_gold_domain_is_taken() -> None:
    """Nothing speaks against it."""
    assert reply(FACTS) == ""


@pytest.mark.parametrize(("until", "expected"), [(date(2027, 6, 1), ""), (date(2027, 5, 31), "451 4.7.1")])
def test_after_the_contract_mail_is_refused_for_now(until: date, expected: str) -> None:
    """To the end of its last day it is taken; then not, but never for good while the DNS may name us."""
    assert reply(replace(FACTS, domain=replace(DOMAIN, until=until))) == expected


@pytest.mark.parametrize(
    ("verdict", "expected"), [(Verdict.TAKEN, ""), (Verdict.UNKNOWN, "550 5.1.1"), (Verdict.UNDECIDED, "451 4.3.0")]
)
def test_who_does_not_exist_is_refused(verdict: Verdict, expected: str) -> None:
    """For good only where it is known."""
    assert reply(replace(FACTS, verdict=verdict)) == expected


@pytest.mark.parametrize(
    ("waiting", "size", "expected"),
    [(999, None, ""), (1000, None, ""), (1001, None, "450 4.2.2"), (500, 500, ""), (500, 501, "450 4.2.2")],
)
def test_a_full_quota_defers(waiting: int, size: int | None, expected: str) -> None:
    """What waits already and what is declared now count together."""
    assert reply(replace(FACTS, waiting=waiting), MailParameters(size)) == expected


@pytest.mark.parametrize(("most", "messages", "expected"), [(0, 10**6, ""), (5, 4, ""), (5, 5, "450 4.2.2")])
def test_a_quota_may_count_messages_too(most: int, messages: int, expected: str) -> None:
    """As many may wait as were said, however small they are; 0 is any number."""
    facts = replace(FACTS, domain=replace(DOMAIN, quota_messages=most), messages=messages)
    assert reply(facts) == expected


@pytest.mark.parametrize(
    ("when_up", "proven_up", "expected"),
    [
        (WhenUp.RELAY, True, ""),
        (WhenUp.DEFER, False, ""),
        (WhenUp.DEFER, True, "451 4.3.2"),
    ],
)
def test_mail_is_deferred_to_a_primary_that_is_up(when_up: WhenUp, proven_up: bool, expected: str) -> None:
    """Only where the domain wants that, and only while the primary is proven up."""
    assert reply(replace(FACTS, domain=replace(DOMAIN, when_up=when_up), proven_up=proven_up)) == expected


@pytest.mark.parametrize(
    ("offered", "size", "expected"),
    [
        (None, 900, ""),
        (0, 900, ""),  # RFC 1870: no limit
        (900 + RECEIVED_ROOM, 900, ""),
        (899 + RECEIVED_ROOM, 900, "552 5.3.4"),
        (100, None, ""),
    ],
)
def test_what_the_primary_cannot_take_is_refused(offered: int | None, size: int | None, expected: str) -> None:
    """A message larger than the primary last offered to take, with our own line, is refused at once."""
    health = replace(DOWN, offered_size=offered)
    assert reply(replace(FACTS, health=health), MailParameters(size)) == expected
    assert offered is None or offered == 0 or room(health) == offered - RECEIVED_ROOM


@pytest.mark.parametrize(("offered", "expected"), [(None, ""), (True, ""), (False, "550 5.6.7")])
def test_smtputf8_needs_a_primary_that_takes_it(offered: bool | None, expected: str) -> None:
    """Refused only where the primary is known not to."""
    facts = replace(FACTS, health=replace(DOWN, offered_smtputf8=offered))
    assert reply(facts, MailParameters(smtputf8=True)) == expected
    assert reply(facts) == ""


def test_what_is_final_comes_first() -> None:
    """A sender learns at once what will never work, whatever else may pass."""
    facts = replace(FACTS, domain=replace(DOMAIN, when_up=WhenUp.DEFER), proven_up=True, waiting=5000)
    assert reply(replace(facts, verdict=Verdict.UNKNOWN)) == "550 5.1.1"
