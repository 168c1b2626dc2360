"""python -m tests.bench: every bench, side by side with Postfix. Takes some minutes and nothing else should run."""

from __future__ import annotations

import sys

from tests.bench import accept, drain
from tests.bench.report import run

if __name__ == "__main__":
    run(lambda: accept.main(sys.argv[1:]), lambda: drain.main(sys.argv[1:]))
