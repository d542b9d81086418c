"""A run of several members must be seen as a whole and member by member: one that is lost must not hide the rest."""

import dataclasses
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
from descent.run.results import result_of
from tests.helpers.live_console import shown
from tests.helpers.recorded_run import PRESET
from tests.helpers.waiting import until
from tui.app import DescentApp
from tui.data.candidates import standings
from tui.data.log import Log
from tui.data.moment import moment
from tui.data.reader import Reader, SnapshotBuilder
from tui.data.runs import glances_of
from tui.plot import curves
from tui.screens.console.screen import Console
from tui.terminal import Terminal
from tui.widgets.chart import Chart
from tui.widgets.chart_sources import Panes
from tui.widgets.layer_table import LayerTable

LOSSES = (1.0, 2.0, 3.0)
RATES = (0.1, 0.2, 1e9)


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    """100 steps of three rates, evaluated every 50 steps; the last one went to infinity at step 31."""
    return _recorded(tmp_path, "members", [{"optimizer.lr": rate} for rate in RATES])


@pytest.fixture
def repeats(tmp_path: Path) -> RunFolder:
    """The same of three seeds."""
    return _recorded(tmp_path, "repeats", [{}, {}, {}])


def _members_run(
    tmp_path: Path, name: str, values: list[dict[str, float]], lost: bool = False, falls: bool = False
) -> RunFolder:
    """100 steps of a member for each of the values. The last one went to infinity at step 31, if it is `lost`.

    falls: whether its losses become less by a hundredth of the first ones with each step.
    """
    folder = create(tmp_path, name, PRESET, {})
    members = tuple({"member": m, "seed": m, "values": own} for m, own in enumerate(values))
    layout = Layout.of(accuracy=True, members=members, layers=({"name": "a", "kind": "linear"},))
    layout.save(folder.path)
    facts = {
        "started": 1.0,
        "steps_per_epoch": 50,
        "total_steps": 100,
        "device": "cpu",
        "samples": {"train": 1, "validation": 1},
    }
    (folder.path / "run.json").write_text(json.dumps(facts))
    rows = np.full((100, 3, len(layout.columns)), np.nan, np.float32)
    for column, made in (("loss", LOSSES), ("accuracy", (0.5, 0.7, 0.1)), ("lr", RATES), ("grad_norm", LOSSES)):
        rows[:, :, layout.columns.index(column)] = made
    rows[:, :, layout.columns.index("time")] = np.arange(100)[:, None] / 10
    if falls:
        rows[:, :, layout.columns.index("loss")] *= np.arange(1, 0, -0.01)[:, None]
    if lost:
        rows[20:31, 2, layout.columns.index("loss")] = 1e30
        rows[31:, 2, :3] = np.nan
    writer = MetricsWriter(folder.path, 0)
    writer.append(rows)
    writer.close()
    Events(folder.path).state("running", step=0)
    return folder


def _recorded(tmp_path: Path, name: str, values: list[dict[str, float]]) -> RunFolder:
    folder = _members_run(tmp_path, name, values, lost=True)
    events = Events(folder.path)
    events.write("member", member=2, state="diverged", step=31)
    for step in (50, 100):
        _evaluate(events, "validation", step, (0.14, 0.16), accuracy=0.954)
    if values[0]:
        events.write("winner", step=100, members=[1], values={"optimizer.lr": 0.2}, by="val_loss", score=0.137)
    events.write("ensemble", step=100, split="test", loss=0.0796, accuracy=0.98)
    events.state("finished")
    return folder


def _evaluate(events: Events, split: str, step: int, losses: tuple[float, ...], **more: Any) -> None:
    for member, loss in enumerate(losses):
        events.write("evaluation", step=step, split=split, member=member, loss=loss, **more)


def test_one_that_diverged_does_not_hide_the_others(repeats: RunFolder) -> None:
    data = curves.loss_curve(Follower(repeats), 200)
    assert [line.style for line in data.lines] == ["band", "faint", "faint", "train", "validation"]
    band, *_, mean, validation = data.lines
    assert (np.nanmin(band.low), np.nanmax(band.high)) == (1.0, 2.0)
    assert np.nanmax(mean.high) == pytest.approx(1.5)
    assert validation.high.tolist() == pytest.approx([0.15, 0.15])
    assert data.note == "mean of 2, 1 diverged"
    gradient = curves.grad_norm_curve(Follower(repeats), 200).lines
    assert [line.style for line in gradient] == ["band", "faint", "faint", "train"]


