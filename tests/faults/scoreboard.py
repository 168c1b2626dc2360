"""The table of what the relay survives, and its place in README.

A run replaces the rows that it has made and leaves the others: between the two markers stands what the last run of
each fault on each engine came to. Nothing is added by hand.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from tests.faults.result import Fault, Result

README = Path(__file__).parents[2] / "README.md"
BEGIN, END = "<!-- made by make faults -->", "<!-- end of what make faults makes -->"
HEAD = ("fault", "on", "times", "answered 250", "lost", "doubled (in flight)", "other replies", "recovery", "")

Row = tuple[str, ...]


def row(fault: Fault, engine: str, result: Result) -> Row:
    """One line of the table."""
    recovery = result.note or "–"
    if result.recoveries:
        limit = f", of {fault.within:.0f} s" if fault.within else ""
        recovery = f"{fault.recovery} in {result.median:.1f} s, at the most {result.slowest:.1f} s{limit}"
    strange = ", ".join(f"{count} × {what}" for what, count in result.strange.items()) or "0"
    return (
        fault.title,
        engine,
        str(result.runs),
        f"{result.accepted:,}",
        str(result.lost),
        f"{result.doubled} ({result.in_flight})",
        strange,
        recovery,
        result.verdict(fault),
    )


def table(rows: Iterable[Row]) -> str:
    """As Markdown."""
    lines = [HEAD, ("---",) * len(HEAD), *rows]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in lines)


def merged(text: str, rows: Sequence[Row], order: Sequence[str]) -> str:
    """``text`` with these rows in its table, each in place of the one about the same fault and engine; ``order``: the
    titles of all faults, as they are to stand. Raises ValueError where the markers aren't there."""
    before, _, rest = text.partition(BEGIN)
    old, found, after = rest.partition(END)
    if not found:
        raise ValueError(f"no {BEGIN} … {END}")
    kept = {cells[:2]: cells for cells in _rows(old)} | {cells[:2]: cells for cells in rows}
    known = [cells for cells in kept.values() if cells[0] in order]
    known.sort(key=lambda cells: (order.index(cells[0]), cells[1]))
    return f"{before}{BEGIN}\n\n{table(known)}\n{END}{after}"


def _rows(text: str) -> list[Row]:
    lines = [line.strip() for line in text.splitlines() if line.startswith("| ")]
    return [tuple(cell.strip() for cell in line[1:-1].split("|")) for line in lines][2:]
