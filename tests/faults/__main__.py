"""python -m tests.faults: what the relay survives, told at full length.

Prints a line for each fault when it is over, and the table at the end; ``--readme`` puts it into README too. Exits 1
where a promise wasn't kept. Takes two hours with everything, and nothing else should run: recoveries are measured.
"""

from __future__ import annotations

import argparse
import itertools
import signal
import sys
import tempfile
import traceback
from pathlib import Path

import pytest
import uvloop

from tests.faults.engines import DISK, ENGINES
from tests.faults.result import Fault
from tests.faults.scoreboard import README, merged, row, table
from tests.faults.test_clock_set import CLOCK_SET
from tests.faults.test_cut_off import CUT_OFF
from tests.faults.test_database_crashed import DATABASE_CRASHED
from tests.faults.test_desk_dead import DESK_DEAD
from tests.faults.test_disk_full import DISK_FULL
from tests.faults.test_dns_dead import DNS_DEAD
from tests.faults.test_draining import DRAINING
from tests.faults.test_killed import KILLED
from tests.faults.test_memory import MEMORY
from tests.faults.test_power_cut import POWER_CUT
from tests.faults.test_promoted import PROMOTED
from tests.faults.test_stopped import STOPPED

FAULTS: tuple[Fault, ...] = (
    KILLED,
    DRAINING,
    POWER_CUT,
    DISK_FULL,
    DATABASE_CRASHED,
    PROMOTED,
    CUT_OFF,
    CLOCK_SET,
    DNS_DEAD,
    STOPPED,
    DESK_DEAD,
    MEMORY,
)
"""In the order in which the table has them."""


def main() -> int:
    """Run what was asked for; the exit code."""
    names = [fault.name for fault in FAULTS]
    parser = argparse.ArgumentParser(prog="python -m tests.faults")
    parser.add_argument("--only", action="append", choices=names, metavar="NAME", help=", ".join(names))
    parser.add_argument("--engine", choices=ENGINES, help="one alone")
    parser.add_argument("--runs", type=int, help="instead of each fault's own number")
    parser.add_argument("--readme", action="store_true", help="put the table into README.md")
    given = parser.parse_args()
    engines = [ENGINES[given.engine]] if given.engine else ENGINES.values()
    rows, failed = [], 0
    for fault, engine in itertools.product(FAULTS, engines):
        if fault.name not in (given.only or names) or engine.name not in fault.engines:
            continue
        try:
            with tempfile.TemporaryDirectory(prefix="relay-faults-", dir=DISK) as folder:
                result = uvloop.run(fault.story(engine, given.runs or fault.runs, Path(folder)))
        except pytest.skip.Exception as missing:
            print(f"{fault.name}, {engine.title}: not told: {missing}", flush=True)
            continue
        except Exception:
            traceback.print_exc()
            print(f"{fault.name}, {engine.title}: broken off", flush=True)
            failed += 1
            continue
        verdict = result.verdict(fault)
        failed += verdict != "held"
        if result.broken:
            print(result.log, file=sys.stderr)
        print(f"{fault.name}, {engine.title}: {verdict} ({result.seconds:.0f} s)", flush=True)
        rows.append(row(fault, engine.title, result))
        if given.readme:
            README.write_text(merged(README.read_text(), rows, [fault.title for fault in FAULTS]))
    print(table(rows))
    return 1 if failed else 0


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda number, _frame: sys.exit(128 + number))
    sys.exit(main())
