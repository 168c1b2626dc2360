"""What doctor has looked at, a line each."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Check:
    """One line: ``result`` is ok, warning, failed or skipped; ``remedy`` is empty where nothing is to be done."""

    about: str
    check: str
    result: str
    evidence: str
    remedy: str = ""
