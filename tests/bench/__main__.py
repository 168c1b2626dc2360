"""python -m tests.bench: every bench. Takes more than an hour and nothing else should run."""

from __future__ import annotations

import sys

from tests.bench import accept, backlog, churn, drain, memory, probes, scale, slowloris
from tests.bench.report import run

if __name__ == "__main__":
    quick = ["--quick"] if "--quick" in sys.argv else []
    run(
        lambda: accept.main(sys.argv[1:]),
        lambda: drain.main(sys.argv[1:]),
        lambda: scale.main(quick),
        lambda: churn.main(quick or ["--waiting", "100000"]),
        lambda: backlog.main(quick),
        lambda: probes.main(quick),
        lambda: slowloris.main(quick),
        lambda: memory.main(quick),
    )
