"""Commands out of octets: what is one, and what never becomes one."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from relay.edge.lines import COMMAND_LIMIT, Lines
from relay.errors import Rejected

OCTETS = st.lists(st.sampled_from([b"\r\n", b"\n", b"\r", b"\0", b"NOOP", b"x" * 3000])).map(b"".join)


def read(wire: bytes, cuts: list[int]) -> list[bytes | None]:
    """The commands, None for each refused line, read in segments that end at ``cuts``."""
    lines = Lines()
    found: list[bytes | None] = []
    places = sorted({min(cut, len(wire)) for cut in cuts})
    for begin, end in zip([0, *places], [*places, len(wire)], strict=True):
        lines.feed(wire[begin:end])
        while True:
            try:
                command = lines.command()
            except Rejected:
                found.append(None)
                continue
            if command is None:
                break
            found.append(command)
    return found


@given(OCTETS, st.lists(st.integers(0, 5000)))
def test_each_line_is_a_command_or_refused_once(octets: bytes, cuts: list[int]) -> None:
    """However the octets come, a line that ends with CRLF counts once, and only a clean one is a command."""
    wire = octets + b"\r\n"
    expected = [
        None if len(line) > COMMAND_LIMIT or any(odd in line for odd in b"\r\n\0") else line
        for line in wire.split(b"\r\n")[:-1]
    ]
    assert read(wire, cuts) == expected


def test_a_line_that_can_be_no_command_is_refused_at_once() -> None:
    """Before its CRLF has come, for it may never come; and the rest is dropped, whatever its length."""
    assert read(b"EHLO there\n", []) == [None]
    assert read(b"x" * (COMMAND_LIMIT + 1), []) == [None]
    assert read(b"EHLO there\n" + b"y" * 100_000 + b"\r\nNOOP\r\n", [11, 50_000]) == [None, b"NOOP"]
