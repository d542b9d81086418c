"""A run that is killed, at any moment, and resumed must end as if nothing had happened, bit for bit."""

import os
import random
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from descent.loop import checkpoint
from descent.run.folder import RunFolder
from descent.run.metrics import Metrics
from descent.run.results import result_of
from engine.launch import start
from engine.launch.options import Options
from engine.preset.schema import describe
from engine.training import worker  # noqa: F401 - imported once here, not in each child
from tests.helpers.processes import fork

SETTINGS = {
    "sgd-momentum": ["optimizer.momentum=0.9", "train.batch_size=100"],
    "adamw-dropout": [
        "optimizer.name=adamw",
        "optimizer.lr=0.003",
        "model.dropout=0.3",
        "train.batch_size=100",
    ],
    "rmsprop": ["optimizer.name=rmsprop", "optimizer.lr=0.003", "train.batch_size=100"],
    "augmentation": ["data.augment={shift=1, rotation=10.0, flip=true}", "model.batch_norm=true"],
    "plateau-early-stopping": [
        "schedule.name=plateau",
        "schedule.patience=1",
        "train.early_stopping={patience=4}",
        "train.evaluate_every.steps=5",
    ],
}
COMMON = [
    "data.size=400",
    "train.steps=60",
    "train.device=cpu",
    "train.threads=1",
    "train.statistics_every=7",
    "train.checkpoint_every.steps=9",
    "train.keep=2",
]


def _in_child(action: Callable[[], int]) -> int:
    """Run `action` in a forked process, so that a SIGKILL is a real one; its wait status."""
    return os.waitpid(fork(action), 0)[1]


def _start(runs: Path, run_id: str, name: str) -> int:
    return start.run("digits-mlp", [*COMMON, *SETTINGS[name]], Options(run_id, runs, quiet=True))


def _resume(runs: Path, run_id: str) -> int:
    return start.resume(run_id, Options(runs_dir=runs, quiet=True))


def _finish(runs: Path, run_id: str) -> None:
    assert os.waitstatus_to_exitcode(_in_child(lambda: _resume(runs, run_id))) == 0


def _assert_same(left: RunFolder, right: RunFolder) -> None:
    """Rows (time aside), final weights, optimizer and results are equal to the bit."""
    layout = Metrics(left.path).layout
    assert layout is not None
    kept = [i for i, name in enumerate(layout.columns) if name != "time"]
    rows = [Metrics(run.path).rows()[:, :, kept] for run in (left, right)]
    assert rows[0].shape == rows[1].shape
    assert rows[0].tobytes() == rows[1].tobytes()
    states = [checkpoint.latest(run)[0] for run in (left, right)]
    assert states[0] is not None
    assert states[1] is not None
    for key in ("step", "epoch", "batch", "metrics", "best", "plateau"):
        assert states[0][key] == states[1][key], key
    assert states[0]["model"].keys() == states[1]["model"].keys()
    for name, tensor in states[0]["model"].items():
        assert torch.equal(tensor, states[1]["model"][name]), name
    moments = [state["update"]["optimizer"]["state"] for state in states]
    for index, values in moments[0].items():
        for name, value in values.items():
            assert value is None or torch.equal(value, moments[1][index][name])
    assert torch.equal(states[0]["random"]["torch"], states[1]["random"]["torch"])
    evaluations = [
        [(e["step"], e["split"], e["loss"]) for e in run.events() if e["event"] == "evaluation"]
        for run in (left, right)
    ]
    assert evaluations[0] == evaluations[1]
    epochs = [
        [(e["epoch"], e["step"], e["train_loss"]) for e in run.events() if e["event"] == "epoch"]
        for run in (left, right)
    ]
    assert epochs[0] == epochs[1]
    for kind in ("spike", "stall", "collapse", "recovered"):
        told = [[e | {"time": 0} for e in run.events() if e["event"] == kind] for run in (left, right)]
        assert told[0] == told[1]
    assert states[0]["watched"] == states[1]["watched"]
    assert states[0]["edits"] == states[1]["edits"]
    assert result_of(left).metrics == result_of(right).metrics
    assert list(right.path.rglob("*.tmp")) == [], "half-written files of the killed worker"


@pytest.fixture(scope="module", params=SETTINGS)
def undisturbed(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, RunFolder]:
    """A run that nothing happened to."""
    describe.json_schema()  # once here, not in each child
    runs = tmp_path_factory.mktemp("runs")
    assert os.waitstatus_to_exitcode(_in_child(lambda: _start(runs, "whole", request.param))) == 0
    return request.param, RunFolder(runs / "whole")


