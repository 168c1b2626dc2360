"""What every scenario ends in: what was accepted is somewhere, once and unchanged, and all that counts agrees.

Seen from outside: by what the primary has, what ``relayctl queue export`` gives, the ledger and ``relayctl db check``.
"""

from __future__ import annotations

import smtplib
from collections import Counter
from collections.abc import Awaitable, Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

from tests.lab.letters import letter
from tests.support.desk import PATIENCE
from tests.support.node import HOSTNAME
from tests.support.primary import ScriptedPrimary

FATES = ("delivered", "bounced", "expired", "dropped", "queued", "held")
WORLD = "mail.world.example"
SENDER = "sender@world.example"

Ask = Callable[..., Awaitable[Any]]
"""``relayctl --json`` with these arguments."""


@dataclass(frozen=True)
class Copy:
    """One recipient's copy of a letter, as it was sent."""

    recipient: str
    content: bytes


def send(
    address: tuple[str, int],
    letters: Iterable[tuple[int, Sequence[str]]],
    sent: list[Copy],
    perhaps: list[Copy],
    sender: str = SENDER,
) -> None:
    """Send letters, each (number, recipients), over one connection as a mail server would.

    What got 250 is in ``sent`` then. Where the relay goes away, so does this: with the letter whose answer never came
    in ``perhaps``.
    """
    copies: list[Copy] = []
    try:
        with smtplib.SMTP(*address, local_hostname=WORLD, timeout=PATIENCE) as client:
            for number, recipients in letters:
                content = letter(number)
                copies = [Copy(recipient, content) for recipient in recipients]
                refused = client.sendmail(sender, list(recipients), content)
                assert not refused, refused
                sent += copies
                copies = []
    except (smtplib.SMTPServerDisconnected, ConnectionError):
        perhaps += copies


def at_home(primary: ScriptedPrimary) -> Counter[Copy]:
    """What the primary has taken, without our Received line."""
    return Counter(
        Copy(recipient, below_received(taken.content)) for taken in primary.messages for recipient in taken.recipients
    )


async def balance(
    ask: Ask,
    folder: Path,
    primary: ScriptedPrimary,
    sent: Sequence[Copy],
    *,
    perhaps: Sequence[Copy] = (),
    twice: Collection[Copy] = (),
) -> dict[str, dict[str, Any]]:
    """``perhaps``: may have been accepted; ``twice``: may have arrived more than once. Returns the ledger by domain."""
    assert await ask("db", "check") == {"ok": True, "faults": []}
    ledger = {row["domain"]: row for row in await ask("ledger")}
    for row in ledger.values():
        assert row["accepted"] == sum(row[fate] for fate in FATES), row
    total = {fate: sum(row[fate] for row in ledger.values()) for fate in ("accepted", *FATES)}

    home, here = at_home(primary), await _here(ask, folder)
    known = set(sent) | ((home.keys() | here.keys()) & set(perhaps))
    assert total["accepted"] == len(known), f"{total} of {len(sent)} sent and {len(perhaps)} more perhaps"
    assert home.keys() | here.keys() <= known, "something arrived that nobody sent"
    double = {copy for copy, count in (home + here).items() if count > 1} - set(twice)
    assert not double, f"more than once: {sorted(copy.recipient for copy in double)}"
    gone = known - home.keys() - here.keys()
    assert len(gone) == total["bounced"] + total["expired"] + total["dropped"], f"{len(gone)} of {len(known)} are lost"
    assert sum(here.values()) == total["queued"] + total["held"]
    assert primary.violations == []
    return ledger


async def _here(ask: Ask, folder: Path) -> Counter[Copy]:
    """What still waits at the relay, without our Received line."""
    rows = await ask("queue", "list", "--limit", "100000")
    if not rows:
        return Counter()
    to = Path(mkdtemp(prefix="waiting-", dir=folder))
    for domain in {row["domain"] for row in rows}:
        await ask("queue", "export", "--domain", domain, "--to", str(to))
    exported = {int(path.stem.rpartition("-")[2]): path for path in to.glob("*.eml")}
    if any(row["id"] not in exported for row in rows):
        return await _here(ask, folder)  # it has left meanwhile
    return Counter(
        Copy(recipient, below_received(exported[row["id"]].read_bytes()))
        for row in rows
        for recipient in row["recipients"]
    )


def below_received(content: bytes) -> bytes:
    """``content`` without the header field on top, which must be our Received line."""
    assert content.startswith(f"Received: from {WORLD} ".encode()), content[:200]
    end = content.index(b"\r\n") + 2
    while content[end : end + 1] in (b" ", b"\t"):
        end = content.index(b"\r\n", end) + 2
    assert f"by {HOSTNAME}".encode() in content[:end]
    return content[end:]
