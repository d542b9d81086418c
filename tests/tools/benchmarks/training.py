"""What a step costs: Descent against loops written by hand and against other trainers, on the same work."""

import os
import pickle
import statistics
import sys
import time
import traceback
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch
from torch import nn

from descent.common.errors import DataMissingError
from descent.loop import checkpoint
from descent.run.folder import RunFolder
from descent.run.results import result_of
from engine.launch import start
from engine.launch.options import Options
from tests.tools.benchmarks import loops, peers
from tests.tools.benchmarks.harness import Figure, Result, interleave, ratio, spread, watched
from tests.tools.benchmarks.work import WORKLOADS, Work, data_root, prepare

ROUNDS = 7
BARE, DESCENT = "bare loop", "Descent"
BARS = {"linear-regression": 1.2, "digits-mlp": 1.12, "mnist-mlp": 1.05, "mnist-cnn": 1.05}  # of bare
LEAST = {"Lightning": 1.9, "Ignite": 1.25}  # of Descent's, on mnist-mlp
STATISTICS_OFF = ["train.statistics_every=1000000000"]

Weights = dict[str, torch.Tensor]


def steps(folder: Path) -> Result:
    """Microseconds a step by trainer and workload, one thread; all that Descent records is on but where said."""
    torch.set_num_threads(1)
    figures, raw, facts = [], {}, {}
    for name in WORKLOADS:
        try:
            work = prepare(name, data_root())
        except DataMissingError as error:
            figures.append(Figure(f"{name}: not measured", str(error).splitlines()[0]))
            continue
        times, differences = _measured(work, folder)
        figures += _figures(name, work.steps, times)
        raw |= {f"{name}, {arm}": seconds for arm, seconds in times.items()}
        facts[name] = {"steps": work.steps, "weights_differ_from_bare_by": differences}
    return Result(figures, raw, facts)


def _measured(work: Work, folder: Path) -> tuple[dict[str, list[float]], dict[str, float]]:
    """Seconds by arm; and by arm how far, at most, its weights ended from those of the bare loop."""
    by_hand = {BARE: loops.bare, "bare loop, tuned": loops.tuned, "DataLoader loop": loops.with_loader}
    with peers.silent():
        others = peers.installed()
    ended: dict[str, Weights] = {}

    def arm(name: str, train: Callable[[], tuple[float, Weights]]) -> float:
        seconds, ended[name] = forked(train)
        return seconds

    arms: dict[str, Callable[[], tuple[float, Weights]]] = {
        **{name: partial(_timed, loop, work) for name, loop in (by_hand | others).items()},
        DESCENT: partial(_descent, work, folder / "runs"),
        f"{DESCENT}, statistics off": partial(_descent, work, folder / "runs", STATISTICS_OFF),
    }
    loops.bare(work.short())  # torch loads parts of itself at a first update
    times = interleave({name: partial(arm, name, train) for name, train in arms.items()}, ROUNDS)
    return times, {name: _distance(weights, ended[BARE]) for name, weights in ended.items()}


def _figures(name: str, count: int, times: dict[str, list[float]]) -> list[Figure]:
    bare = statistics.median(times[BARE])
    lines = [Figure(f"{name}: {BARE}", f"{bare / count * 1e6:,.0f} µs a step")]
    for arm in times.keys() - {BARE}:
        found, (low, high) = ratio(times, arm, BARE), spread(times, arm, BARE)
        value = f"{found:.2f} ({low:.2f} to {high:.2f})"
        if arm == DESCENT:
            lines.append(Figure(f"{name}: {arm} / {BARE}", value, f"≤ {BARS[name]:g}", found <= BARS[name]))
        else:
            lines.append(Figure(f"{name}: {arm} / {BARE}", value))
    lines[1:] = sorted(lines[1:], key=lambda figure: figure.value)
    for peer, least in LEAST.items():
        if name == "mnist-mlp" and peer in times:
            found = ratio(times, peer, DESCENT)
            lines.append(Figure(f"{name}: {peer} / {DESCENT}", f"{found:.2f}", f"≥ {least:g}", found >= least))
    return lines


def _timed(loop: Callable[[Work], nn.Module], work: Work) -> tuple[float, Weights]:
    torch.set_num_threads(1)
    with peers.silent():
        loop(work.short())
        begin = time.perf_counter()
        model = loop(work)
        seconds = time.perf_counter() - begin
    return seconds, model.state_dict()


def _descent(work: Work, runs: Path, overrides: list[str] | None = None) -> tuple[float, Weights]:
    """The whole worker; the run's own clock leaves out evaluations and checkpoints, which the others don't make."""
    run_id = f"run-{os.getpid()}"
    settings = [*work.overrides, *(overrides or [])]
    code = start.run(work.preset.name, settings, Options(run_id, runs, data_root=data_root(), quiet=True))
    assert code == 0, f"{work.preset.name}: exit code {code}"
    folder = RunFolder(runs / run_id)
    state, _ = checkpoint.latest(folder)
    assert state is not None
    return float(result_of(folder).seconds), state["model"]


def _distance(one: Weights, other: Weights) -> float:
    return max(
        float((a - b).abs().max()) for a, b in zip(one.values(), other.values(), strict=True) if a.is_floating_point()
    )


def forked(train: Callable[[], tuple[float, Weights]]) -> tuple[float, Weights]:
    """Train in a child, so that no arm leaves anything behind; torch and the trainers are loaded already."""
    sys.stdout.flush()
    ours, theirs = os.pipe()
    pid = os.fork()
    if pid == 0:
        code = 99
        try:
            seconds, weights = train()
            with os.fdopen(theirs, "wb") as pipe:
                pickle.dump((seconds, {key: tensor.detach().numpy() for key, tensor in weights.items()}), pipe)
            code = 0
        except BaseException:
            traceback.print_exc()
        os._exit(code)
    os.close(theirs)
    with watched(pid), os.fdopen(ours, "rb") as pipe:
        content = pipe.read()
        code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    if code:
        raise RuntimeError(f"an arm ended with exit code {code}")
    seconds, arrays = pickle.loads(content)
    return seconds, {key: torch.from_numpy(array) for key, array in arrays.items()}
