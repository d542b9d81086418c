"""The figures that Descent promises, measured.

    python -m tests.benchmarks                   all of them
    python -m tests.benchmarks control --out here.json

Prints one table; the file beside it holds every single time. Ratios are those of medians of interleaved arms.
"""

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from tests.benchmarks import compiled, control, members, memory, rows, screen, start, threads, training
from tests.benchmarks.harness import Result, table
from tests.benchmarks.machine import described, machine

BENCHMARKS: dict[str, Callable[[Path], Result]] = {
    "compiled": compiled.compiled,
    "control": control.acknowledged,
    "control-idle": control.idle,
    "control-load": control.load,
    "members": members.repeats,
    "memory": memory.memory,
    "memory-hour": memory.hour,
    "metrics": rows.metrics,
    "screen": screen.screen,
    "screen-long": screen.long,
    "start": start.start,
    "steps": training.steps,
    "threads": threads.threads,
}
ASKED_FOR = {"memory-hour"}  # by name alone: nobody waits so long by chance
SIGNS = {True: "holds", False: "MISSED", None: "?"}


def main() -> int:
    """1 where a bar was missed."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description="Measure what Descent promises.")
    parser.add_argument(
        "names",
        nargs="*",
        metavar="NAME",
        help=f"any of {', '.join(BENCHMARKS)}; else all but {', '.join(ASKED_FOR)}",
    )
    parser.add_argument("--out", type=Path, default=Path("build/benchmarks.json"), help="where all times go")
    given = parser.parse_args()
    unknown = [name for name in given.names if name not in BENCHMARKS]
    if unknown:
        parser.error(f"no such benchmark: {', '.join(unknown)}; there are: {', '.join(BENCHMARKS)}")
    if given.out.is_dir():
        parser.error(f"--out {given.out}: is a folder; name a file")
    facts = machine()
    results = {name: _run(name) for name in given.names or sorted(BENCHMARKS.keys() - ASKED_FOR)}
    given.out.parent.mkdir(parents=True, exist_ok=True)
    given.out.write_text(json.dumps({"machine": facts, "results": results}, default=vars, indent=1) + "\n")
    rows = [("BENCHMARK", "FIGURE", "VALUE", "BAR", "")]
    rows += [
        (name if not number else "", figure.what, figure.value, figure.bar, SIGNS[figure.holds] if figure.bar else "")
        for name, result in results.items()
        for number, figure in enumerate(result.figures)
    ]
    print("\n".join(table(rows)))
    print(f"{described(facts)}\nall times: {given.out}")
    return int(any(figure.holds is False for result in results.values() for figure in result.figures))


def _run(name: str) -> Result:
    print(f"{name} …", end=" ", file=sys.stderr, flush=True)
    begin = time.perf_counter()
    with tempfile.TemporaryDirectory(prefix="benchmark-") as folder:
        os.environ["XDG_STATE_HOME"] = folder  # the starts of these runs do not belong in the user's list
        result = BENCHMARKS[name](Path(folder))
    print(f"{time.perf_counter() - begin:.0f} s", file=sys.stderr)
    return result


if __name__ == "__main__":
    sys.exit(main())
