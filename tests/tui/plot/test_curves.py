"""The curves of a run must show what its rows and events hold: a wrong curve leads to a wrong decision."""

import json
import math
from pathlib import Path

import numpy as np
import pytest

from descent.run.events import Events
from descent.run.folder import RunFolder
from descent.run.follower import Follower
from descent.run.layout import Layout
from descent.run.metrics import MetricsWriter
from tui.data.words import mark_of
from tui.plot import curves, draw
from tui.plot.axes import Axis
from tui.plot.chart_data import ChartData, Line


class _Run:
    """A run folder of made rows: 100 steps an epoch, 0.01 s a step."""

    def __init__(self, path: Path, total: int, members: int = 1) -> None:
        members_ = tuple({"member": m, "seed": m, "values": {}} for m in range(members))
        self.layout = Layout.of(accuracy=True, members=members_, layers=({"name": "a", "kind": "linear"},))
        self.layout.save(path)
        (path / "run.json").write_text(json.dumps({"steps_per_epoch": 100, "total_steps": total, "started": 1.0}))
        self.path, self.events = path, Events(path)
        self.writer = MetricsWriter(path, 0)
        self.step = 0

    def train(self, steps: int, **columns: float) -> None:
        at = np.arange(self.step, self.step + steps)
        rows = np.full((steps, len(self.layout.members), len(self.layout.columns)), np.nan, np.float32)
        made = {"loss": 2 / (1 + at / 50), "accuracy": 1 - 1 / (1 + at / 50), "lr": 0.1 + 0 * at, "time": at * 0.01}
        for name, values in {**made, **columns}.items():
            rows[:, :, self.layout.columns.index(name)] = np.broadcast_to(values, at.shape)[:, None]
        every = at % 10 == 0
        if "grad_norm" not in columns:
            rows[every, :, self.layout.columns.index("grad_norm")] = 1.5
        self.writer.append(rows)
        self.step += steps

    def follow(self) -> Follower:
        return Follower(RunFolder(self.path))


def test_a_run_without_rows_has_no_curves(tmp_path: Path) -> None:
    follower = Follower(RunFolder(tmp_path))
    follower_begun = _Run(tmp_path, 400).follow()
    for each in (follower, follower_begun):
        for curve in (curves.loss_curve, curves.accuracy_curve, curves.grad_norm_curve, curves.throughput_curve):
            assert curve(each, 100).lines == ()
    assert curves.rate_curve(follower, 100).lines == ()


def test_loss_with_validation(tmp_path: Path) -> None:
    run = _Run(tmp_path, 400)
    run.train(250)
    for step, loss in ((100, 0.9), (200, 0.7)):
        run.events.write("evaluation", step=step, split="validation", member=0, loss=loss, accuracy=0.5)
        run.events.write("evaluation", step=step, split="test", member=0, loss=99.0)
    data = curves.loss_curve(run.follow(), 100)
    usual, train, validation = data.lines
    assert (usual.style, train.style, validation.style) == ("spread", "train", "validation")
    assert data.x_range == (0, 250)
    assert usual.high.max() == pytest.approx(2.0)  # the greatest of the first sixteen steps
    assert usual.low.min() == pytest.approx(2 / (1 + 239 / 50))
    assert validation.xs is not None
    assert validation.xs.tolist() == [100, 200]
    assert validation.high.tolist() == [0.9, 0.7]
    assert train.latest == pytest.approx(float(np.mean(2 / (1 + np.arange(150, 250) / 50))))  # of 100 steps
    assert (data.best.x, data.best.value) == (200, 0.7) if data.best is not None else False
    assert data.exact is not None
    at, values = data.exact(150.2)
    assert (at, values["val"]) == (151, 0.9)
    assert values["train"] == pytest.approx(2 / (1 + 151 / 50))  # as measured, not as smoothed


def test_the_cursor_reads_the_last_gradient_that_was_measured(tmp_path: Path) -> None:
    """Behind the last measured step the title had no number, where the table of layers had one."""
    run = _Run(tmp_path, 400)
    run.train(248)
    data = curves.grad_norm_curve(run.follow(), 1000)
    assert data.exact is not None
    assert [list(data.exact(x)[1].values()) for x in (240.0, 247.0)] == [[1.5], [1.5]]


