"""Every test in here is a fault: ``pytest -m faults`` runs them alone."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.faults.engines import Engine, on
from tests.support.postgres import PostgresCluster

HERE = Path(__file__).parent
LONGEST = 300
"""Seconds for one: nodes are killed and started again, which takes a busy machine a while."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark those of this folder, and give them time."""
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.faults)
            item.add_marker(pytest.mark.timeout(LONGEST))


@pytest.fixture
def postgresql(postgres: PostgresCluster) -> Engine:
    """A database of its own on the server of all tests."""
    return on(postgres)