def _kill_at_write(number: int, action: Callable[[], int]) -> Callable[[], int]:
    """Let SIGKILL hit in the middle of the `number`th write, sync or rename of a file."""

    def run() -> int:
        calls = 0

        def fatal(function: Callable[..., Any]) -> Callable[..., Any]:
            def wrapped(*args: Any, **kwargs: Any) -> Any:
                nonlocal calls
                calls += 1
                if calls == number:
                    if function is os_write:
                        function(args[0], args[1][: len(args[1]) // 2])  # a torn line, a torn row
                    os.kill(os.getpid(), signal.SIGKILL)
                return function(*args, **kwargs)

            return wrapped

        os_write = os.write
        os.write, os.fsync, os.replace = fatal(os.write), fatal(os.fsync), fatal(os.replace)
        return action()

    return run


@pytest.mark.slow
def test_killed_at_any_write_and_resumed_it_ends_the_same(undisturbed: tuple[str, RunFolder], tmp_path: Path) -> None:
    name, whole = undisturbed
    draw = random.Random(name)
    killed = 0
    for attempt in range(2):
        run_id = f"killed-{attempt}"
        number = draw.randint(4, 80)
        status = _in_child(_kill_at_write(number, lambda run_id=run_id: _start(tmp_path, run_id, name)))  # type: ignore[misc]
        while os.WIFSIGNALED(status):
            killed += 1
            number = draw.randint(4, 80)
            status = _in_child(_kill_at_write(number, lambda run_id=run_id: _resume(tmp_path, run_id)))  # type: ignore[misc]
        assert os.waitstatus_to_exitcode(status) == 0
        _assert_same(whole, RunFolder(tmp_path / run_id))
    assert killed >= 4


@pytest.mark.slow
def test_killed_at_a_moment_of_the_clock_s_choosing_it_ends_the_same(
    undisturbed: tuple[str, RunFolder], tmp_path: Path
) -> None:
    name, whole = undisturbed
    draw = random.Random(name)
    for attempt in range(2):
        run_id = f"killed-{attempt}"

        def start_with_alarm(run_id: str = run_id) -> int:
            signal.signal(signal.SIGALRM, lambda *_: os.kill(os.getpid(), signal.SIGKILL))
            signal.setitimer(signal.ITIMER_REAL, draw.uniform(0.005, 0.15))
            return _start(tmp_path, run_id, name)

        _in_child(start_with_alarm)
        draw.random()  # the child's draw was its own copy
        if not (tmp_path / run_id).exists():
            continue  # killed before there was a run
        _finish(tmp_path, run_id)
        _assert_same(whole, RunFolder(tmp_path / run_id))


@pytest.mark.slow
@pytest.mark.parametrize("undisturbed", ["adamw-dropout"], indirect=True)
@pytest.mark.parametrize("damage", ["truncated", "flipped bits", "empty", "not a checkpoint"])
def test_a_damaged_checkpoint_is_passed_over_and_said(
    undisturbed: tuple[str, RunFolder], tmp_path: Path, damage: str
) -> None:
    name, whole = undisturbed
    _in_child(_kill_at_write(45, lambda: _start(tmp_path, "mine", name)))
    run = RunFolder(tmp_path / "mine")
    last = run.checkpoint(run.checkpoints()[-1])
    content = bytearray(last.read_bytes())
    if damage == "truncated":
        content = content[: len(content) // 2]
    elif damage == "flipped bits":
        content[len(content) // 2] ^= 0xFF
    elif damage == "empty":
        content = bytearray()
    else:
        content = bytearray(b"PK nothing of the kind")
    last.write_bytes(content)
    _finish(tmp_path, "mine")
    warnings = [e["message"] for e in run.events() if e["event"] == "warning"]
    assert any(last.name in message for message in warnings)
    _assert_same(whole, run)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("lose", "said"),
    [(lambda file: file.write_bytes(b""), "is damaged"), (Path.unlink, "no checkpoint is left of the ")],
)
@pytest.mark.parametrize("undisturbed", ["augmentation"], indirect=True)
def test_with_every_checkpoint_lost_it_says_so_begins_again_and_ends_the_same(
    undisturbed: tuple[str, RunFolder], tmp_path: Path, lose: Callable[[Path], object], said: str
) -> None:
    name, whole = undisturbed
    _in_child(_kill_at_write(45, lambda: _start(tmp_path, "mine", name)))
    run = RunFolder(tmp_path / "mine")
    for step in run.checkpoints():
        lose(run.checkpoint(step))
    _finish(tmp_path, "mine")
    warning = run.last("warning")
    assert warning is not None
    assert said in warning["message"]
    assert warning["message"].endswith("going on from the beginning")
    _assert_same(whole, run)


@pytest.mark.slow
def test_asked_to_stop_it_saves_the_step_and_goes_on_from_there(
    undisturbed: tuple[str, RunFolder], tmp_path: Path
) -> None:
    name, whole = undisturbed

    def interrupted() -> int:
        os_write = os.write
        sent = False

        def write(file: int, data: bytes) -> int:
            nonlocal sent
            if not sent and b'"running"' in bytes(data):
                sent = True
                os.kill(os.getpid(), signal.SIGINT)
            return os_write(file, data)

        os.write = write
        return _start(tmp_path, "mine", name)

    assert os.waitstatus_to_exitcode(_in_child(interrupted)) == 130
    run = RunFolder(tmp_path / "mine")
    assert run.state() == "stopped"
    assert run.checkpoints()
    _finish(tmp_path, "mine")
    _assert_same(whole, run)
    assert np.isfinite(Metrics(run.path).column("loss")).all()
