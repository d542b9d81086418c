"""A glance at a run says how far it is and what it reached; a wrong one sends its user to the wrong run."""

import json
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from descent.common.numbers import short_number
from descent.run import find
from descent.run.events import Events
from descent.run.folder import RunFolder
from descent.run.follower import Follower
from descent.run.layout import Layout
from descent.run.metrics import Metrics
from descent.run.results import result_of
from descent.run.scalars import RECORD, Names, ScalarWriter
from tests.helpers.screens import record
from tests.helpers.waiting import wait_for
from tui.data import runs
from tui.data.log import Log
from tui.data.reader import SnapshotBuilder
from tui.data.runs import POINTS, Glances
from tui.screens.home.changes import Changes
from tui.screens.home.details import run_lines
from tui.widgets.lines import Piece
from tui.widgets.run_line import look_at, run_line


def test_a_finished_run(tmp_path: Path) -> None:
    """The list would show wrong numbers."""
    run = Glances().of(record(tmp_path, "digits-mlp-260921-131000-kqzt", "finished"))
    assert (run.name, run.letters, run.state, run.alive) == ("digits-mlp", "kqzt", "finished", False)
    assert (run.step, run.total, run.share, run.epoch) == (800, 800, 1.0, 20.0)
    assert run.last("test") == (0.0812, 0.977)
    assert run.seconds == pytest.approx(0.8)
    assert len(run.loss) == POINTS
    assert run.loss[-1] == pytest.approx(2.3 / 21, rel=0.05)


def test_the_loss_is_the_one_that_results_have(tmp_path: Path) -> None:
    """Home, the list of runs and the console would tell three numbers of one run."""
    path = record(tmp_path, "mine", "finished")
    assert Glances().of(path).last_loss == pytest.approx(result_of(RunFolder(path)).metrics["train_loss"])
    rows = Metrics(path).rows(780).copy()
    layout = Layout.load(path)
    assert layout is not None
    rows[:, :, layout.columns.index("loss")] = 7.0
    (path / "metrics" / "1-780.f32").write_bytes(rows.tobytes())
    expected = result_of(RunFolder(path)).metrics["train_loss"]
    assert 3 < expected < 4, "half of an epoch of 40 steps is new"
    assert Glances().of(path).last_loss == pytest.approx(expected)


def test_what_a_loop_has_named_is_shown(tmp_path: Path) -> None:
    """Whoever trains for F1, or watches a KL divergence, would have to open each run to see it."""
    path = record(tmp_path, "mine", "running", steps=100, accuracy=None)
    names, writer = Names(path), ScalarWriter(path, 0)
    writer.append(np.array([(step, names.index("kl"), step / 4) for step in range(100)], RECORD))
    names.sync()
    writer.sync()
    with (path / "events.jsonl").open("a") as events:
        told = {
            "time": 1,
            "event": "evaluation",
            "step": 90,
            "split": "validation",
            "member": 0,
            "f1": 0.5,
            "dist": 2.0,
        }
        events.write(json.dumps(told) + "\n")
    run = Glances().of(path)
    assert run.scores["validation"] == {"f1": 0.5, "dist": 2.0}
    assert run.scalars == {"kl": 24.75}
    shown = [
        "".join(piece.text for piece in line) for line in run_lines(run, Changes(), 60, 40, unicode=True, now=0.0)
    ]
    assert "validation F1 0.500, dist 2.00" in [" ".join(line.split()) for line in shown]
    assert "scalars kl 24.8" in [" ".join(line.split()) for line in shown]


def test_a_loss_that_is_no_number_any_more(tmp_path: Path) -> None:
    """A run that broke would be listed with the loss that it had before."""
    path = record(tmp_path, "mine", "stopped", steps=100, accuracy=None)
    stored = Metrics(path)
    rows = stored.rows().copy()
    assert stored.layout is not None
    rows[60:, :, stored.layout.columns.index("loss")] = np.nan
    (path / "metrics" / "0-0.f32").write_bytes(rows.tobytes())
    run = Glances().of(path)
    assert run.last_loss is not None
    assert short_number(run.last_loss) == "NaN"
    assert np.isfinite(run.loss).all()


