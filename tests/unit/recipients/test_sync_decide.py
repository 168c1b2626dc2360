"""When a sync is due, and which lists it may change."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.recipients.sync import decide
from relay.recipients.sync.model import CustomerDirectory, Loss, SyncState, Taken
from relay.recipients.sync.url import LdapUrl

DIRECTORY = CustomerDirectory(7, (LdapUrl.parse("ldaps://dc1.acme.example/dc=acme"),))
NOW = 1_800_000_000.0
DOMAIN = "acme.example"


def _names(number: int, first: int = 0) -> frozenset[str]:
    return frozenset(f"user{place}" for place in range(first, first + number))


@pytest.mark.parametrize(
    ("had", "found", "lost"),
    [
        (_names(0), _names(3), None),
        (_names(0), _names(0), Loss(0, 0)),
        (_names(10), _names(10), None),
        (_names(10), _names(8), None),
        (_names(10), _names(7), Loss(10, 7)),
        (_names(10), _names(0), Loss(10, 0)),
        (_names(10), _names(10, first=5), Loss(10, 5)),
        (_names(10), _names(30, first=2), None),
    ],
)
def test_a_list_may_lose_a_fifth(had: frozenset[str], found: frozenset[str], lost: Loss | None) -> None:
    """Of the addresses that it has, whatever comes instead; and it never becomes empty."""
    assert decide.loss(had, found) == lost


def test_one_domain_that_loses_too_much_holds_up_no_other() -> None:
    """Its list stays, and is still of the time when it was taken."""
    before = SyncState(lists={DOMAIN: Taken(10, 5.0), "acme.test": Taken(10, 5.0)})
    had = {DOMAIN: _names(10), "acme.test": _names(10)}
    after = decide.succeeded(before, had, {DOMAIN: _names(5), "acme.test": _names(11)}, NOW, accept=False)
    assert after.losses == {DOMAIN: Loss(10, 5)}
    assert after.lists == {DOMAIN: Taken(10, 5.0), "acme.test": Taken(11, NOW)}
    assert decide.evidence(DIRECTORY, after, "acme") == (
        "the directory at dc1.acme.example has only 5 of the 10 addresses at acme.example, whose list of "
        "1970-01-01T00:00:05Z stays in force; if that is right, say 'relayctl recipient sync acme --accept-loss'"
    )


def test_an_operator_may_accept_a_loss_but_no_empty_list() -> None:
    """What is right to lose is theirs to say; that nobody exists is not."""
    had = {DOMAIN: _names(10)}
    assert decide.succeeded(SyncState(), had, {DOMAIN: _names(1)}, NOW, accept=True).losses == {}
    assert decide.succeeded(SyncState(), had, {DOMAIN: _names(0)}, NOW, accept=True).losses == {DOMAIN: Loss(10, 0)}


def test_a_failure_says_since_when_and_what_goes_on() -> None:
    """The same words at each further failure for the same cause; nothing once it works again."""
    state = decide.failed(SyncState(lists={DOMAIN: Taken(240, NOW - 60)}), "dc1: connection refused", NOW)
    again = decide.failed(state, "dc1: connection refused", NOW + 60)
    words = decide.evidence(DIRECTORY, state, "acme")
    assert words == decide.evidence(DIRECTORY, again, "acme")
    assert words == (
        "the sync with the directory at dc1.acme.example fails since 2027-01-15T08:00:00Z: dc1: connection refused; "
        "the list of 240 addresses of 2027-01-15T07:59:00Z stays in force"
    )
    first = decide.evidence(DIRECTORY, decide.failed(SyncState(), "dc1: connection refused", NOW), "acme")
    assert first is not None
    assert first.endswith("it has never worked, and nobody is listed by it yet")
    mended = decide.succeeded(again, {DOMAIN: _names(1)}, {DOMAIN: _names(1)}, NOW, accept=False)
    assert decide.evidence(DIRECTORY, mended, "acme") is None


def test_failures_are_tried_again_less_and_less_often() -> None:
    """After a minute, two, four; never less often than it is synced anyway."""
    state, waited = SyncState(), []
    for _ in range(100):
        state = decide.failed(state, "no", NOW)
        waited.append(decide.due_at(DIRECTORY, state, [DOMAIN]))
    assert [at - NOW for at in waited[:8] if at is not None] == [60, 120, 240, 480, 960, 1920, 3600, 3600]
    assert waited[-1] == NOW + 3600


def test_what_changes_is_attended_to_at_once() -> None:
    """A directory that is new, a domain that is listed from now on, one that is no more and had lost something."""
    synced = SyncState(tried_at=NOW, ok_at=NOW, lists={DOMAIN: Taken(3, NOW)})
    assert decide.due_at(DIRECTORY, SyncState(), [DOMAIN]) == 0
    assert decide.due_at(DIRECTORY, synced, [DOMAIN, "acme.test"]) == 0
    lost = SyncState(tried_at=NOW, lists={}, losses={"acme.test": Loss(10, 1)})
    assert decide.due_at(DIRECTORY, lost, []) == 0
    assert decide.due_at(DIRECTORY, synced, []) is None
    assert decide.due_at(DIRECTORY, SyncState(), []) is None


@given(st.integers(1, 10**6), st.integers(60, 86400), st.floats(0, 2e9))
def test_syncs_are_spread_over_the_interval(number: int, every: int, tried: float) -> None:
    """Each has its own moment, never later than an interval after the last."""
    directory = CustomerDirectory(number, DIRECTORY.urls, every=every)
    state = SyncState(tried_at=tried, lists={DOMAIN: Taken(1, tried)})
    due = decide.due_at(directory, state, [DOMAIN])
    assert due is not None
    assert tried < due <= tried + every
    following = decide.due_at(directory, SyncState(tried_at=due, lists=state.lists), [DOMAIN])
    assert following is not None
    assert abs(following - due - every) < 1 or abs(following - due) < 1  # a float may fall just short of its moment
