"""A person at another terminal must be able to pause, change, rewind and stop a run, and be told what happened.

A setting that is written short must be understood well enough to say its whole name.
"""

import json
import os
import signal
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from descent import control, sync
from descent.control import RefusedError, send
from descent.loop import checkpoint
from descent.run.folder import RunFolder
from descent.run.metrics import Metrics
from descent.run.results import result_of
from engine.launch.fork import first_difference
from engine.launch.options import Options
from engine.launch.start import resume, run
from engine.pictures import kept
from engine.training import worker  # noqa: F401 - imported once here, not in each child
from engine.training.live_edits import _refusal
from engine.training.pictures import keeper
from tests.helpers.processes import fork, process
from tests.helpers.waiting import DEADLINE, wait_for
from tests.helpers.workers import alive, ends_with, start


@pytest.fixture
def live(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[int, RunFolder]]:
    """A run that keeps a picture whenever it stands still, on the slowest machine, too."""
    monkeypatch.setattr(keeper, "AT_ONCE", DEADLINE)
    yield from alive(tmp_path / "runs", "train.epochs=100000", "train.evaluate_every=1000", "model.dropout=0.1")


@pytest.fixture
def patient(tmp_path: Path) -> Iterator[tuple[int, RunFolder]]:
    """With early stopping, and an evaluation every five steps."""
    early = "train.early_stopping.patience=1000000"
    yield from alive(tmp_path / "runs", "train.epochs=100000", "train.evaluate_every.steps=5", early)


@pytest.mark.slow
def test_a_paused_run_stands_still_and_goes_on_where_it_was(live: tuple[int, RunFolder]) -> None:
    _, folder = live
    paused = send(folder.path, "pause")
    assert paused["ok"]
    assert folder.state() == "paused"
    assert len(Metrics(folder.path).rows()) == paused["step"]
    assert send(folder.path, "pause")["step"] == paused["step"]
    assert send(folder.path, "step", {"steps": 3})["step"] == paused["step"] + 3
    assert send(folder.path, "step")["step"] == paused["step"] + 4
    assert len(Metrics(folder.path).rows()) == paused["step"] + 4
    assert send(folder.path, "resume")["step"] == paused["step"] + 4
    assert folder.state() == "running"
    wait_for(lambda: len(Metrics(folder.path).rows()) > paused["step"] + 100, "more steps")


def test_a_new_rate_holds_from_the_step_that_is_told(live: tuple[int, RunFolder]) -> None:
    _, folder = live
    at = send(folder.path, "set", {"edits": ["optimizer.lr=0.02", "lr_scale=0.5"]})["step"]
    wait_for(lambda: len(Metrics(folder.path).rows()) > at + 10, "more steps")
    lr = Metrics(folder.path).column("lr")
    assert np.unique(lr[:at]).tolist() == [np.float32(0.1)]
    assert np.unique(lr[at:]).tolist() == [np.float32(0.01)]
    event = folder.last("command", command="set")
    assert event is not None
    assert event["step"] == at


@pytest.mark.slow
def test_the_log_names_who_gave_a_command(live: tuple[int, RunFolder]) -> None:
    """Two people and an assistant steer one run, and nobody could tell later who changed what."""
    _, folder = live
    process(["pause", str(folder.path)])
    sync.Run(folder).set("lr_scale=0.5")
    send(folder.path, "set", {"edits": ["lr_scale=0.25"]}, given_by="assistant")
    told = [(e["command"], e["given_by"]) for e in folder.events() if e["event"] == "command"]
    assert told == [("pause", "shell"), ("set", "program"), ("set", "assistant")]
    shown = json.loads(process(["show", str(folder.path), "--json"]).out.splitlines()[-1])
    assert shown["commands"] == {"shell": 1, "program": 1, "assistant": 1}
    assert "1 from a shell, 1 from a program, 1 from an assistant" in process(["show", str(folder.path)]).out


