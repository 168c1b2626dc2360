"""Where lines of the log go: standard error, for people on a terminal, as JSON otherwise.

What doesn't print is escaped in both, for strangers choose addresses and primaries their replies. A log that can't be
written fails nobody: mail that is on disk gets its 250 and outcomes are recorded, whether or not the log can say so.
"""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Callable, Iterator, MutableMapping
from contextlib import contextmanager
from typing import Any, TextIO, cast

import structlog

from relay.clock import stamp


def configure(stream: TextIO | None = None, lost: Callable[[], None] = lambda: None) -> None:
    """Set up the log on ``stream`` (standard error). ``lost``: told of each write that failed."""
    global _unfailing
    stream = stream or sys.stderr
    _unfailing = _Unfailing(stream, lost)
    terminal = stream.isatty()
    renderer: Any = structlog.dev.ConsoleRenderer(pad_event_to=0) if terminal else _json_line
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            _stamped,
            structlog.processors.format_exc_info,
            _printable,
            renderer,
        ],
        # Not print(), which writes the line and its end one after the other: two system calls, and others in between.
        logger_factory=structlog.WriteLoggerFactory(cast(TextIO, _unfailing)),
        cache_logger_on_first_use=True,
    )


@contextmanager
def together() -> Iterator[None]:
    """Write the lines of the block, as far as this thread logs them, at its end and all at once: a line alone costs a
    system call, which is more than what it tells of."""
    stream = _unfailing
    if stream is None or stream.gathered is not None:
        yield
        return
    stream.gathered, stream.gatherer = [], threading.get_ident()
    try:
        yield
    finally:
        lines, stream.gathered = stream.gathered, None
        stream.write("".join(lines))
        stream.flush()


def silence() -> None:
    """No log at all: for commands that speak to a person themselves."""

    def drop(*_: Any) -> Any:
        raise structlog.DropEvent

    structlog.configure(processors=[drop])


class _Unfailing:
    """A stream that raises nothing where it can't be written to: a full disk, a reader that has gone."""

    def __init__(self, stream: TextIO, lost: Callable[[], None]) -> None:
        self._stream = stream
        self._lost = lost
        self.gathered: list[str] | None = None
        """Lines of the thread ``gatherer`` that are to be written together."""
        self.gatherer = 0

    def write(self, text: str) -> int:
        gathered = self.gathered
        if gathered is not None and threading.get_ident() == self.gatherer:
            gathered.append(text)
            return len(text)
        try:
            return self._stream.write(text)
        except (OSError, ValueError):
            self._lost()
            return len(text)

    def flush(self) -> None:
        if self.gathered is not None and threading.get_ident() == self.gatherer:
            return
        try:
            self._stream.flush()
        except (OSError, ValueError):
            self._lost()


_unfailing: _Unfailing | None = None
"""Where the log goes, once it is set up."""

_encode = json.JSONEncoder(ensure_ascii=False, default=str).encode


def _json_line(_: Any, __: str, event: MutableMapping[str, Any]) -> str:
    """What structlog's own renderer gives, which makes an encoder anew for each line."""
    return _encode(event)


def _stamped(_: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    event["timestamp"] = stamp()
    return event


def _printable(_: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Let no value break its line, move a cursor or turn the direction of writing; a traceback keeps its lines."""
    for key, value in event.items():
        if isinstance(value, str) and not value.isprintable():
            lines = value.split("\n") if key == "exception" else [value]
            event[key] = "\n".join(line if line.isprintable() else _escaped(line) for line in lines)
    return event


def _escaped(text: str) -> str:
    return "".join(one if one.isprintable() else one.encode("unicode_escape").decode("ascii") for one in text)
