"""How a table is laid out: what is said of each row, in as many columns as there is room for.

Without a width (a pipe, a file) nothing is cut and each row is one line, for grep and awk. On a terminal that is too
narrow, in this order: columns that say nothing in any row are left out; free text goes to lines of its own below its
row; columns that can be done without are left out, and named at the end; long names are folded. Pure: knows no
terminal, prints nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from cli.plain import printable

GAP = 2
INDENT = 4
READABLE = 40
"""The narrowest that free text may become beside the other columns."""
FOLDED = 12
"""The narrowest that a long name may become."""
BLANK = "–"

Piece = tuple[str, str]
"""A text and its style."""
Line = list[Piece]
Measure = Callable[[str], int]

STYLES = {
    "up": "green",
    "down": "bold red",
    "delayed": "yellow",
    "unknown": "dim",
    "active": "bold cyan",
    "draining": "cyan",
    "P1": "bold red",
    "P2": "yellow",
    "P3": "green",
    "running": "green",
    "live": "green",
    "drained": "yellow",
    "dead": "bold red",
    "stopped": "dim",
    "ok": "green",
    "failed": "bold red",
    "skipped": "dim",
    "warning": "yellow",
    "held": "yellow",
    "late": "bold red",
    "yes": "green",
    "no": "bold red",
}


@dataclass(frozen=True, slots=True)
class Column:
    """``right``: numbers. ``state``: coloured by its first word. ``free``: text of any length, last of all columns;
    ``lines``: newlines in it are meant. ``spare``: can be done without; the highest is left out first."""

    name: str
    right: bool = False
    state: bool = False
    free: bool = False
    lines: bool = False
    spare: int = 0


def count(name: str, *, spare: int = 0) -> Column:
    return Column(name, right=True, spare=spare)


def word(name: str, *, spare: int = 0) -> Column:
    return Column(name, state=True, spare=spare)


def prose(name: str, *, lines: bool = False) -> Column:
    return Column(name, free=True, lines=lines)


def lay_out(
    columns: Sequence[Column | str],
    rows: Iterable[Sequence[Any]],
    width: int | None = None,
    *,
    header: bool = True,
    measure: Measure = len,
) -> list[Line]:
    """The lines of a table; ``measure``: how many columns of the terminal a text takes."""
    table = _Table([Column(one) if isinstance(one, str) else one for one in columns], rows, header, measure)
    if width is not None:
        table.fit(width)
    return table.lines(width)


class _Table:
    def __init__(self, columns: list[Column], rows: Iterable[Sequence[Any]], header: bool, measure: Measure) -> None:
        self.columns = columns
        self.cells = [[_text(value, column) for value, column in zip(row, columns, strict=True)] for row in rows]
        self.header = header
        self.measure = measure
        self.shown = list(range(len(columns)))
        self.below: list[int] = []
        self.missing: list[str] = []
        self.widths = [
            max([len(column.name) if header else 0, *(measure(line) for row in self.cells for line in row[place])])
            for place, column in enumerate(columns)
        ]

    def fit(self, width: int) -> None:
        """Make do with ``width``."""
        if self.header and self._needs() > width:
            said = [place for place in self.shown if any(row[place] not in ([BLANK], ["0"]) for row in self.cells)]
            self.shown = sorted({0, *said})
        free = [place for place in self.shown if self.columns[place].free]
        if self.header and self._needs() > width:
            self.below = free
            self.shown = [place for place in self.shown if place not in free]
        for place in sorted(self.shown, key=lambda place: self.columns[place].spare, reverse=True):
            if self._needs() > width and self.columns[place].spare:
                self.shown.remove(place)
                self.missing.append(self.columns[place].name)
        names = [place for place in self.shown if not self.columns[place].right and place not in free]
        while self._needs() > width and any(self.widths[place] > FOLDED for place in names):
            self.widths[max(names, key=lambda place: self.widths[place])] -= 1
        if free and not self.below:
            others = sum(self.widths[place] + GAP for place in self.shown if place not in free)
            self.widths[free[0]] = min(self.widths[free[0]], max(FOLDED, width - others))

    def lines(self, width: int | None) -> list[Line]:
        head = [[column.name] for column in self.columns]
        found = self._row(head, lambda *_: "bold") if self.header else []
        for row in self.cells:
            found += self._row(row, self._style)
            for place in self.below:
                if row[place] != [BLANK]:
                    room = None if width is None else width - INDENT
                    for text in _wrap(row[place], room, self.measure):
                        found.append([(" " * INDENT + text, "dim")])
        if self.missing:
            found.append([(f"(no room for {', '.join(self.missing)}: --json has everything)", "dim")])
        return found

    def _needs(self) -> int:
        wide = (
            min(self.widths[place], READABLE) if self.columns[place].free else self.widths[place]
            for place in self.shown
        )
        return sum(wide) + GAP * (len(self.shown) - 1)

    def _row(self, row: list[list[str]], style: Callable[[Column, str], str]) -> list[Line]:
        """One row, in as many lines as its longest cell needs."""
        cells = [_wrap(row[place], self.widths[place], self.measure) for place in self.shown]
        found = []
        for number in range(max(map(len, cells))):
            line: Line = []
            space = ""
            for place, cell in zip(self.shown, cells, strict=True):
                text = cell[number] if number < len(cell) else ""
                pad = " " * (self.widths[place] - self.measure(text))
                if self.columns[place].right:
                    space, pad = space + pad, ""
                if text:
                    line += [(space, ""), (text, style(self.columns[place], row[place][0]))]
                    space = pad + " " * GAP
                else:
                    space += pad + " " * GAP
            found.append([piece for piece in line if piece[0]])
        return found

    def _style(self, column: Column, text: str) -> str:
        if text == BLANK:
            return "dim"
        return STYLES.get(text.split(" ")[0], "") if column.state else ""


def _text(value: Any, column: Column) -> list[str]:
    """A cell as lines of printable text."""
    if value is None or value == "":
        return [BLANK]
    if isinstance(value, bool):
        return ["yes" if value else "no"]
    text = str(value)
    return [printable(line) for line in (text.splitlines() if column.lines else [text])]


def _wrap(lines: list[str], width: int | None, measure: Measure) -> list[str]:
    """Break what is wider than ``width``, between words where there are any."""
    if width is None:
        return lines
    found = []
    for text in lines:
        line = ""
        for word in text.split(" ") if measure(text) > width else [text]:
            longer = f"{line} {word}" if line else word
            if measure(longer) <= width:
                line = longer
                continue
            if line:
                found.append(line)
            while measure(word) > width:
                cut = next(end for end in range(len(word), 0, -1) if end == 1 or measure(word[:end]) <= width)
                found.append(word[:cut])
                word = word[cut:]
            line = word
        found.append(line)
    return found
