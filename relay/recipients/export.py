"""Reads the lists of recipients that people have: one address a line, or the CSV that a directory's tools export.

    # staff                             PrimarySmtpAddress,EmailAddresses
    ann@gold.example                    ann@gold.example,SMTP:ann@gold.example smtp:a.smith@gold.example X500:/o=…
    sales -> ann@gold.example           bob@gold.example,SMTP:bob@gold.example
    *@gold.example

A line that can't be meant is refused with its number, and then nothing of the file is used: a list that lacks
somebody refuses that somebody's mail. UTF-8, or UTF-16 with a byte order mark, as Windows writes it. Pure.
"""

from __future__ import annotations

import codecs
import csv
import re
from collections.abc import Iterator
from dataclasses import dataclass

from relay.errors import Refused
from relay.mail import domain_of
from relay.recipients.entry import Entry, shown

LOGIN = "userprincipalname"
"""May be an address or not: it serves only where nothing else does."""
# Names of columns as directories and their tools write them, the best first.
ADDRESSES = (
    "address",
    "primarysmtpaddress",
    "mail",
    "email",
    "emailaddress",
    "mailaddress",
    "windowsemailaddress",
    "recipient",
    "smtpaddress",
    LOGIN,
)
ALIASES = ("aliases", "emailaddresses", "proxyaddresses", "othermailbox", "mailalternateaddress", "alternateaddresses")
TARGETS = ("target", "aliasof", "goto", "destination", "forwardto", "forwardingsmtpaddress")
SOURCES = ("alias",)
"""Stands for an address only beside a target: in Exchange's exports it is a nickname."""