def test_a_sweep_is_a_line_for_each_candidate(run: RunFolder) -> None:
    """The mean over different settings is the number of none of them."""
    follower = Follower(run)
    loss, gradient, rate = (
        curves.loss_curve(follower, 200), curves.grad_norm_curve(follower, 200), curves.rate_curve(follower, 200),
    )  # fmt: skip
    for data in (loss, gradient, rate):
        assert [(line.name, line.style, line.marker) for line in data.lines] == [
            ("lr 0.2", "run2", "2"), ("lr 0.1", "run1", "1"),
        ]  # fmt: skip
    assert [line.high.tolist() for line in loss.lines] == [[0.16, 0.16], [0.14, 0.14]]
    assert [line.latest for line in rate.lines] == [pytest.approx(0.2), pytest.approx(0.1)]
    assert loss.exact is not None
    assert loss.exact(60.0)[1] == {"lr 0.1": 0.14, "lr 0.2": 0.16}


def test_a_candidate_is_the_mean_of_its_seeds(tmp_path: Path) -> None:
    """Numbers of a wrong pair of members would tell a wrong winner."""
    folder = _members_run(tmp_path, "seeds", [{"optimizer.lr": rate} for rate in (0.1, 0.2, 0.2)])
    events = Events(folder.path)
    for step, losses in ((50, (0.3, 0.6, 0.2)), (100, (0.5, 0.4, 0.2))):
        _evaluate(events, "validation", step, losses, accuracy=0.9)
    follower = Follower(folder)
    now = SnapshotBuilder(follower).take()
    best, other = now.candidates
    assert (best.point.name, best.val_loss, best.train_loss, best.is_best) == (
        "lr 0.2", pytest.approx(0.3), pytest.approx(2.5), True,
    )  # fmt: skip
    assert best.val_loss_std == pytest.approx(0.2 / math.sqrt(2))
    assert best.curve == pytest.approx((0.4, 0.3))
    assert (other.val_loss, other.val_loss_std) == (0.5, None)
    # Whoever goes back in time sees the board as it was then: another candidate was the best.
    then = moment(now, follower, follower.points[1].members, 70)
    assert [(each.point.name, each.val_loss, each.is_best) for each in then.candidates] == [
        ("lr 0.1", 0.3, True), ("lr 0.2", pytest.approx(0.4), False),
    ]  # fmt: skip
    assert (then.val_loss, then.loss) == (0.3, pytest.approx(then.candidates[0].train_loss))
    reader = Reader(folder, 1.0, print, print)
    reader.follower = follower
    source = Panes(reader).source("loss", Chart("loss"))
    assert [line.name for line in source(200, None).lines] == ["lr 0.2", "lr 0.1"]
    reader.past = 70
    assert [line.name for line in source(200, None).lines] == ["lr 0.1", "lr 0.2"]
    ended = dataclasses.replace(now, state="finished", winner="best: lr 0.2", reason="interrupted")
    then = moment(ended, follower, 0, 70)
    assert (then.winner, then.reason) == ("", "")  # nobody knew it yet
    # The numbers of the console, of Home and of the shell are those of the best candidate.
    assert (now.loss, now.val_loss) == (pytest.approx(2.5), pytest.approx(0.3))
    status = glances_of([folder])[0]
    assert (status.candidate, status.reached["validation"][0], status.last_loss) == (
        "lr 0.2", pytest.approx(0.3), pytest.approx(2.5),
    )  # fmt: skip
    result = result_of(folder)
    assert [candidate.name for candidate in result.candidates] == ["lr 0.2", "lr 0.1"]
    assert result.final_metrics["val_loss"] == pytest.approx(0.3)


@pytest.mark.slow
def test_the_training_loss_of_a_candidate_is_that_of_its_last_epoch(tmp_path: Path) -> None:
    """The same candidate had one number on the leaderboard and another one above it and in the results."""
    folder = _members_run(tmp_path, "falls", [{"optimizer.lr": rate} for rate in RATES], falls=True)
    facts = json.loads((folder.path / "run.json").read_text()) | {"steps_per_epoch": 20}
    (folder.path / "run.json").write_text(json.dumps(facts))
    Events(folder.path).state("finished")
    follower = Follower(folder)
    follower.look()
    losses = {standing.point.name: standing.train_loss for standing in standings(follower)}
    assert losses["lr 0.1"] == pytest.approx(LOSSES[0] * 0.105)  # the mean of 0.20, 0.19 … 0.01
    assert losses["lr 0.2"] == pytest.approx(LOSSES[1] * 0.105)


async def test_the_leaderboard_stands_for_the_layers_of_a_sweep(run: RunFolder) -> None:
    """Layers of the mean of dead and living nets are those of no net. Enter shows the layers of one."""
    app = DescentApp(run=run, runs_dir=run.path.parent)
    async with app.run_test(size=(120, 40)) as pilot:
        for row in ("★ 2 lr 0.2", "✗ 3 lr 1e9"):
            await until(pilot, lambda row=row: row in shown(pilot), row)
        assert isinstance(app.screen, Console)
        app.screen.query_one(LayerTable).focus()
        await pilot.press("enter")
        await until(pilot, lambda: "layers, member lr 0.2" in shown(pilot), "the layers of a member")


