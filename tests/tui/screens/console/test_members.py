"""A run of several members must be seen as a whole and member by member: one that is lost must not hide the rest."""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from descent.run.events import Events
from descent.run.folder import RunFolder, create
from descent.run.follower import Follower
from descent.run.layout import Layout
from descent.run.metrics import MetricsWriter
from tests.helpers.live_console import shown
from tests.helpers.recorded_run import PRESET
from tests.helpers.waiting import until
from tui.app import DescentApp
from tui.data.log import Log
from tui.data.reader import SnapshotBuilder
from tui.plot import curves
from tui.screens.console.screen import Console
from tui.widgets.chart import Chart

LOSSES = (1.0, 2.0, 3.0)
RATES = (0.1, 0.2, 1e9)


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    """100 steps of three members, evaluated every 50 steps; the last one went to infinity at step 31."""
    folder = create(tmp_path, "members", PRESET, {})
    members = tuple({"member": m, "seed": m, "values": {"optimizer.lr": rate}} for m, rate in enumerate(RATES))
    layout = Layout.of(accuracy=True, members=members, layers=({"name": "a", "kind": "linear"},))
    layout.save(folder.path)
    facts = {"steps_per_epoch": 50, "total_steps": 100, "device": "cpu", "samples": {"train": 1, "validation": 1}}
    (folder.path / "run.json").write_text(json.dumps(facts))
    rows = np.full((100, 3, len(layout.columns)), np.nan, np.float32)
    for name, values in (("loss", LOSSES), ("accuracy", (0.5, 0.7, 0.1)), ("lr", RATES), ("grad_norm", LOSSES)):
        rows[:, :, layout.columns.index(name)] = values
    rows[:, :, layout.columns.index("time")] = np.arange(100)[:, None] / 10
    rows[20:31, 2, layout.columns.index("loss")] = 1e30
    rows[31:, 2, :3] = np.nan
    writer = MetricsWriter(folder.path, 0)
    writer.append(rows)
    writer.close()
    events = Events(folder.path)
    events.state("running", step=0)
    events.write("member", member=2, state="diverged", step=31)
    for step in (50, 100):
        _evaluate(events, "validation", step, (0.14, 0.16), accuracy=0.954)
    events.write("winner", step=100, members=[1], values={"optimizer.lr": 0.2}, by="val_loss", score=0.137)
    events.write("ensemble", step=100, split="test", loss=0.0796, accuracy=0.98)
    events.state("finished")
    return folder


def _evaluate(events: Events, split: str, step: int, losses: tuple[float, ...], **more: Any) -> None:
    for member, loss in enumerate(losses):
        events.write("evaluation", step=step, split=split, member=member, loss=loss, **more)


def test_one_that_diverged_does_not_hide_the_others(run: RunFolder) -> None:
    data = curves.loss_curve(Follower(run), 200)
    assert [line.style for line in data.lines] == ["band", "run1", "run2", "train", "validation"]
    band, *_, mean, validation = data.lines
    assert (np.nanmin(band.low), np.nanmax(band.high)) == (1.0, 2.0)
    assert np.nanmax(mean.high) == pytest.approx(1.5)
    assert validation.high.tolist() == pytest.approx([0.15, 0.15])
    assert data.note == "mean of 2, 1 diverged"
    gradient = curves.grad_norm_curve(Follower(run), 200).lines
    assert [line.style for line in gradient] == ["band", "run1", "run2", "train"]


def test_the_others_have_another_mean_once_one_has_diverged(tmp_path: Path, run: RunFolder) -> None:
    """While it happens: the console is open, and its curves have the lost member's steps in them."""
    log = run.path / "events.jsonl"
    whole = log.read_text()
    log.write_text("".join(whole.splitlines(keepends=True)[:1]))
    follower = Follower(run)
    assert np.nanmax(curves.loss_curve(follower, 200).lines[0].high) > 1e20
    log.write_text(whole)
    follower.look()
    assert np.nanmax(curves.loss_curve(follower, 200).lines[0].high) == 2.0
    with log.open("a") as file:
        file.write(json.dumps({"event": "rewound", "to": 10, "log": 0, "time": 0}) + "\n")
    follower.look()
    assert follower.ended == {}
    assert len(curves.loss_curve(follower, 200).lines) == 5  # all three again, and no evaluation