def test_without_smoothing_there_is_one_line_of_extremes(tmp_path: Path) -> None:
    run = _Run(tmp_path, 100_000)
    run.train(60_000)
    run.train(1, loss=77.0)
    run.train(5)
    (train,) = curves.loss_curve(run.follow(), 90, None, 0.0).lines
    assert len(train.high) <= 90
    assert train.high.max() == 77


@pytest.mark.parametrize(("mode", "end", "at"), [("step", 200.0, 100.0), ("epoch", 2.0, 1.0), ("time", 2.0, 1.0)])
def test_by_step_epoch_and_time(tmp_path: Path, mode: str, end: float, at: float) -> None:
    run = _Run(tmp_path, 400)
    run.train(200)
    run.events.write("command", step=100, command="set", arguments={"edits": ["lr_scale=0.5"]})
    data = curves.loss_curve(run.follow(), 64, None, 0.6, mode)
    assert (data.x_unit, data.x_range) == (mode, (0, end))
    assert [(mark.x, mark.text) for mark in data.marks] == [(pytest.approx(at), "lr ×0.5")]
    xs = data.lines[-1].xs
    assert xs is not None
    assert (np.diff(xs) > 0).all()
    assert xs[-1] == pytest.approx(end, rel=0.02)


def test_epochs_after_the_batch_size_has_changed(tmp_path: Path) -> None:
    run = _Run(tmp_path, 400)
    run.events.write("batch_size", step=100, epoch=1, size=64, per_epoch=50, total_steps=250)
    run.train(200)
    data = curves.loss_curve(run.follow(), 500, None, 0.0, "epoch")
    assert data.x_range == (0, 3)
    xs = data.lines[0].xs
    assert xs is not None
    assert xs[[50, 100, 150]].tolist() == pytest.approx([0.5, 1, 2])
    assert curves.loss_curve(run.follow(), 500).x_range == (0, 200)


def test_all_that_was_changed_at_a_step_stands_at_its_mark(tmp_path: Path) -> None:
    """Of several commands given to a paused run the last one alone would be seen."""
    run = _Run(tmp_path, 400)
    run.train(200)
    for edit in ("lr_scale=0.5", "sigma=2"):
        run.events.write("command", step=100, command="set", arguments={"edits": [edit]})
    run.events.write("command", step=100, command="action", arguments={"name": "reset"})
    data = curves.loss_curve(run.follow(), 64, None, 0.6)
    assert [mark.text for mark in data.marks] == ["lr ×0.5 · sigma 2 · reset"]


@pytest.mark.parametrize(("done", "planned", "end"), [(10, 400, 50), (10, 24, 24), (24, 24, 24), (60, 400, 60)])
def test_the_axis_of_a_short_run_ends_where_it_does(done: int, planned: int, end: int, tmp_path: Path) -> None:
    """Half of the chart would be empty, as if the run had stopped early."""
    run = _Run(tmp_path, planned)
    run.train(done)
    assert curves.loss_curve(run.follow(), 100).x_range == (0, end)


@pytest.mark.slow
@pytest.mark.parametrize("zoom", [None, (20_000.0, 65_000.0)])
def test_evaluations_that_share_a_dot_are_drawn_as_their_extremes(
    zoom: tuple[float, float] | None, tmp_path: Path
) -> None:
    """A validation loss that leaps for a moment would not be seen."""
    run = _Run(tmp_path, 100_000)
    run.train(100_000)
    steps = np.arange(3, 100_000, 7)
    losses = np.random.default_rng(0).random(len(steps))
    for step, loss in zip(steps.tolist(), losses.tolist(), strict=True):
        run.events.write("evaluation", step=step, split="validation", member=0, loss=loss)
    validation = curves.loss_curve(run.follow(), 90, zoom, 0.0).lines[-1]
    low, high = (0, 100_000) if zoom is None else map(int, zoom)
    dots = (steps - low) * 90 // (high - low)
    shown = [losses[dots == dot] for dot in range(90)]
    inside = slice(None) if zoom is None else slice(1, -1)  # less the one more on each side
    assert validation.low[inside].tolist() == [each.min() for each in shown]
    assert validation.high[inside].tolist() == [each.max() for each in shown]
    assert validation.xs is not None
    assert validation.xs[inside].tolist() == [steps[dots == dot][-1] for dot in range(90)]