REFUSED: list[tuple[str, dict[str, Any], str]] = [
    ("set", {"edits": ["optimizer.lr=-1"]}, "optimizer.lr"),
    ("set", {"edits": ["optimizer.lr=0.5", "model.widths=[3]"]}, "can't be changed"),
    ("set", {"edits": ["optimizer.moment=0.5"]}, "optimizer.momentum"),
    ("set", {"edits": ["data.augment=true"]}, "no augmentation"),
    ("set", {"edits": []}, "at least one"),
    ("set", {"edits": ["train.batch_size=999999"]}, "larger than the training split"),
    ("resume", {}, "not paused"),
    ("step", {}, "pause the run first"),
    ("rewind", {"to": 12345678}, "no such checkpoint"),
    ("extend", {}, "the number of epochs or steps to add"),
    ("extend", {"epochs": -1}, "whole number"),
    ("stop", {"how": "gently"}, "must be now, epoch or discard"),
    ("dance", {}, "unknown command"),
]


@pytest.mark.slow
def test_what_cannot_be_is_refused_with_the_reason_and_changes_nothing(live: tuple[int, RunFolder]) -> None:
    _, folder = live
    for command, arguments, reason in REFUSED:
        with pytest.raises(RefusedError, match=reason):
            send(folder.path, command, arguments)
    assert folder.last("command") is None
    at = send(folder.path, "pause")["step"]
    assert np.unique(Metrics(folder.path).column("lr")[:at]).tolist() == [np.float32(0.1)]


@pytest.mark.slow
def test_rewinding_opens_a_new_history_and_undoes_edits(live: tuple[int, RunFolder]) -> None:
    _, folder = live
    send(folder.path, "pause")
    at = send(folder.path, "checkpoint")["step"]
    send(folder.path, "set", {"edits": ["optimizer.lr=0.5"]})
    send(folder.path, "step", {"steps": 7})
    first = Metrics(folder.path).column("loss")[at : at + 7]
    wait_for(lambda: kept.steps(folder.path)[-1] == at + 7, "the picture of a run that stands still")
    assert send(folder.path, "rewind", {"to": at})["step"] == at
    assert kept.steps(folder.path)[-1] == at
    assert len(Metrics(folder.path).rows()) == at
    send(folder.path, "step", {"steps": 7})
    metrics = Metrics(folder.path)
    assert np.unique(metrics.column("lr")[at:]).tolist() == [np.float32(0.1)]
    assert metrics.column("loss")[at] == first[0]
    assert not np.array_equal(metrics.column("loss")[at : at + 7], first)
    assert [e["arguments"] for e in folder.events() if e["event"] == "command" and e["command"] == "set"] == []


@pytest.mark.slow
def test_rewinding_to_where_the_best_model_is_gone_says_so_and_goes_on(patient: tuple[int, RunFolder]) -> None:
    """The run would fail when its patience is over, and so would every resume."""
    _, folder = patient
    send(folder.path, "pause")
    send(folder.path, "rewind", {"to": 0})
    send(folder.path, "step", {"steps": 12})
    send(folder.path, "checkpoint")
    saved = folder.last("checkpoint")
    assert saved is not None
    assert (saved["step"], saved["best"]) == (12, 10)
    folder.checkpoint(10).unlink()
    send(folder.path, "rewind", {"to": 12})
    warning = folder.last("warning")
    assert warning is not None
    assert "the best model so far, of step 10, is lost (step-10.pt is missing)" in warning["message"]
    send(folder.path, "step", {"steps": 3})
    send(folder.path, "checkpoint")
    saved = folder.last("checkpoint")
    assert saved is not None
    assert saved["best"] == 15


def test_evaluating_by_hand_is_looked_at_and_nothing_more(live: tuple[int, RunFolder]) -> None:
    _, folder = live
    send(folder.path, "pause")
    answer = send(folder.path, "evaluate")
    assert 0 <= answer["val_accuracy"] <= 1
    event = folder.last("evaluation")
    assert event is not None
    assert (event["step"], event["accuracy"]) == (answer["step"], answer["val_accuracy"])


