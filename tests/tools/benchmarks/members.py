"""What it costs to train ten models together, against one: the whole worker, as `descent run` has it."""

import os
import sys
import traceback
from pathlib import Path

from descent.run.folder import RunFolder
from descent.run.results import result_of
from engine.launch import start
from engine.launch.options import Options
from tests.tools.benchmarks.harness import Figure, Result, interleave, ratio, spread, watched

REPEATS = 10
ROUNDS = 9
BAR = 3.0
PRESETS = {
    "linear-regression": ["train.epochs=2000"],
    "digits-mlp": ["train.epochs=20"],
}


def repeats(folder: Path) -> Result:
    """Seconds of training, as the run's own clock has them, in one thread; both with everything on."""
    import torch  # noqa: F401 - loaded once, not in each child

    figures, raw = [], {}
    for preset, settings in PRESETS.items():
        arms = {
            f"{preset}, {count}": lambda preset=preset, settings=settings, count=count: seconds(
                folder, preset, [*settings, f"members.repeats={count}"]
            )
            for count in (1, REPEATS)
        }
        times = interleave(arms, ROUNDS)
        one, ten = arms
        found = ratio(times, ten, one)
        low, high = spread(times, ten, one)
        value = f"{found:.2f} ({low:.2f} to {high:.2f})"
        figures.append(Figure(f"{REPEATS} repeats together / one run, {preset}", value, f"≤ {BAR:g}", found <= BAR))
        raw |= times
    return Result(figures, raw)


def seconds(folder: Path, preset: str, settings: list[str]) -> float:
    """Train in a forked process; its seconds of training."""
    runs = folder / "runs"
    number = len(list(runs.glob("*"))) if runs.exists() else 0
    sys.stdout.flush()
    pid = os.fork()
    if pid == 0:
        code = 99
        try:
            on_cpu = ["train.device=cpu", "train.threads=1", *settings]
            code = start.run(preset, on_cpu, Options(f"run-{number}", runs, quiet=True))
        except BaseException:
            traceback.print_exc()
        os._exit(code)
    with watched(pid):
        code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    assert code == 0, f"{preset}: exit code {code}"
    return float(result_of(RunFolder(runs / f"run-{number}")).seconds)
