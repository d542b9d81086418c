"""What a preset reaches over many seeds: the figures in the header comments of the shipped presets.

    python -m tests.tools.calibrate digits-mlp --seeds 20

Each seed is a whole `descent run` on one CPU thread, in this process and in a temporary folder. The seed of the
data stays the preset's: what varies are initial weights, batches, dropout and augmentation.
"""

import argparse
import os
import platform
import statistics
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from descent.run.folder import RunFolder
from descent.run.metrics import Metrics
from descent.run.results import result_of
from engine import cli

ONE_THREAD = ("train.device=cpu", "train.threads=1")


class Result(NamedTuple):
    """What one seed came to. metrics: as `descent run --json` has them, and the training accuracy at the end."""

    metrics: dict[str, float]
    seconds: float


def train(
    preset: str | Path, overrides: Sequence[str], *, runs: Path, run_id: str, data_root: Path | None
) -> RunFolder:
    """Train a preset to its end, silently, in this process; the run's folder. RuntimeError where it does not end."""
    words = ["run", str(preset), "--quiet", "--runs-dir", str(runs), "--id", run_id]
    words += ["--data-root", str(data_root)] if data_root else []
    code = cli.main([*words, *(word for text in overrides for word in ("--set", text))])
    if code:
        raise RuntimeError(f"descent run {preset} ended with exit code {code}")
    return RunFolder(runs / run_id)


def result(run: RunFolder) -> Result:
    """Reads the run's folder; `train_accuracy` is the mean of the last epoch's rows."""
    found = result_of(run)
    metrics = dict(found.metrics)
    accuracy = Metrics(run.path).column("accuracy")[-int(run.facts()["steps_per_epoch"]) :]
    if len(accuracy):
        metrics["train_accuracy"] = float(accuracy.mean())
    return Result(metrics, float(found.seconds))


def calibrate(preset: str, seeds: int, overrides: Sequence[str], data_root: Path | None) -> list[Result]:
    """Train with the seeds 0 … seeds − 1; a line on stderr as each ends."""
    results = []
    with tempfile.TemporaryDirectory(prefix="calibrate-") as folder:
        # The starts of these runs are nobody's: they do not belong in the user's list of runs.
        os.environ["XDG_STATE_HOME"] = folder
        for seed in range(seeds):
            run = train(
                preset,
                [*ONE_THREAD, *overrides, f"train.seed={seed}"],
                runs=Path(folder, "runs"),
                run_id=f"seed-{seed}",
                data_root=data_root,
            )
            results.append(result(run))
            told = "  ".join(f"{name} {value:.4f}" for name, value in results[-1].metrics.items())
            print(f"seed {seed}: {told}  {results[-1].seconds:.2f} s", file=sys.stderr, flush=True)
    return results


def report(results: Sequence[Result]) -> list[str]:
    """A line for each metric, and one for the time."""
    lines = []
    for name in results[0].metrics:
        values = [result.metrics[name] for result in results]
        spread = statistics.stdev(values) if len(values) > 1 else 0.0
        line = f"{name} {statistics.mean(values):.4g} ± {spread:.2g} ({min(values):.4g} … {max(values):.4g})"
        if name.endswith("accuracy") and max(values) == 1:
            line += f", all right with {sum(value == 1 for value in values)} of {len(values)} seeds"
        lines.append(line)
    seconds = [result.seconds for result in results]
    lines.append(
        f"training {statistics.median(seconds):.2f} s (median; {min(seconds):.2f} … {max(seconds):.2f}); "
        f"{len(results)} seed{'s' if len(results) > 1 else ''}"
    )
    return lines


def machine() -> str:
    """CPU and torch, as a header comment names them."""
    import torch

    names = [
        line.partition(":")[2].strip()
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        if line.startswith("model name")
    ]
    return f"{names[0] if names else platform.processor()}, 1 thread, torch {torch.__version__}"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.tools.calibrate", description=__doc__.splitlines()[0])
    parser.add_argument("preset", metavar="NAME")
    parser.add_argument("--seeds", type=int, default=20, metavar="N")
    parser.add_argument("--data-root", type=Path)
    parser.add_argument("--set", action="append", default=[], dest="overrides", metavar="KEY=VALUE")
    given = parser.parse_args()
    results = calibrate(given.preset, given.seeds, given.overrides, given.data_root)
    print(f"{given.preset} {' '.join(f'--set {text}' for text in given.overrides)}".strip())
    for line in report(results):
        print(f"  {line}")
    print(f"  {machine()}")


if __name__ == "__main__":
    main()
