"""One host of a drain: rest after a failure, a single try, and when others get its mail."""

from __future__ import annotations

from relay.appliances.model import Primary
from relay.delivery.host import OPENING, SILENT, Host
from relay.delivery.ramp import Ramp


def host(width: int = 8) -> Host:
    return Host(Primary("mail.test"), Ramp.begin(width, gentle=False))


def test_a_host_that_failed_rests_and_gets_a_single_try() -> None:
    """After its rest one connection finds out, however many there might be; an answer ends the row of failures."""
    mail = host()
    mail.failed(100.0)
    assert mail.room(100.9) == 0
    assert mail.room(101.0) == 1
    mail.connections = 1
    assert mail.room(101.0) == 0
    mail.answered(101.5)
    assert mail.room(101.5) == 7


def test_the_rests_grow() -> None:
    """1, 2, 4, 8, 15 and then 30 seconds; twenty connections that fail together are one failure."""
    mail, rests, now = host(), [], 0.0
    for _ in range(7):
        for _ in range(20):
            mail.failed(now)
        rests.append(next(seconds for seconds in range(100) if not mail.rests(now + seconds)))
        now += 100
    assert rests == [1, 2, 4, 8, 15, 30, 30]


def test_less_preferred_hosts_get_mail_where_it_failed_is_full_or_silent() -> None:
    """Not while it merely ramps up."""
    ramping = Host(Primary("mail.test"), Ramp.begin(8))
    ramping.connections = 1
    assert not ramping.passes_on(0.0)

    failed, full, silent = host(), host(), host()
    failed.failed(0.0)
    assert failed.passes_on(10.0)
    full.pushed_back(0, "421")
    assert full.passes_on(0.0)
    silent.given(0.0)
    assert not silent.passes_on(SILENT)
    assert silent.passes_on(SILENT + 1)
    silent.done()
    assert not silent.passes_on(SILENT + 1)


def test_silence_begins_with_what_is_under_way() -> None:
    """A host that had nothing to do for an hour wasn't silent."""
    mail = host()
    mail.answered(0.0)
    mail.given(3600.0)
    assert not mail.passes_on(3601.0)


def test_the_patience_for_a_session_grows_with_each_failure() -> None:
    """A host that lets everybody wait a minute for its banner is reached in the end."""
    mail, found = host(), []
    for number in range(8):
        found.append(mail.patience)
        mail.failed(100.0 * number)
    assert found == [OPENING, 2 * OPENING, 4 * OPENING, 8 * OPENING, 16 * OPENING, 300.0, 300.0, 300.0]


def test_a_round_counts_what_was_begun_at_its_width() -> None:
    """What was begun before a push-back neither widens nor narrows."""
    mail = host(2)
    for _ in range(7):
        assert not mail.clean(0, 0.1)
    mail.pushed_back(0, "421")
    assert [mail.clean(0, 0.1) for _ in range(20)] == [False] * 20
    assert [mail.clean(1, 0.1) for _ in range(4)] == [False, False, False, True]
    assert mail.ramp.width == 2


def test_a_host_is_crowded_by_those_who_stay() -> None:
    """Whoever is on the way home doesn't count."""
    mail = host(4)
    mail.connections = 4
    mail.pushed_back(0, "421")
    assert mail.crowded
    mail.leaving = 2
    assert not mail.crowded
