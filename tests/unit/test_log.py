"""How lines of the log are written."""

from __future__ import annotations

import io
import json
import threading
from collections.abc import Iterator

import pytest
import structlog

from relay import log


class Stream(io.StringIO):
    """Remembers each writing."""

    def __init__(self) -> None:
        super().__init__()
        self.writings: list[list[str]] = []

    def write(self, text: str) -> int:
        self.writings.append([json.loads(line)["event"] for line in text.splitlines()])
        return len(text)


@pytest.fixture
def stream() -> Iterator[Stream]:
    usual = structlog.get_config()
    made = Stream()
    log.configure(made)
    yield made
    structlog.configure(**usual)


def test_lines_are_written_as_they_come(stream: Stream) -> None:
    """Each by itself, in one piece."""
    for event in ("one", "two"):
        structlog.get_logger().info(event)
    assert stream.writings == [["one"], ["two"]]


def test_lines_of_a_block_are_written_together(stream: Stream) -> None:
    """In their order, at its end, blocks within it included; what another thread says meanwhile doesn't wait."""
    logger = structlog.get_logger()
    with log.together():
        logger.info("one")
        other = threading.Thread(target=logger.info, args=("other",))
        other.start()
        other.join()
        with log.together():
            logger.info("two")
    logger.info("three")
    assert stream.writings == [["other"], ["one", "two"], ["three"]]


def test_lines_of_a_block_that_fails_are_written(stream: Stream) -> None:
    """What was said before it broke may be what explains it."""
    with pytest.raises(RuntimeError), log.together():
        structlog.get_logger().info("one")
        raise RuntimeError
    assert stream.writings == [["one"]]
