"""When the proofs of an appliance are due."""

from __future__ import annotations

import pytest

from relay.appliances.facts import Health, HealthFact
from relay.continuity.proof import Proof
from relay.continuity.schedule import DOWN_EVERY, FAILING_EVERY, QUIET_EVERY, next_round
from relay.settings import PROOFS

NOW = 1_800_000_000.0


def _due(state: Health, *failing: str, skipped: tuple[str, ...] = ()) -> float:
    """How long after the last round, for an appliance that is in this state for an hour."""
    proofs = [Proof(name, name not in failing, "evidence", NOW) for name in PROOFS]
    due = next_round(7, HealthFact(state, "", NOW - 3600), proofs, skipped, NOW)
    assert due is not None
    return due - NOW


@pytest.mark.parametrize("failing", [(), ("dns",)])
def test_in_quiet_times_proofs_are_tried_hourly(failing: tuple[str, ...]) -> None:
    """Whatever fails: it has its ticket, and nobody waits for a P3."""
    assert FAILING_EVERY < _due(Health.UP, *failing) <= QUIET_EVERY


def test_an_empty_list_is_looked_at_again_soon() -> None:
    """All mail is put off by it now, and whoever has filled it should not have to wait for the hour."""
    assert _due(Health.UP, "recipients") == FAILING_EVERY
    assert _due(Health.UP, "recipients", skipped=("recipients",)) > FAILING_EVERY


def test_in_an_outage_what_fails_is_looked_at_more_often() -> None:
    """Every ten minutes else."""
    assert _due(Health.DOWN) == DOWN_EVERY
    assert _due(Health.DOWN, "dns") == FAILING_EVERY
    assert _due(Health.DELAYED, "dns") == DOWN_EVERY