def test_the_picked_member_is_in_front_even_if_it_diverged(run: RunFolder) -> None:
    for picked, greatest in ((0, 1.0), (2, 1e30)):
        data = curves.loss_curve(Follower(run), 200, smoothing=0.0, picked=picked)
        front = [line for line in data.lines if line.style == "member"]
        assert [(line.name, np.nanmax(line.high)) for line in front] == [(f"#{picked}", pytest.approx(greatest))]
        assert data.exact is not None
        assert data.exact(10.0)[1][f"#{picked}"] == LOSSES[picked]


def test_each_members_own_rate(run: RunFolder) -> None:
    data = curves.rate_curve(Follower(run), 200)
    assert [(line.name, line.latest) for line in data.lines] == [
        ("#0", pytest.approx(0.1)), ("#1", pytest.approx(0.2)),
    ]  # fmt: skip


def test_numbers_are_the_mean_or_those_of_the_picked_member(run: RunFolder) -> None:
    builder = SnapshotBuilder(Follower(run))
    now = builder.take()
    assert (now.loss, now.val_loss) == (pytest.approx(1.5), pytest.approx(0.15))
    builder.member = 1
    now = builder.take()
    assert (now.loss, now.val_loss) == (2.0, 0.16)


def test_numbers_of_a_member_that_stopped_early_are_its_last(run: RunFolder) -> None:
    Events(run.path).write("member", member=2, state="stopped early", step=20)
    builder = SnapshotBuilder(Follower(run))
    builder.member = 2
    assert builder.take().loss == 3.0


def test_the_log_says_means_and_what_became_of_members(run: RunFolder) -> None:
    follower = Follower(run)
    said = [line.text for line in Log().of(follower.events, follower.facts)]
    assert said[-7:] == [
        "started on cpu, 1 thread",
        "member 2 diverged",
        "epoch 1  val 0.150 ± 0.014  95.4%",
        "epoch 2  val 0.150 ± 0.014  95.4%",
        "best: lr 0.2  val 0.137",
        "ensemble test loss 0.0796  98.0%",
        "finished",
    ]
    log = Log()
    for count in range(len(follower.events) + 1):  # members' events may come one by one
        log.of(follower.events[:count], follower.facts)
    assert [line.text for line in log._lines] == said


async def test_the_key_goes_through_the_members(run: RunFolder) -> None:
    app = DescentApp(run=run, runs_dir=run.path.parent)
    async with app.run_test(size=(120, 40)) as pilot:
        assert isinstance(app.screen, Console)
        await until(pilot, lambda: "mean of 2" in shown(pilot), "the mean")
        chart = app.screen.query_one("#loss", Chart)
        for member in (0, 1, 2):
            await pilot.press("n")
            await until(pilot, lambda m=member: any(line.name == f"#{m}" for line in chart.data.lines), "a member")
        await pilot.press("n")
        await until(pilot, lambda: not any(line.style == "member" for line in chart.data.lines), "the mean")


def test_a_loss_that_is_not_above_zero_has_no_log_axis(run: RunFolder) -> None:
    """A likelihood of a density may be below 0: half the curve would be missing."""
    assert curves.loss_curve(Follower(run), 200).fits_log
    Events(run.path).write("evaluation", step=100, split="validation", member=0, loss=-0.5)
    assert not curves.loss_curve(Follower(run), 200).fits_log


def test_many_evaluations_are_drawn_by_their_extremes(run: RunFolder) -> None:
    """One bad evaluation among thousands would not be seen."""
    with (run.path / "events.jsonl").open("a") as file:
        for i in range(5000):
            loss = 99.0 if i == 2500 else None if i == 10 else 1.0
            event = {"event": "evaluation", "split": "validation", "member": 0, "step": 101 + i, "loss": loss}
            file.write(json.dumps(event) + "\n")
    data = curves.loss_curve(Follower(run), 60, (0.0, 6000.0))
    validation = data.lines[-1]
    assert len(validation.high) <= 62
    assert np.nanmax(validation.high) == 99.0
    assert not math.isnan(np.nanmin(validation.low))
    assert data.exact is not None
    assert data.exact(2601.0)[1]["val"] == 99.0


def test_the_cursor_outlives_a_rewind(run: RunFolder) -> None:
    """It is looked up between two looks of the reader, by seconds that are no longer there."""
    follower = Follower(run)
    data = curves.loss_curve(follower, 60, None, 0.6, "time")
    assert data.exact is not None
    MetricsWriter(run.path, 0).close()
    for series in follower._series.values():
        series.truncate(0)
    at, values = data.exact(5.0)
    assert math.isfinite(at)
    assert values.keys() <= {"train", "val"}