def test_stopping_saves_and_the_receipt_says_where(live: tuple[int, RunFolder]) -> None:
    pid, folder = live
    answer = send(folder.path, "stop")
    assert ends_with(pid) == 0
    assert Path(answer["checkpoint"]).name == f"step-{answer['step']}.pt"
    assert Path(answer["checkpoint"]).exists()
    assert folder.state() == "stopped"
    assert result_of(folder).epoch == answer["step"] // folder.facts()["steps_per_epoch"]
    assert not (folder.path / "control.sock").exists()
    with pytest.raises(control.NotRunningError, match="is stopped; continue with: descent resume live"):
        send(folder.path, "pause")


@pytest.mark.slow
def test_a_run_can_be_told_to_finish_its_epoch_first(live: tuple[int, RunFolder]) -> None:
    pid, folder = live
    send(folder.path, "pause")
    send(folder.path, "stop", {"how": "epoch"})
    assert ends_with(pid) == 0
    assert len(Metrics(folder.path).rows()) % folder.facts()["steps_per_epoch"] == 0


def test_a_run_can_be_given_up_without_saving(tmp_path: Path) -> None:
    pid, folder = start(tmp_path, "train.steps=200000", "train.evaluate_every=100000")
    send(folder.path, "pause")
    at = send(folder.path, "stop", {"how": "discard"})["step"]
    assert ends_with(pid) == 0
    assert at < 200000
    assert folder.state() == "stopped"
    assert folder.checkpoints() == [0]


def test_a_larger_batch_begins_with_the_next_epoch(live: tuple[int, RunFolder]) -> None:
    _, folder = live
    at = send(folder.path, "set", {"edits": ["train.batch_size=200"]})["step"]
    event = wait_for(lambda: folder.last("batch_size"), "the next epoch")
    assert event["size"] == 200
    assert 0 <= event["step"] - at <= folder.facts()["steps_per_epoch"]


@pytest.mark.slow
def test_edits_survive_a_kill(live: tuple[int, RunFolder]) -> None:
    pid, folder = live
    send(folder.path, "set", {"edits": ["optimizer.lr=0.5"]})  # which no longer holds then
    send(folder.path, "set", {"edits": ["optimizer . lr = 0.02", "model.dropout=0.4", "train.clip_norm=1.0"]})
    send(folder.path, "pause")
    send(folder.path, "checkpoint")
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    assert folder.state() == "lost"
    state, _ = checkpoint.latest(folder)
    assert state is not None
    assert state["edits"] == ["model.dropout=0.4", "optimizer.lr=0.02", "train.clip_norm=1.0"]


def test_malformed_lines_cost_the_training_nothing(live: tuple[int, RunFolder]) -> None:
    _, folder = live
    for line in (
        b"\x00\xff\xfe\n",
        b"[]\n",
        b"{}\n",
        b'{"command": 3}\n',
        b'{"command": "set", "arguments": 1}\n',
        b"\n",
    ):
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(folder.path / "control.sock"))
            client.sendall(line)
            assert json.loads(client.makefile().readline())["ok"] is False
    endless = socket.socket(socket.AF_UNIX)
    endless.connect(str(folder.path / "control.sock"))
    endless.settimeout(10)
    try:
        endless.sendall(b"x" * (control.LONGEST_LINE * 2))
        assert b"long" in endless.recv(4096)
    except ConnectionError:
        pass  # turned away in the middle of it
    half = socket.socket(socket.AF_UNIX)
    half.connect(str(folder.path / "control.sock"))
    half.sendall(b'{"command": "pa')
    assert send(folder.path, "pause")["ok"]
    half.close()
    endless.close()


@pytest.mark.slow
def test_a_hundred_clients_at_once_are_all_answered_and_no_step_is_lost(live: tuple[int, RunFolder]) -> None:
    _, folder = live

    def client(number: int) -> list[int]:
        return [send(folder.path, "set", {"edits": [f"lr_scale={1 + number / 1000}"]})["step"] for _ in range(5)]

    with ThreadPoolExecutor(100) as pool:
        answers = list(pool.map(client, range(100)))
    assert all(steps == sorted(steps) for steps in answers)
    at = send(folder.path, "pause")["step"]
    loss = Metrics(folder.path).column("loss")
    assert len(loss) == at
    assert np.isfinite(loss).all()
    assert sum(e["event"] == "command" and e["command"] == "set" for e in folder.events()) == 500


