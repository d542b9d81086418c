"""The figures that Descent promises, measured.

    python -m tests.tools.benchmarks                   all of them
    python -m tests.tools.benchmarks control --out here.json

Prints one table; the file beside it holds every single time. Ratios are those of medians of interleaved arms.
"""

import argparse
import importlib
import json
import os
import signal
import sys
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from tests.tools.benchmarks.harness import Result, table
from tests.tools.benchmarks.machine import busy, described, machine


class Benchmark(NamedTuple):
    """module, function: takes a folder to work in and returns a Result. Imported when it is its turn."""

    module: str
    function: str
    about: str


BENCHMARKS = {
    "class": Benchmark(
        "students", "together", "thirty who watch, steer, check and hand in at once: waits, memory, what is lost"
    ),
    "compiled": Benchmark("compiled", "compiled", "a step with train.compile over one without"),
    "control": Benchmark("control", "acknowledged", "a command's way to its acknowledgement"),
    "control-idle": Benchmark("control", "idle", "a step with a command server that nobody calls over one without"),
    "control-load": Benchmark("control", "load", "1,000 commands a second from 20 clients, each answered"),
    "gpu": Benchmark("gpu", "gpu", "all of a GPU in --minutes: its tests, waits, steps as graphs and not, members"),
    "many-runs": Benchmark("many", "many", "10,000 ended runs and 200 live ones: files, and looks at them"),
    "members": Benchmark("members", "repeats", "ten repeats in one run over one"),
    "memory": Benchmark("memory", "memory", "worker and console after 1,000,000 steps"),
    "memory-hour": Benchmark("memory", "hour", "the same after an hour"),
    "metrics": Benchmark("rows", "metrics", "rows a second to the disk, and what a row costs"),
    "own-loop": Benchmark("own_loop", "own_loop", "a step of a watched script over one without, beside loggers"),
    "ranks": Benchmark("ranks", "ranks", "two processes on two cores that train one run, over one on one"),
    "screen": Benchmark(
        "screen", "screen", "what a console takes from a training and sends, a key's way, 1,000,000 steps (3 minutes)"
    ),
    "start": Benchmark(
        "start", "start", "from a command to its answer, to the first frame, to the first point, to a grade"
    ),
    "steps": Benchmark("training", "steps", "a step over one of a bare loop, beside other trainers (45 minutes)"),
    "students": Benchmark("students", "students", "the memory of a class of thirty on one machine"),
    "threads": Benchmark("threads", "threads", "four runs at once over one, and how threads are chosen"),
}
ASKED_FOR = {"memory-hour", "gpu"}  # by name alone: nobody waits so long by chance, or has a GPU
SIGNS = {True: "holds", False: "MISSED", None: "?"}
INTERRUPTED = 130


def main() -> int:
    """1 where a bar was missed, INTERRUPTED after ctrl+c; then what was finished is told all the same."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.tools.benchmarks",
        description="Measure what Descent promises; exit code 1 where a figure misses its bar.",
        epilog="\n".join(f"  {name:<13} {benchmark.about}" for name, benchmark in BENCHMARKS.items()),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"see below; else all but {', '.join(ASKED_FOR)}")
    parser.add_argument(
        "--out", default="build/benchmarks.json", metavar="FILE",
        help="where every single time goes, in place of what is there (default: %(default)s)",
    )  # fmt: skip
    parser.add_argument(
        "--minutes", type=float, default=8.0, metavar="N", help="how long `gpu` may take (default: %(default)s)"
    )
    given = parser.parse_args()
    unknown = [name for name in given.names if name not in BENCHMARKS]
    if unknown:
        parser.error(f"no such benchmark: {', '.join(unknown)}; there are: {', '.join(BENCHMARKS)}")
    out = Path(given.out)
    if not given.out or out.is_dir():
        parser.error(f"--out {given.out!r}: is {'a folder' if given.out else 'empty'}; name a file")
    facts, results = machine(), dict[str, Result]()
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        out.open("ab").close()  # what can't be written is better known before an hour than after it
    except OSError as error:
        parser.error(f"--out {given.out!r}: {error.strerror}; name a file that can be written")
    signal.signal(signal.SIGINT, partial(_interrupt, os.getpid()))
    interrupted = ""
    for name in given.names or sorted(BENCHMARKS.keys() - ASKED_FOR):
        try:
            results[name] = _run(name, **({"minutes": given.minutes} if name == "gpu" else {}))
        except KeyboardInterrupt:
            interrupted = name
            break
        _write(out, facts, results)
    if results:
        print("\n".join([*table(_rows(results)), described(facts), f"all times: {out}"]))
    elif not out.stat().st_size:
        out.unlink()
    if interrupted:
        print(f"interrupted: {interrupted} was not finished", file=sys.stderr)
        return INTERRUPTED
    return int(any(figure.holds is False for result in results.values() for figure in result.figures))


def _interrupt(pid: int, _number: int, _frame: object) -> None:
    """Once: what was begun is ended in order, however often somebody asks. What was forked from `pid` just leaves."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if os.getpid() != pid:
        os._exit(INTERRUPTED)
    raise KeyboardInterrupt


def _run(name: str, **more: float) -> Result:
    print(f"{name} …", end=" ", file=sys.stderr, flush=True)
    begin = time.perf_counter()
    benchmark = BENCHMARKS[name]
    measure = getattr(importlib.import_module(f"tests.tools.benchmarks.{benchmark.module}"), benchmark.function)
    with tempfile.TemporaryDirectory(prefix="benchmark-") as folder:
        os.environ["XDG_STATE_HOME"] = folder  # the starts of these runs do not belong in the user's list
        result: Result = measure(Path(folder), **more)
    print(f"{time.perf_counter() - begin:.0f} s", file=sys.stderr)
    return result


def _write(out: Path, facts: dict[str, Any], results: dict[str, Result]) -> None:
    now = facts | {"load_after": busy()}
    out.write_text(json.dumps({"machine": now, "results": results}, default=vars, indent=1) + "\n", encoding="utf-8")


def _rows(results: dict[str, Result]) -> list[tuple[str, ...]]:
    rows = [("BENCHMARK", "FIGURE", "VALUE", "BAR", "")]
    rows += [
        (name if not number else "", figure.what, figure.value, figure.bar, SIGNS[figure.holds] if figure.bar else "")
        for name, result in results.items()
        for number, figure in enumerate(result.figures)
    ]
    return rows


if __name__ == "__main__":
    sys.exit(main())
