"""What is greylisting, and how long it is waited out."""

from __future__ import annotations

import pytest

from relay.appliances.model import Primary
from relay.delivery.greylisting import LONGEST, SPARE, USUAL, Appointments, wait
from relay.mail import Recipient, Reply
from relay.smtp.failure import Stage
from relay.smtp.transaction import Answer

HERE, THERE = Primary("one.test"), Primary("two.test")


def said(code: int, enhanced: str, text: str, *, attempts: int = 0, stage: Stage = Stage.RCPT) -> float | None:
    return wait(Answer(Recipient("ann@acme.example"), Reply(code, enhanced, text), stage), attempts)


@pytest.mark.parametrize(
    ("code", "enhanced", "text", "seconds"),
    [
        (450, "4.2.0", "<ann@acme.example>: Recipient address rejected: Greylisted, see http://help.example/", USUAL),
        (450, "4.2.0", "Greylisted for 300 seconds", 300),
        (451, "4.7.1", "Greylisting in action, please come back in 00:04:30", 270),
        (451, "4.7.1", "Please try again later", USUAL),
        (450, "4.7.1", "Grey listed, try again in 10 minutes", 600),
        (451, "", "graylisted - please wait 2 min", 120),
        (451, "4.3.0", "Temporary policy: retry after at least 90 secs", 90),
        (450, "4.7.1", "Greylisted for 0 seconds", 0),
        (450, "4.7.1", "Greylisted, come back in 99999 minutes", LONGEST - SPARE),
    ],
)
def test_greylisting_is_waited_out(code: int, enhanced: str, text: str, seconds: float) -> None:
    """For as long as was said, and a second more; for five minutes where nothing was; and not for ever."""
    assert said(code, enhanced, text) == seconds + SPARE


@pytest.mark.parametrize(
    ("code", "enhanced", "text"),
    [
        (450, "4.2.1", "Mailbox busy"),
        (452, "4.2.2", "Over quota since 12 minutes"),
        (421, "4.7.1", "Greylisted"),  # the session is over: that is a push-back
        (550, "5.7.1", "Greylisted"),
        (250, "2.1.5", "Greylisted no more"),
    ],
)
def test_other_answers_are_no_greylisting(code: int, enhanced: str, text: str) -> None:
    """A deferral without the word, the code or a time has the ordinary schedule; a final answer is final."""
    assert said(code, enhanced, text) is None


def test_a_second_attempt_is_greylisted_only_where_the_word_is_said() -> None:
    """Too early, then: wait again. Codes that say it without a word are believed once, and nobody for ever."""
    assert said(450, "4.2.0", "Greylisted for 40 seconds", attempts=1) == 40 + SPARE
    assert said(451, "4.7.1", "Try again later", attempts=1) is None
    assert said(450, "4.2.0", "Greylisted", attempts=4) is None


def test_it_happens_to_recipients_and_to_content() -> None:
    """At RCPT, DATA or the end of data; MAIL says more of us."""
    stages = [Stage.MAIL, Stage.RCPT, Stage.DATA, Stage.END_OF_DATA]
    found = [said(450, "4.2.0", "Greylisted", stage=stage) for stage in stages]
    assert found == [None, *[USUAL + SPARE] * 3]
    ours = Answer(Recipient("a@b.example"), Reply(451, "4.7.1", "ours"), Stage.RCPT, local=True)
    assert wait(ours, 0) is None


def test_appointments_are_kept_until_they_are_over_or_too_many() -> None:
    """Memory is bounded: the oldest are forgotten first."""
    appointments = Appointments(kept=2)
    appointments.make(1, HERE)
    appointments.make(2, THERE)
    appointments.make(3, HERE)
    assert [appointments.host(number) for number in (1, 2, 3)] == [None, THERE, HERE]
    appointments.over(2)
    assert appointments.host(2) is None
