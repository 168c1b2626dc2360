"""Fuzzing with atheris: ``python -m tests.fuzz [--seconds N] [TARGET …]``, or ``make fuzz``.

Each target has its share of the time, in a process of its own. Says for each how many inputs were tried and how much of
the code they reach; an input that fails is shown as the line to add to seeds/TARGET.txt once it is mended, and the
exit status is 1. What was learnt stays in .fuzz/ beside the sources, for the next time.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
from pathlib import Path

from tests.fuzz.seeds import as_seed, seeds
from tests.fuzz.targets import PURE

TARGETS = (*PURE, "session")
WEIGHTS = {"session": len(PURE)}
"""A whole session has as much time as all else together."""
LEARNT = Path(".fuzz")
WORDS = Path(__file__).with_name("words.dict")
LONGEST = 2048
"""Octets of an input."""
STUCK = 30
"""Seconds after which an input hangs."""

_DONE = re.compile(r"^Done (\d+) (?:runs )?in (\d+) second", re.MULTILINE)
_COVERAGE = re.compile(r"cov: (\d+) ft: (\d+) corp: (\d+)")


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tests.fuzz", description="Fuzz the edge, the dialogue and reports."
    )
    parser.add_argument("--seconds", type=int, default=120, help="for all targets together (120)")
    parser.add_argument("targets", nargs="*", metavar="TARGET", help=f"some of {', '.join(TARGETS)}")
    asked = parser.parse_args()
    if unknown := set(asked.targets) - set(TARGETS):
        parser.error(f"no such target: {', '.join(sorted(unknown))}")
    targets = asked.targets or TARGETS
    total = sum(WEIGHTS.get(target, 1) for target in targets)
    failed = [target for target in targets if not fuzz(target, max(1, asked.seconds * WEIGHTS.get(target, 1) // total))]
    return 1 if failed else 0


def fuzz(target: str, seconds: int) -> bool:
    """Whether nothing was found."""
    corpus, finds = LEARNT / target, LEARNT / f"{target}-found"
    for folder in (corpus, finds):
        folder.mkdir(parents=True, exist_ok=True)
    for number, octets in enumerate(seeds(target)):
        (corpus / f"seed-{number}").write_bytes(octets)
    before = set(finds.iterdir())
    argv = [sys.executable, "-m", "tests.fuzz.run", target, str(corpus), f"-max_total_time={seconds}"]
    argv += [f"-max_len={LONGEST}", f"-timeout={STUCK}", "-rss_limit_mb=2048"]
    argv += [f"-artifact_prefix={finds}{os.sep}", f"-dict={WORDS}"]
    done = subprocess.run(argv, capture_output=True, text=True, errors="replace", check=False)
    found = sorted(set(finds.iterdir()) - before)
    runs, reached = _DONE.search(done.stderr), _COVERAGE.findall(done.stderr)
    said = f"{runs[1]} inputs in {runs[2]} s" if runs else "ended early"
    if reached:
        said += ", {} branches, {} features, {} inputs kept".format(*reached[-1])
    print(f"{target}: {said}", flush=True)
    if done.returncode or found:
        print(done.stdout[-2000:], done.stderr[-6000:], sep="\n")
        for path in found:
            print(f"seeds/{target}.txt: {as_seed(path.read_bytes())}")
    return not done.returncode and not found


if __name__ == "__main__":
    sys.exit(main())