@pytest.mark.slow
def test_a_steered_run_that_is_killed_ends_as_if_it_had_not_been(tmp_path: Path) -> None:
    """Edits in force, and one that waits for the next epoch, are part of a checkpoint, to the bit."""
    ended: list[RunFolder] = []
    for kill in (True, False):
        runs = tmp_path / ("killed" if kill else "whole")
        pid, folder = start(
            runs,
            "train.steps=100000",
            "train.evaluate_every=1000",
            "model.dropout=0.1",
            "train.batch_size=50",
            "schedule.name=cosine",
        )
        send(folder.path, "pause")
        send(folder.path, "rewind", {"to": 0})
        send(folder.path, "step", {"steps": 10})
        send(folder.path, "set", {"edits": ["optimizer.lr=0.05", "model.dropout=0.3", "train.clip_norm=0.5"]})
        send(folder.path, "step", {"steps": 9})
        send(folder.path, "set", {"edits": ["train.batch_size=80", "lr_scale=0.5"]})
        send(folder.path, "extend", {"steps": 40})
        at = send(folder.path, "checkpoint")["step"]
        if kill:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            pid = os.fork()
            if pid == 0:
                os._exit(resume("live", Options(runs_dir=runs, quiet=True)))
            wait_for(
                lambda folder=folder: len(Metrics(folder.path)) > 100, "more steps"
            )  # the next epoch's among them
            reached = send(folder.path, "pause")["step"]
        else:
            send(folder.path, "step", {"steps": reached - at})
        assert send(folder.path, "stop")["step"] == reached
        assert ends_with(pid) == 0
        ended.append(folder)
    layouts = [Metrics(folder.path).layout for folder in ended]
    assert layouts[0] is not None
    kept = [i for i, name in enumerate(layouts[0].columns) if name != "time"]
    rows = [Metrics(folder.path).rows()[:, :, kept] for folder in ended]
    assert rows[0].shape == rows[1].shape == (reached, 1, len(kept))
    assert rows[0].tobytes() == rows[1].tobytes()
    states = [checkpoint.latest(folder)[0] for folder in ended]
    assert states[0] is not None
    assert states[1] is not None
    assert all(states[0]["model"][name].equal(states[1]["model"][name]) for name in states[0]["model"])
    assert states[0]["batch_size"] == states[1]["batch_size"] == 80


@pytest.mark.slow
def test_a_run_killed_after_a_rewind_goes_on_from_where_it_went_back_to(tmp_path: Path) -> None:
    """A checkpoint of the future that was left has a higher step, and is not the last one of this run."""
    runs = tmp_path / "runs"
    pid, folder = start(runs, "train.steps=100000", "train.evaluate_every=1000")
    send(folder.path, "pause")
    send(folder.path, "step", {"steps": 9})
    left = send(folder.path, "checkpoint")["step"]
    send(folder.path, "rewind", {"to": 0})
    send(folder.path, "step", {"steps": 3})
    with pytest.raises(RefusedError, match=r"the run has those of steps 0$"):
        send(folder.path, "rewind", {"to": left})
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    pid = os.fork()
    if pid == 0:
        os._exit(resume("live", Options(runs_dir=runs, quiet=True)))
    wait_for(lambda: folder.state() == "running", "the resumed run")
    resumed = folder.last("resumed")
    assert resumed is not None
    assert resumed["to"] == 0
    send(folder.path, "stop", {"how": "discard"})
    assert ends_with(pid) == 0