_ARROW = re.compile(r"\s*(?:->|=>|→)\s*")
_COMMENT = re.compile(r"(?:^|\s)#.*")
_DELIMITED = re.compile(r'^[^"#]*[,;\t]|^"[^"]*"\s*[,;\t]')
"""A delimiter that isn't in quotes: no address has one."""
_NEWLINE = re.compile(r"\r\n|\r|\n")
_PREFIXED = re.compile(r"([A-Za-z][A-Za-z0-9.-]*):(.*)")
_MARKS = ((codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be"))


@dataclass(frozen=True, slots=True)
class Export:
    """What a file says: its entries in order; ``others``: addresses of other domains that were left out."""

    entries: tuple[Entry, ...]
    others: int


def read(domain: str, content: bytes, *, skip_others: bool = False) -> Export:
    """The recipients of ``domain`` in a file. Raises Refused with the number of the first line that is wrong."""
    lines = _NEWLINE.split(_decode(content))
    entries: list[Entry] = []
    others = 0
    for number, address, target in _table(lines) or _plain(lines):
        if skip_others and _elsewhere(address, domain):
            others += 1
            continue
        try:
            entries.append(Entry.parse(domain, address, target))
        except Refused as error:
            hint = "; --skip-others leaves such out" if _elsewhere(address, domain) else ""
            raise Refused(f"line {number}: {error}{hint}") from None
    return Export(tuple(entries), others)


Said = tuple[int, str, str | None]
"""(line, address, what it is an alias of)"""


def _elsewhere(address: str, domain: str) -> bool:
    _, at, other = address.rpartition("@")
    return bool(at) and other.lower() != domain and domain_of(address) != domain


def _decode(content: bytes) -> str:
    encoding = "utf-8"
    for mark, name in _MARKS:
        if content.startswith(mark):
            content, encoding = content[len(mark) :], name
            break
    try:
        return content.decode(encoding)
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise Refused(f"line {line}: the list should be text in UTF-8: {error.reason}") from None


def _plain(lines: list[str]) -> Iterator[Said]:
    for number, line in enumerate(lines, 1):
        said = _COMMENT.sub("", line).strip()
        if said:
            address, *target = _ARROW.split(said, maxsplit=1)
            yield number, address, target[0] if target else None


def _table(lines: list[str]) -> Iterator[Said] | None:
    """What a CSV file says; None where it is none. Raises Refused where nobody can know which column is meant."""
    first = next((place for place, line in enumerate(lines) if line.strip() and not line.startswith("#")), None)
    if first is None:
        return None
    for delimiter in ",;\t":
        names = [_name(name) for name in _fields(lines[first], delimiter)]
        columns = _columns(names)
        if columns is not None and (len(names) > 1 or _addresses_follow(lines, first)):
            return _rows(lines, first, delimiter, len(names), columns)
    if _DELIMITED.search(lines[first]):
        wanted = "address, mail, email, PrimarySmtpAddress or userPrincipalName"
        raise Refused(f"line {first + 1}: this looks like CSV, whose first line should name a column {wanted}")
    return None


def _addresses_follow(lines: list[str], first: int) -> bool:
    """Whether a first line that could be the name of a column is one, and no mailbox of that name."""
    rest = [line for line in lines[first + 1 :] if line.strip() and not line.startswith("#")]
    return bool(rest) and all("@" in line for line in rest)


@dataclass(frozen=True, slots=True)
class _Columns:
    """Places of the address, of its target, and of lists of further addresses."""

    address: int | None
    target: int | None
    aliases: tuple[int, ...]


def _columns(names: list[str]) -> _Columns | None:
    target = next((names.index(name) for name in TARGETS if name in names), None)
    known = (*ADDRESSES, *SOURCES) if target is not None else ADDRESSES
    address = next((names.index(name) for name in known if name in names), None)
    aliases = tuple(names.index(name) for name in ALIASES if name in names)
    if aliases and address is not None and names[address] == LOGIN:
        address = None
    if address is None and not aliases:
        return None
    return _Columns(address, target, aliases)


def _rows(lines: list[str], first: int, delimiter: str, width: int, columns: _Columns) -> Iterator[Said]:
    text = ("" if line.startswith("#") else line for line in lines[first + 1 :])
    reader = csv.reader(text, delimiter=delimiter, strict=True)
    begins = 0
    while True:
        number = first + 2 + begins  # of the row's first line: quoted fields may have several
        try:
            row = next(reader, None)
        except csv.Error as error:
            raise Refused(f"line {number}: it is no CSV: {error}") from None
        if row is None:
            return
        begins = reader.line_num
        if len(row) > width:
            raise Refused(f"line {number}: it has more fields than the first line")
        row += [""] * (width - len(row))
        try:
            said = list(_said(row, columns))
        except Refused as error:
            raise Refused(f"line {number}: {error}") from None
        yield from ((number, *one) for one in said)


def _said(row: list[str], columns: _Columns) -> Iterator[tuple[str, str | None]]:
    """The addresses of one row; one without any (a directory has accounts without a mailbox) is nobody."""
    address = _smtp(row[columns.address]) if columns.address is not None else ""
    aliases = [value for place in columns.aliases for value in _values(row[place])]
    for alias, _ in aliases:
        if "@" not in alias:  # a tool that can't write a list writes the name of its type
            raise Refused(f"{shown(alias)} should be addresses, apart by ; or spaces")
    if not address and aliases:  # the prefix in capitals marks the first among them
        address = next((value for value, main in aliases if main), aliases[0][0])
    if address:
        yield address, _smtp(row[columns.target]) or None if columns.target is not None else None
    for alias, _ in aliases:
        if alias.lower() != address.lower():
            yield alias, address


def _values(cell: str) -> Iterator[tuple[str, bool]]:
    """(address, whether it is the main one) of a cell with several, apart by ; or spaces; X500:, sip: … are none."""
    for chunk in cell.strip().strip("{}").split(";"):
        foreign = False
        for word in chunk.replace(",", " ").split():
            prefixed = _PREFIXED.fullmatch(word)
            if prefixed:
                foreign = prefixed[1].lower() != "smtp"
                if not foreign and prefixed[2]:
                    yield prefixed[2], prefixed[1] == "SMTP"
            elif not foreign:  # a distinguished name goes on behind its spaces
                yield word, False


def _smtp(cell: str) -> str:
    prefixed = _PREFIXED.fullmatch(cell.strip())
    if prefixed is None:
        return cell.strip()
    return prefixed[2].strip() if prefixed[1].lower() == "smtp" else ""


def _fields(line: str, delimiter: str) -> list[str]:
    try:
        return next(csv.reader([line], delimiter=delimiter))
    except csv.Error:
        return [line]


def _name(column: str) -> str:
    return re.sub(r"[\s_-]", "", column).lower()