def test_zoomed_to_single_steps(tmp_path: Path) -> None:
    run = _Run(tmp_path, 5000)
    run.train(5000)
    data = curves.loss_curve(run.follow(), 100, (1000.0, 1010.0), 0.0)
    xs = data.lines[0].xs
    assert xs is not None
    assert set(range(1000, 1011)) <= set(xs.tolist())
    assert data.x_range == (1000, 1010)
    assert curves.loss_curve(run.follow(), 100, (6000.0, 7000.0), 0.6).lines is not None


def test_losses_that_are_not_finite_are_gaps(tmp_path: Path) -> None:
    run = _Run(tmp_path, 1000)
    run.train(100)
    run.train(10, loss=math.nan)
    run.train(90)
    data = curves.loss_curve(run.follow(), 400)
    assert data.gaps == (100.0,)
    train = curves.loss_curve(run.follow(), 400, smoothing=0.0).lines[0]
    assert np.isnan(train.low).sum() == 10


def test_a_loss_that_is_no_number_now_is_not_the_last_that_was_one(tmp_path: Path) -> None:
    run = _Run(tmp_path, 400)
    run.train(50)
    run.train(20, loss=math.nan)
    for smoothing in (0.0, 0.6):
        for curve in (curves.loss_curve, curves.grad_norm_curve):
            assert math.isnan(curve(run.follow(), 100, smoothing=smoothing).lines[-1].latest or 0.0)
    run.train(1)
    assert curves.grad_norm_curve(run.follow(), 100, smoothing=0.0).lines[-1].latest == 1.5
    assert curves.loss_curve(run.follow(), 100, smoothing=0.0).lines[-1].latest == pytest.approx(2 / (1 + 70 / 50))


def test_not_measured_is_no_gap(tmp_path: Path) -> None:
    run = _Run(tmp_path, 1000)
    run.train(300)
    data = curves.grad_norm_curve(run.follow(), 1000)
    assert data.gaps == ()
    assert not any(np.isnan(line.low).any() for line in data.lines)
    assert data.lines[-1].latest == 1.5


def test_a_norm_is_the_last_measured_and_its_curve_the_measured_points(tmp_path: Path) -> None:
    """A gradient of 0.006 was said to be 1.5: the average of the few numbers of a short run was shown for it."""
    run = _Run(tmp_path, 1000)
    norms = np.full(300, np.nan)
    norms[::50] = [4.0, 1.0, 0.3, 0.1, 0.03, 0.006]
    run.train(300, grad_norm=norms)  # type: ignore[arg-type]
    (line,) = curves.grad_norm_curve(run.follow(), 1000, smoothing=0.9).lines
    assert line.high.tolist() == pytest.approx([4.0, 1.0, 0.3, 0.1, 0.03, 0.006])
    assert line.latest == pytest.approx(0.006)


def test_many_norms_are_smoothed_as_their_axis_is(tmp_path: Path) -> None:
    """On a log axis one norm of 100 among many of 0.01 would lift the curve for long."""
    run = _Run(tmp_path, 1000)
    norms = np.full(900, 0.01)
    norms[500] = 100.0
    run.train(900, grad_norm=norms)  # type: ignore[arg-type]
    ends = [
        float(curves.grad_norm_curve(run.follow(), 2000, smoothing=0.9, log=log).lines[-1].high[520])
        for log in (False, True)
    ]
    assert ends[0] > 0.5
    assert ends[1] < 0.05


def test_an_axis_is_fitted_to_the_lines() -> None:
    """The first steps of an accuracy, from 10 to 90 %, left the rest of the run a fifth of the chart."""
    xs = np.arange(1000.0)
    accuracy = 99 - 89 * np.exp(-xs / 20)
    batches = Line("", xs, accuracy * 0, accuracy * 0 + 100, "spread")
    data = ChartData((batches, Line("train", xs, accuracy, accuracy, "train")), x_range=(0, 1000), end=999.0)
    whole = draw.extent(data, Axis(0, 1000, ()), log=False)
    fitted = draw.extent(data, Axis(0, 1000, ()), log=False, fitted=True)
    assert whole == (pytest.approx(10.0), pytest.approx(99.0))
    assert fitted is not None
    assert fitted[0] > 98