@pytest.mark.slow
@pytest.mark.parametrize("members", [[], ["members.repeats=2"], ["members.folds=2"]])
def test_a_pause_in_the_middle_of_an_evaluation_holds_there_and_changes_nothing(
    tmp_path: Path, members: list[str]
) -> None:
    """An evaluation of a large model takes minutes, in which nobody should have to wait for an answer."""
    runs, reached = tmp_path / "runs", tmp_path / "reached"

    def train(run_id: str) -> int:
        from engine.training import evaluation, losses
        from engine.training.members import evaluation as evaluation_of_members

        evaluation.BATCH = evaluation_of_members.BATCH = 16
        arrived = threading.Event()
        put, predictions = control.Queue.put, losses.predictions

        def put_and_tell(queue: control.Queue, request: control.Request) -> None:
            put(queue, request)
            arrived.set()

        def wait_in_an_evaluation(outputs: torch.Tensor) -> torch.Tensor:
            if run_id == "held" and not torch.is_grad_enabled():
                reached.touch()
                arrived.wait(DEADLINE)
            return predictions(outputs)

        control.Queue.put = put_and_tell  # type: ignore[method-assign]
        losses.predictions = wait_in_an_evaluation
        settings = ["train.device=cpu", "train.threads=1", "train.statistics_every=10", "data.size=400", *members]
        return run("digits-mlp", [*settings, "train.epochs=3"], Options(run_id, runs, quiet=True))

    pid = fork(lambda: train("held"))
    folder = RunFolder(runs / "held")
    wait_for(reached.exists, "the evaluation")
    step = send(folder.path, "pause")["step"]
    assert folder.state() == "paused"
    assert not [event for event in folder.events() if event["event"] == "evaluation"]
    assert send(folder.path, "resume")["step"] == step
    assert ends_with(pid) == 0
    assert ends_with(fork(lambda: train("plain"))) == 0
    assert first_difference(folder, RunFolder(runs / "plain")) is None
    evaluated = [
        [(e["step"], e["loss"]) for e in RunFolder(runs / name).events() if e["event"] == "evaluation"]
        for name in ("held", "plain")
    ]
    assert evaluated[0] == evaluated[1]


def test_what_no_check_foresaw_is_refused_and_the_run_goes_on(tmp_path: Path) -> None:
    pid, folder = start(tmp_path / "runs", "train.steps=100000", "train.evaluate_every=1000")
    for command, arguments in (
        ("set", {"edits": ["train.threads=1000000"]}),
        ("set", {"edits": ["train.clip_norm=1e308"]}),
        ("extend", {"steps": 10**20}),
        ("extend", {"epochs": 10**15}),
    ):
        with pytest.raises(RefusedError):
            send(folder.path, command, arguments)
    before = len(Metrics(folder.path))
    wait_for(lambda: len(Metrics(folder.path)) > before + 10, "more steps")
    send(folder.path, "stop", {"how": "discard"})
    assert ends_with(pid) == 0


@pytest.mark.slow
def test_a_checkpoint_that_a_person_saved_stays(tmp_path: Path) -> None:
    """Seconds later the automatic ones would have pushed it out."""
    pid, folder = start(tmp_path / "runs", "train.steps=100000", "train.checkpoint_every.steps=10", "train.keep=1")
    send(folder.path, "pause")
    send(folder.path, "step", {"steps": 3})
    saved = send(folder.path, "checkpoint")["step"]
    send(folder.path, "step", {"steps": 50})
    assert saved in folder.checkpoints()
    assert len(folder.checkpoints()) <= 4
    send(folder.path, "resume")
    wait_for(lambda: len(Metrics(folder.path)) > saved + 200, "more steps")
    assert send(folder.path, "rewind", {"to": saved})["step"] == saved
    send(folder.path, "stop", {"how": "discard"})
    assert ends_with(pid) == 0


def test_what_was_measured_can_be_set_one_by_one(tmp_path: Path) -> None:
    """A run that has become slow is told to take one thread: of a preset as it comes, where both are `auto`."""
    pid, folder = start(tmp_path / "runs", "train.epochs=100000", "train.threads=auto", "train.statistics_every=auto")
    assert send(folder.path, "set", {"edits": ["train.threads=1"]})["ok"]
    with pytest.raises(RefusedError, match=r"train.threads = auto is measured before a run's first step"):
        send(folder.path, "set", {"edits": ["train.threads=auto"]})
    assert send(folder.path, "set", {"edits": ["train.statistics_every=7"]})["ok"]
    send(folder.path, "stop", {"how": "discard"})
    assert ends_with(pid) == 0


@pytest.mark.parametrize("typed", ["lr", "rate", "learning_rate", "optimizer.learning_rate", "optimizer.l"])
def test_the_rate_is_known_by_all_its_names(typed: str) -> None:
    assert "did you mean optimizer.lr?" in _refusal(typed)
