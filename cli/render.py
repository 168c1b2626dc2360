"""How relayctl prints: tables and plain lines for people, JSON with stable keys for scripts."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Sequence
from typing import Any

import click
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from relay.clock import iso

STYLES = {
    "up": "green",
    "down": "bold red",
    "delayed": "yellow",
    "unknown": "dim",
    "active": "bold cyan",
    "draining": "cyan",
    "standby": "",
    "P1": "bold red",
    "P2": "yellow",
    "P3": "green",
    "ok": "green",
    "failed": "bold red",
    "skipped": "dim",
    "warning": "yellow",
    "held": "yellow",
    "yes": "green",
    "no": "bold red",
}


class Printer:
    """Prints facts as the operator asked for them."""

    def __init__(self, as_json: bool) -> None:
        self.as_json = as_json
        self.console = Console(highlight=False, soft_wrap=False)
        if not self.console.is_terminal:
            # In a pipe or a file there is no width to fit: cut nothing.
            self.console = Console(highlight=False, width=200)

    def facts(self, value: Any) -> bool:
        """Print ``value`` as JSON if that was asked for; False if not."""
        if self.as_json:
            json.dump(value, sys.stdout, indent=2, ensure_ascii=False, default=str)
            sys.stdout.write("\n")
        return self.as_json

    def done(self, line: str, **facts: Any) -> None:
        """One line that says what was done; with --json its facts instead."""
        if not self.facts(facts):
            click.echo(line)

    def line(self, text: str = "", style: str = "") -> None:
        self.console.print(Text(text, style=style))

    def table(self, columns: Sequence[str], rows: Iterable[Sequence[Any]], *, empty: str) -> None:
        """A table; ``empty`` is said where there are no rows. Columns that begin with > are right-aligned."""
        table = Table(box=box.SIMPLE_HEAD, pad_edge=False, header_style="bold", show_edge=False)
        for column in columns:
            right = column.startswith(">")
            table.add_column(column.lstrip(">"), justify="right" if right else "left", overflow="fold")
        for row in rows:
            table.add_row(*(_cell(value) for value in row))
        if table.row_count:
            self.console.print(table)
        else:
            self.line(empty)

    def pairs(self, pairs: Iterable[tuple[str, Any]]) -> None:
        """Names and values, one a line."""
        table = Table(box=None, show_header=False, pad_edge=False)
        table.add_column(style="dim")
        table.add_column(overflow="fold")
        for name, value in pairs:
            table.add_row(name, _cell(value))
        self.console.print(table)


def _cell(value: Any) -> Text:
    if value is None or value == "":
        return Text("–", style="dim")
    if isinstance(value, bool):
        value = "yes" if value else "no"
    text = str(value)
    return Text(text, style=STYLES.get(text.split(" ")[0], ""))


def at(moment: float | None) -> str | None:
    """JSON's form of a time."""
    return None if moment is None else iso(moment)


def clock_time(moment: float | None) -> str:
    """A time for people: 2026-11-23 17:30:00Z."""
    return "" if moment is None else iso(moment).replace("T", " ")


def span(seconds: float | None) -> str:
    """A duration for people in its two largest units: 2 d 4 h, 12 min, 8 s."""
    if seconds is None:
        return ""
    whole = int(abs(seconds))
    sign = "-" if seconds <= -1 else ""
    for (big, name), (small, small_name) in (((86400, "d"), (3600, "h")), ((3600, "h"), (60, "min"))):
        if whole >= big:
            rest = whole % big // small
            return f"{sign}{whole // big} {name}" + (f" {rest} {small_name}" if rest else "")
    return f"{sign}{whole // 60} min" if whole >= 60 else f"{sign}{whole} s"


def size(number: float | None) -> str:
    """Bytes for people: 4.1 kB, 12 MB."""
    if number is None:
        return ""
    for unit in ("B", "kB", "MB", "GB"):
        if number < 1000:
            return f"{number:.0f} {unit}" if unit == "B" or number >= 10 else f"{number:.1f} {unit}"
        number /= 1000
    return f"{number:.1f} TB"


def plural(number: int, one: str, many: str | None = None) -> str:
    """``1 message``, ``3 messages``."""
    return f"{number:,} {one if number == 1 else many or one + 's'}".replace(",", " ")