@pytest.mark.slow
async def test_a_leaderboard_without_unicode_is_ascii(run: RunFolder) -> None:
    """A star and points stood in its border, on a terminal that has none."""
    app = DescentApp(run=run, runs_dir=run.path.parent, terminal=Terminal(unicode=False))
    async with app.run_test(size=(120, 40)) as pilot:
        await until(pilot, lambda: "* best" in shown(pilot), "the leaderboard")
        await until(pilot, lambda: shown(pilot).isascii(), "plain characters alone")


def test_the_others_have_another_mean_once_one_has_diverged(tmp_path: Path, repeats: RunFolder) -> None:
    """While it happens: the console is open, and its curves have the lost member's steps in them."""
    log = repeats.path / "events.jsonl"
    whole = log.read_text()
    log.write_text("".join(whole.splitlines(keepends=True)[:1]))
    follower = Follower(repeats)
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
        name = {0: "lr 0.1", 2: "lr 1e9"}[picked]
        assert [(line.name, np.nanmax(line.high)) for line in front] == [(name, pytest.approx(greatest))]
        assert data.exact is not None
        assert data.exact(10.0)[1][name] == LOSSES[picked]


def test_each_members_own_rate(repeats: RunFolder) -> None:
    """Repeats may have rates of their own: one was set while they trained."""
    data = curves.rate_curve(Follower(repeats), 200)
    assert [(line.name, line.latest) for line in data.lines] == [
        ("#0", pytest.approx(0.1)), ("#1", pytest.approx(0.2)),
    ]  # fmt: skip


def test_numbers_are_the_mean_or_those_of_the_picked_member(repeats: RunFolder) -> None:
    builder = SnapshotBuilder(Follower(repeats))
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
    said = [line.text for line in Log(follower.points).of(follower.events, follower.facts)]
    assert said[-7:] == [
        "started on cpu, 1 thread",
        "member 2 diverged",
        "epoch 1  best lr 0.1: val 0.140  95.4%",
        "epoch 2  best lr 0.1: val 0.140  95.4%",
        "best: lr 0.2  val 0.137",
        "ensemble test loss 0.0796  98.0%",
        "finished",
    ]
    log = Log(follower.points)
    for count in range(len(follower.events) + 1):  # members' events may come one by one
        log.of(follower.events[:count], follower.facts)
    assert [line.text for line in log.of(follower.events, follower.facts)] == said


@pytest.mark.slow
async def test_the_key_goes_through_the_members(run: RunFolder) -> None:
    app = DescentApp(run=run, runs_dir=run.path.parent)
    async with app.run_test(size=(120, 40)) as pilot:
        assert isinstance(app.screen, Console)
        await until(pilot, lambda: "each candidate" in shown(pilot), "the candidates")
        chart = app.screen.query_one("#loss", Chart)
        for name in ("lr 0.1", "lr 0.2", "lr 1e9"):
            await pilot.press("n")
            await until(
                pilot,
                lambda n=name: any(line.name == n and line.style == "member" for line in chart.data.lines),
                "a member",
            )
        await pilot.press("n")
        await until(pilot, lambda: not any(line.style == "member" for line in chart.data.lines), "the candidates")


def test_a_loss_that_is_not_above_zero_has_no_log_axis(run: RunFolder) -> None:
    """A likelihood of a density may be below 0: half the curve would be missing."""
    assert curves.loss_curve(Follower(run), 200).fits_log
    Events(run.path).write("evaluation", step=150, split="validation", member=0, loss=-0.5)
    assert not curves.loss_curve(Follower(run), 200).fits_log


def test_many_evaluations_are_drawn_by_their_extremes(repeats: RunFolder) -> None:
    """One bad evaluation among thousands would not be seen."""
    with (repeats.path / "events.jsonl").open("a") as file:
        for i in range(5000):
            loss = 99.0 if i == 2500 else None if i == 10 else 1.0
            event = {"event": "evaluation", "split": "validation", "member": 0, "step": 101 + i, "loss": loss}
            file.write(json.dumps(event) + "\n")
    data = curves.loss_curve(Follower(repeats), 60, (0.0, 6000.0))
    validation = data.lines[-1]
    assert len(validation.high) <= 62
    assert np.nanmax(validation.high) == 99.0
    assert not math.isnan(np.nanmin(validation.low))
    assert data.exact is not None
    assert data.exact(2601.0)[1]["val"] == 99.0


def test_the_cursor_outlives_a_rewind(repeats: RunFolder) -> None:
    """It is looked up between two looks of the reader, by seconds that are no longer there."""
    follower = Follower(repeats)
    data = curves.loss_curve(follower, 60, None, 0.6, "time")
    assert data.exact is not None
    MetricsWriter(repeats.path, 0).close()
    for series in follower._series.values():
        series.truncate(0)
    at, values = data.exact(5.0)
    assert math.isfinite(at)
    assert values.keys() <= {"train", "val"}
