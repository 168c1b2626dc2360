"""How relayctl prints: tables and plain lines for people, JSON with stable keys for scripts.

Colours and widths are a terminal's; a pipe or a file gets plain text, each row of a table in one line. Nothing
reaches a terminal that isn't printable.
"""

from __future__ import annotations

import functools
import json
import sys
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from cli.plain import printable, printable_json
from cli.table import Column, Line, lay_out, prose
from relay.clock import iso

if TYPE_CHECKING:
    from rich.console import Console


class Printer:
    """Prints facts as the operator asked for them."""

    def __init__(self, as_json: bool) -> None:
        self.as_json = as_json

    @functools.cached_property
    def console(self) -> Console | None:
        """The terminal; None where there is none. rich, which knows terminals, is loaded for one alone."""
        if not sys.stdout.isatty():
            return None
        from rich.console import Console

        return Console(highlight=False, markup=False, emoji=False)

    def facts(self, value: Any) -> bool:
        """Print ``value`` as JSON if that was asked for; False if not."""
        if self.as_json:
            unicode = (sys.stdout.encoding or "").lower().replace("-", "") == "utf8"
            sys.stdout.write(printable_json(_json(value, ascii_only=not unicode)) + "\n")
        return self.as_json

    def done(self, line: str, **facts: Any) -> None:
        """One line that says what was done; with --json its facts instead."""
        if not self.facts(facts):
            self.line(line)

    def line(self, text: str = "", style: str = "") -> None:
        self._print([[(printable(text), style)]], wrap=True)

    def table(self, columns: Sequence[Column | str], rows: Iterable[Sequence[Any]], *, empty: str) -> None:
        """A table; ``empty`` is said where there are no rows. Columns: see :class:`cli.table.Column`."""
        found = list(rows)
        if found:
            self._lay_out(columns, found, header=True)
        else:
            self.line(empty)

    def pairs(self, pairs: Iterable[tuple[str, Any]], *, blanks: bool = False) -> None:
        """Names and values, one a line; ``blanks``: also those without a value."""
        told = [(name, value) for name, value in pairs if blanks or value not in (None, "")]
        self._lay_out(("", prose("", lines=True)), told, header=False)

    def _lay_out(self, columns: Sequence[Column | str], rows: list[Any], *, header: bool) -> None:
        if self.console is None:
            self._print(lay_out(columns, rows, header=header))
        else:
            from rich.cells import cell_len

            self._print(lay_out(columns, rows, self.console.width, header=header, measure=cell_len))

    def _print(self, lines: Iterable[Line], *, wrap: bool = False) -> None:
        if self.console is None:
            sys.stdout.writelines("".join(text for text, _ in line) + "\n" for line in lines)
            return
        from rich.text import Text

        whole = Text("\n").join(Text.assemble(*line) for line in lines)
        self.console.print(whole, soft_wrap=not wrap)


def _json(value: Any, *, ascii_only: bool, indent: str = "") -> str:
    """JSON with each row of a list on a line of its own: to be read, searched by line, and made quickly."""
    inner, ending = f"\n{indent}  ", f"\n{indent}"
    if value and isinstance(value, list) and isinstance(value[0], dict):
        rows = (json.dumps(one, ensure_ascii=ascii_only) for one in value)
        return f"[{inner}{f',{inner}'.join(rows)}{ending}]"
    if value and isinstance(value, dict) and not indent:
        pairs = (
            f"{json.dumps(key, ensure_ascii=ascii_only)}: {_json(one, ascii_only=ascii_only, indent='  ')}"
            for key, one in value.items()
        )
        return f"{{{inner}{f',{inner}'.join(pairs)}{ending}}}"
    return json.dumps(value, ensure_ascii=ascii_only)


def at(moment: float | None) -> str | None:
    """JSON's form of a time."""
    return None if moment is None else iso(moment)


def clock_time(moment: float | None) -> str:
    """A time for people: 2026-11-23 17:30:00Z."""
    return "" if moment is None else iso(moment).replace("T", " ")


def span(seconds: float | None) -> str:
    """A duration in its two largest units: 2d 4h, 12m, 8s."""
    if seconds is None:
        return ""
    whole = int(abs(seconds))
    sign = "-" if seconds <= -1 else ""
    for (big, name), (small, small_name) in (((86400, "d"), (3600, "h")), ((3600, "h"), (60, "m"))):
        if whole >= big:
            rest = whole % big // small
            return f"{sign}{whole // big}{name}" + (f" {rest}{small_name}" if rest else "")
    return f"{sign}{whole // 60}m" if whole >= 60 else f"{sign}{whole}s"


def size(number: float | None) -> str:
    """Bytes for people: 4.1 kB, 12 MB."""
    if number is None:
        return ""
    for unit in ("B", "kB", "MB", "GB"):
        if number < 999.5:
            return f"{number:.0f} {unit}" if unit == "B" or number >= 9.95 else f"{number:.1f} {unit}"
        number /= 1000
    return f"{number:.1f} TB"


def plural(number: int, one: str, many: str | None = None) -> str:
    """``1 message``, ``3 messages``."""
    return f"{number:,} {one if number == 1 else many or one + 's'}".replace(",", " ")