def test_it_follows_what_is_written(tmp_path: Path) -> None:
    """A live run would stand still on the screen, or keep what a rewind has voided."""
    path = record(tmp_path, "mine", "running", steps=100, accuracy=0.5)
    glances = Glances()
    assert glances.of(path).step == 100
    (path / "metrics" / "1-40.f32").write_bytes((path / "metrics" / "0-0.f32").read_bytes()[: -(50 * 4 * 12)])
    with (path / "events.jsonl").open("a") as events:
        events.write(json.dumps({"time": 1, "event": "rewound", "to": 40}) + "\n")
    seen = glances.of(path)
    assert seen.step == 90
    assert seen.last("validation") is None


def test_all_are_looked_at_seldom_and_live_and_new_ones_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A Home of 10,000 ended runs would keep a core busy for as long as it is open."""
    record(tmp_path, "old", "finished")
    path = record(tmp_path, "mine", "running", steps=100, accuracy=0.5)
    known_runs, looks, seen = find.known_runs, [0], []

    def slow(folder: Path) -> list[Path]:
        looks[0] += 1
        time.sleep(0.5)  # as thousands take: the next look at all is due in 10 seconds
        return known_runs(folder)

    monkeypatch.setattr(find, "known_runs", slow)
    monkeypatch.setattr(runs, "EVERY", 0.02)
    watch = runs.Watch(tmp_path, seen.append)
    watch.start()
    try:
        wait_for(lambda: seen and {run.step for run in seen[-1]} == {800, 100}, "both")
        (path / "metrics" / "1-40.f32").write_bytes((path / "metrics" / "0-0.f32").read_bytes()[: -(50 * 4 * 12)])
        wait_for(lambda: {run.step for run in seen[-1]} == {800, 90}, "the live one's steps")
        assert looks == [1]
        record(tmp_path, "new", "stopped", steps=7, accuracy=0.5)
        wait_for(lambda: {run.step for run in seen[-1]} == {800, 90, 7}, "the new one")
        assert looks == [2]
    finally:
        watch.end()


def test_epochs_after_the_batch_size_has_changed(tmp_path: Path) -> None:
    """Home, the console and the log would each name another epoch."""
    folder = RunFolder(record(tmp_path, "mine", "stopped", steps=800, accuracy=None))
    events = Events(folder.path)
    events.write("batch_size", step=400, epoch=10, size=128, per_epoch=10, total_steps=1000)
    for step in (405, 410, 800):
        events.write("evaluation", step=step, split="validation", member=0, loss=0.5)
    follower = Follower(folder)
    taken = SnapshotBuilder(follower).take()
    assert (taken.epoch, taken.epochs, taken.per_epoch) == (50, 70, 10)
    assert Glances().of(folder.path).epoch == result_of(folder).epoch == 50
    said = [line.text for line in Log().of(follower.events, follower.facts)]
    assert said[-3:] == ["val 0.500", "epoch 11  val 0.500", "epoch 50  val 0.500"]


def test_a_killed_worker(tmp_path: Path) -> None:
    """A run whose worker was killed would look alive for ever."""
    import socket

    path = record(tmp_path, "mine", "running", host=socket.gethostname())
    assert Glances().of(path).state == "lost"


def test_a_folder_of_rubbish(tmp_path: Path) -> None:
    """One damaged run would take the whole list along."""
    path = record(tmp_path, "mine", "finished")
    (path / "metrics.json").write_text("[]")
    seen = Glances().of(path)
    assert seen.state == "damaged"
    assert seen.problem


def test_a_collapsed_run_is_no_success(tmp_path: Path) -> None:
    """A model that guesses would be a green ✓ on Home, perhaps with the star of the best."""
    path = record(tmp_path, "mine", "finished", accuracy=0.1)
    lines = (path / "events.jsonl").read_text().splitlines()
    lines.insert(-1, json.dumps({"time": 1, "event": "collapse", "step": 60, "since": 10, "why": "loss"}))
    (path / "events.jsonl").write_text("\n".join(lines) + "\n")
    run = Glances().of(path)
    look = look_at([run, replace(run, reached={"test": (9.0, 0.05)})], lambda run: "")
    line = run_line(run, 80, now=run.changed, look=look)
    assert line[0] == Piece(" ✗ ", "trouble")
    assert "collapsed" in "".join(piece.text for piece in line)
    assert not look.best
    assert result_of(RunFolder(path)).to_json()["verdict"] == {"kind": "collapsed", "step": 10}
