"""When an endpoint is probed next."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.appliances.model import Primary
from relay.settings import Watch
from relay.watch.health import Seen
from relay.watch.probe import Said
from relay.watch.schedule import connect_timeout, next_probe, phase_of

SETTINGS = Watch()
UP = Seen(successes=2)
FAILING = Seen(failures=1)


def test_every_two_seconds_after_the_first_failure() -> None:
    """Start to start, so that a failure that took its time doesn't put the next probe off."""
    assert next_probe(FAILING, Said.FAILURE, 100.0, 100.1, SETTINGS, 0.5) == 102.0
    assert next_probe(FAILING, Said.FAILURE, 100.0, 105.0, SETTINGS, 0.5) == 105.0


def test_a_connect_that_hangs_is_abandoned_when_the_next_probe_is_due() -> None:
    """Five seconds to connect while all is well, the interval of down probes once it fails."""
    assert connect_timeout(UP, SETTINGS) == 5.0
    assert connect_timeout(FAILING, SETTINGS) == 2.0


def test_the_way_back_is_probed_fast() -> None:
    """Until up_after answers are there the next probe comes after two seconds, at the start of a node too."""
    assert next_probe(Seen(successes=1), Said.OK, 100.0, 100.1, SETTINGS, 0.5) == 102.0


@pytest.mark.parametrize("said", [Said.TEMPORARY, Said.REFUSED, Said.NOTHING])
def test_the_unwilling_are_asked_four_times_a_minute(said: Said) -> None:
    """4xx, 5xx and nothing learnt: every 15 s, or as often as those that are up where that is more often."""
    assert next_probe(Seen(successes=1), said, 100.0, 100.1, SETTINGS, 0.5) == 115.0
    assert next_probe(UP, said, 100.0, 100.1, Watch(interval=1.0), 0.5) == 101.0


@given(st.floats(0, 1e6), st.floats(0, 1, exclude_max=True))
def test_those_that_are_up_keep_to_their_own_phase(started: float, phase: float) -> None:
    """The first gap is at most a quarter longer than the interval; from then on it is the interval."""
    first = next_probe(UP, Said.OK, started, started, SETTINGS, phase)
    assert 7.4 < first - started < 37.6
    second = next_probe(UP, Said.OK, first, first, SETTINGS, phase)
    assert second - first == pytest.approx(30.0, abs=0.01)


def test_thousands_do_not_probe_in_the_same_instant() -> None:
    """The phases of many endpoints are spread evenly: no tenth of the interval gets over a fifth of the probes."""
    tenths = [int(phase_of(Primary(f"mail{number}.test")) * 10) for number in range(3000)]
    assert max(tenths.count(tenth) for tenth in range(10)) < 600
    assert min(tenths.count(tenth) for tenth in range(10)) > 100
