"""python -m tests.bench.accept: how fast mail is taken while the primary is down, beside Postfix.

Twenty connections of ``smtp-source``, a message each or many; every message is answered when it is durable. In a round
both are measured, one right after the other, and whose turn is first alternates: messages a second vary with the
machine and the minute, the ratio within a round less so. Afterwards each contender's own account of its queue must
agree with what was sent.
"""

from __future__ import annotations

import base64
import random
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from tests.bench.contenders import CONTENDERS, PARENT, RECIPIENT
from tests.bench.report import Pair, options, rounds, run, table
from tests.bench.tls_source import tls_source
from tests.support.certificates import certificate
from tests.support.sink import smtp_source
from tests.support.waiting import wait_until

WARM_UP = 200


@dataclass(frozen=True)
class Case:
    """``size`` in bytes; ``mail``: content that compresses like mail, not smtp-source's filler that compresses away;
    ``tls``: by STARTTLS, from a generator of our own; both have the same ECDSA P-256 certificate, and no session is
    resumed."""

    name: str
    size: int
    reuse: bool = False
    mail: bool = False
    tls: bool = False


CASES = (
    Case("4 KiB", 4096),
    Case("50 KiB", 51200),
    Case("4 KiB, connections reused", 4096, reuse=True),
    Case("4 KiB like real mail", 4096, mail=True),
    Case("50 KiB like real mail", 51200, mail=True),
    Case("4 KiB by STARTTLS", 4096, mail=True, tls=True),
    Case("50 KiB by STARTTLS", 51200, mail=True, tls=True),
    Case("4 KiB by STARTTLS, reused", 4096, mail=True, tls=True, reuse=True),
)


def accepted_per_second(contender: str, case: Case, messages: int, folder: Path) -> float:
    """One measurement of one contender, started for it."""
    content = letter(folder, case.size) if case.mail else case.size
    source: Callable[..., float] = tls_source if case.tls else smtp_source
    send = partial(source, recipient=RECIPIENT, content=content, reuse=case.reuse)
    tls = certificate(folder, "mx.gold.example") if case.tls else None
    with CONTENDERS[contender](tls=tls) as backup:
        send(backup.port, WARM_UP)
        backup.settle(WARM_UP)
        seconds = send(backup.port, messages)
        # Postfix may show a message in two queues while it moves.
        wait_until(lambda: backup.waiting() == WARM_UP + messages, timeout=60, every=0.5)
    return messages / seconds


def letter(folder: Path, size: int) -> Path:
    """A message of about ``size`` bytes: a quarter text of few words, the rest an attachment that doesn't compress."""
    dice = random.Random(size)
    words = [f"word{number}" for number in range(200)]
    text = "".join(" ".join(dice.choices(words, k=9)) + "\n" for _ in range(size // 4 // 65))
    attachment = base64.encodebytes(dice.randbytes((size - len(text)) * 3 // 4)).decode()
    path = folder / f"letter-{size}"
    path.write_text(f"From: sender@source.example\nTo: {RECIPIENT}\nSubject: report\n\n{text}\n{attachment}")
    return path


def main(arguments: list[str] | None = None) -> None:
    """Measure and print."""
    given = options("accept", arguments, rounds=5, messages=5000, quick=500, cases=[case.name for case in CASES])
    chosen = [case for case in CASES if given.only in case.name]
    pairs = []
    with tempfile.TemporaryDirectory(prefix="relay-bench-", dir=PARENT) as folder:
        for case in chosen:
            measure = partial(accepted_per_second, case=case, messages=given.messages, folder=Path(folder))
            pairs.append(Pair(case.name, "msg/s", rounds(given.rounds, measure)))
    print(table(f"Accepting while the primary is down: {given.messages} messages, rounds: {given.rounds}", pairs))


if __name__ == "__main__":
    run(main)