def test_members_are_a_mean_and_a_band(tmp_path: Path) -> None:
    run = _Run(tmp_path, 1000, members=3)
    run.train(100)
    for member, loss in enumerate((1.0, 2.0, 3.0)):
        run.events.write("evaluation", step=100, split="validation", member=member, loss=loss)
    band, *each, mean, validation = curves.loss_curve(run.follow(), 50).lines
    assert (band.style, mean.style, validation.high.tolist()) == ("band", "train", [2.0])
    assert [line.style for line in each] == ["faint"] * 3


@pytest.mark.parametrize("hours", [0, 300, 1200])
def test_throughput_is_right_after_weeks_of_training(tmp_path: Path, hours: int) -> None:
    """Times in float32 are half a second apart by then, and the curve would jump between nothing and all."""
    run = _Run(tmp_path, 400_000)
    run.train(100_000, time=hours * 3600.0 + np.arange(100_000) * 1e-3)  # type: ignore[arg-type]
    (line,) = curves.throughput_curve(run.follow(), 400).lines
    assert len(line.high) >= 1
    assert line.high == pytest.approx(1000.0, rel=0.04)


def test_throughput_leaves_pauses_out(tmp_path: Path) -> None:
    run = _Run(tmp_path, 1000)
    run.train(400)
    (line,) = curves.throughput_curve(run.follow(), 60).lines
    np.testing.assert_allclose(line.high, 100, rtol=1e-2)


def test_the_rate_so_far_and_as_planned(tmp_path: Path) -> None:
    class Plan:
        total_steps = 400

        def rate(self, step: int) -> float:
            return 0.1 * (1 - step / 400)

    run = _Run(tmp_path, 400)
    run.train(100)
    data = curves.rate_curve(run.follow(), 80, plan=Plan())  # type: ignore[arg-type]
    past, planned = data.lines
    assert data.x_range == (0, 400)
    assert [mark.text for mark in data.marks] == ["now"]
    assert planned.xs is not None
    assert (planned.xs[0], planned.xs[-1]) == (100, 399)
    assert planned.high[0] == pytest.approx(0.075)
    assert past.latest == pytest.approx(0.1)
    assert data.exact is not None
    assert data.exact(50.0) == (50, {"rate": pytest.approx(0.1)})
    at, values = data.exact(200.0)
    assert (at, values["planned"]) == (200, pytest.approx(0.05, rel=0.05))


def test_marks_say_what_was_changed() -> None:
    events = [
        {"event": "command", "step": 3, "command": "set", "arguments": {"edits": ["optimizer.lr=0.01"]}},
        {
            "event": "command",
            "step": 4,
            "command": "set",
            "arguments": {"edits": ["train.batch_size=64", "lr_scale=2"]},
        },
        {"event": "command", "step": 5, "command": "pause", "arguments": {}},
        {"event": "command", "step": 6, "command": "checkpoint", "arguments": {}},
        {"event": "command", "step": 7, "command": "rewind", "arguments": {"to": None}},
        {"event": "anomaly", "step": 8, "what": "loss"},
        {"event": "command", "step": 9, "command": "set"},
    ]
    expected = [(3, "lr 0.01"), (4, "batch 64 lr ×2"), (7, "rewind"), (8, "✗ loss")]
    assert [mark[:2] for event in events if (mark := mark_of(event))] == expected


def test_the_first_steps_of_a_long_run_are_smoothed_as_those_of_a_short_one(tmp_path: Path) -> None:
    """Of a million planned steps the first thousand would seem to learn nothing: the curve would lag behind them."""
    latest = []
    for total in (1000, 1_000_000):
        (tmp_path / str(total)).mkdir()
        run = _Run(tmp_path / str(total), total)
        run.train(990)
        latest.append(curves.loss_curve(run.follow(), 100, smoothing=0.9).lines[-1].latest)
    assert latest[0] == pytest.approx(latest[1])
