"""Where fuzzing begins, and what it has found: ``seeds/TARGET.txt``, one input a line, written as in the dialogues of
the edge: \\r, \\n, \\x00 … as in Python.

A find that is mended stays as one more line: tests/unit/test_fuzz_targets.py tries each of them every time.
"""

from __future__ import annotations

from pathlib import Path

from tests.integration.edge.test_dialogues import FILES
from tests.integration.edge.test_dialogues import read as dialogue

FOLDER = Path(__file__).parent / "seeds"


def seeds(target: str) -> list[bytes]:
    """The inputs of a target; for whole sessions also what the clients of the edge's dialogues say."""
    found = read((FOLDER / f"{target}.txt").read_text())
    return found + (_dialogues() if target == "session" else [])


def read(text: str) -> list[bytes]:
    """The inputs in ``text``; empty lines and comments aren't any."""
    lines = (line for line in text.splitlines() if line and not line.startswith("#"))
    return [line.encode().decode("unicode_escape").encode("latin-1") for line in lines]


def as_seed(octets: bytes) -> str:
    """The line for ``octets``."""
    line = octets.decode("latin-1").encode("unicode_escape").decode()
    return f"\\x{ord(line[0]):02x}{line[1:]}" if line[:1] in "# " else line


def _dialogues() -> list[bytes]:
    return [b"".join(turn for turn in dialogue(path).turns if isinstance(turn, bytes)) for path in FILES]
