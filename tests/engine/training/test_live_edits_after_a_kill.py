"""What a person changed after the last checkpoint must hold again after a power cut, or be named as lost."""

import os
import signal
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from descent.control import Queue, send
from descent.run.events import Events, to_give_again
from descent.run.folder import RunFolder
from descent.run.metrics import Metrics
from engine.launch import start as launch
from engine.launch.options import Options
from tests.helpers.held_run import Held
from tests.helpers.waiting import wait_for
from tests.helpers.workers import begin, child, ends_with, start


def killed(pid: int) -> None:
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)


def warnings(folder: RunFolder) -> list[str]:
    return [event["message"] for event in folder.events() if event["event"] == "warning"]


@pytest.mark.slow
def test_changes_after_the_last_checkpoint_are_in_force_again_at_their_steps(tmp_path: Path) -> None:
    """The run would go on at the old rate and end too early, without a word."""
    runs = tmp_path / "runs"
    pid, folder = start(runs, "train.steps=40", "train.evaluate_every=1000", "train.checkpoint_every.steps=1000")
    send(folder.path, "pause")
    send(folder.path, "rewind", {"to": 0})
    send(folder.path, "step", {"steps": 10})
    send(folder.path, "set", {"edits": ["optimizer.lr=0.02"]})
    send(folder.path, "step", {"steps": 5})
    send(folder.path, "extend", {"steps": 7})
    send(folder.path, "step", {"steps": 3})
    before = Metrics(folder.path).column("loss")
    killed(pid)
    assert child(lambda: launch.resume("live", Options(runs_dir=runs, quiet=True))) == 0
    metrics = Metrics(folder.path)
    assert len(metrics) == 47
    np.testing.assert_array_equal(metrics.column("loss")[:18], before)
    assert np.unique(metrics.column("lr")[10:]).tolist() == [np.float32(0.02)]
    told = warnings(folder)[-1]
    assert "step 10: set optimizer.lr=0.02; step 15: extend steps=7" in told
    assert child(lambda: launch.replay("live", Options("again", runs, quiet=True))) == 0


@pytest.mark.slow
def test_a_new_change_before_they_are_in_force_again_drops_them_and_says_so(tmp_path: Path) -> None:
    """The rate that a person has just set would change by itself some steps later."""
    held, runs = Held(tmp_path), tmp_path / "runs"
    gate = tmp_path / "gate"
    gate.unlink()
    options = Options("mine", runs, quiet=True, allow_code=True)
    settings = ["train.epochs=1000000", "train.evaluate_every=1000000", "train.checkpoint_every.steps=100000000"]
    pid = begin(lambda: launch.run(str(tmp_path / "held.toml"), settings, options))
    folder = RunFolder(runs / "mine")
    wait_for(lambda: (folder.path / "events.jsonl").exists() and folder.state() == "running", "the run")
    send(folder.path, "pause")
    send(folder.path, "rewind", {"to": 0})
    send(folder.path, "step", {"steps": 30})
    send(folder.path, "set", {"edits": ["optimizer.lr=0.5"]})
    killed(pid)
    gate.touch()
    queued = tmp_path / "queued"

    def resume() -> int:
        put = Queue.put

        def noted(self: Queue, request: Any) -> None:
            put(self, request)
            queued.touch()

        Queue.put = noted  # type: ignore[method-assign]
        return launch.resume("mine", Options(runs_dir=runs, quiet=True))

    pid = begin(resume)
    held.wait()
    answers: list[dict[str, Any]] = []
    giving = threading.Thread(
        target=lambda: answers.append(send(folder.path, "set", {"edits": ["optimizer.lr=0.01"]}))
    )
    giving.start()
    wait_for(queued.exists, "the command")
    held.release()
    giving.join()
    at = answers[0]["step"]
    assert at == 25
    assert answers[0]["dropped"] == ["step 30: set optimizer.lr=0.5"]
    assert "these earlier changes are lost" in warnings(folder)[-1]
    wait_for(lambda: len(Metrics(folder.path)) > max(60, at + 10), "more steps")
    assert np.unique(Metrics(folder.path).column("lr")[at:]).tolist() == [np.float32(0.01)]
    send(folder.path, "stop")
    assert ends_with(pid) == 0


def entry(step: int, edit: str) -> dict[str, Any]:
    return {"step": step, "command": "set", "arguments": {"edits": [edit]}}


def test_a_worker_that_is_killed_before_it_has_changed_all_again_loses_none(tmp_path: Path) -> None:
    """A machine that reboots twice would forget the changes at the second time."""
    folder = RunFolder(tmp_path)
    events = Events(folder.path)
    events.write("checkpoint", step=0)
    log = events.size()
    first, second = entry(10, "optimizer.lr=0.2"), entry(15, "optimizer.lr=0.1") | {"given_by": "assistant"}
    events.write("command", **first)
    events.write("command", **second)
    assert to_give_again(folder.path, log) == [first, second]
    events.write("resumed", to=0, log=log)
    events.write("again", step=0, commands=[first, second])
    assert to_give_again(folder.path, log) == [first, second]  # killed before step 10
    events.write("command", **first, again=True)
    assert to_give_again(folder.path, log) == [first, second]  # killed between the two, without a checkpoint
    assert to_give_again(folder.path, events.size()) == [second]  # or with one
    events.write("again", step=12, commands=[])  # a person has changed something else
    third = entry(12, "optimizer.lr=0.7")
    events.write("command", **third)
    assert to_give_again(folder.path, log) == [first, third]
    events.close()
