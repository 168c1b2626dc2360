"""Operators of two machines: one that is saved, and one that nothing is on yet."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.integration.cli.conftest import Mail, empty, posted
from tests.integration.cli.conftest import mail as mail
from tests.integration.cli.conftest import relayctl as relayctl
from tests.integration.cli.console import Relayctl

__all__ = ["Mail", "empty", "mail", "posted", "relayctl"]


@pytest.fixture
def elsewhere(tmp_path_factory: pytest.TempPathFactory) -> Relayctl:
    """Another machine, with a relay.toml and no database."""
    return Relayctl(tmp_path_factory.mktemp("elsewhere"))


def left_behind(folder: Path) -> list[str]:
    """What a backup that failed might have left."""
    return [path.name for path in folder.iterdir() if path.name.startswith(".relay-backup-")]
