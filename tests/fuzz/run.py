"""One target under atheris: ``python -m tests.fuzz.run TARGET CORPUS [libFuzzer's options]``."""

from __future__ import annotations

import sys
from contextlib import ExitStack

import atheris

with atheris.instrument_imports(
    include=["relay.edge", "relay.smtp", "relay.delivery.reports", "relay.mail", "relay.errors", "spf", "dkim"]
):
    from tests.fuzz.session import Sessions
    from tests.fuzz.targets import PURE


def main(target: str, *options: str) -> None:
    with ExitStack() as stack:
        tried = stack.enter_context(Sessions()) if target == "session" else PURE[target]
        atheris.Setup([sys.argv[0], *options], tried)
        atheris.Fuzz()


if __name__ == "__main__":
    main(*sys.argv[1:])
