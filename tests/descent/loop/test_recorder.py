"""Every step's numbers must reach the run folder, in order, however fast the steps come."""

from pathlib import Path

import numpy as np
import pytest
import torch

from descent.common.arrays import Rows, Seconds
from descent.loop.recorder import CAPACITY, Recorder
from descent.run.layout import Layout
from descent.run.metrics import Metrics, MetricsWriter
from engine.training.monitor import Monitor

CPU = torch.device("cpu")


def _layout(run: Path, *, accuracy: bool = True, members: int = 1) -> Layout:
    layout = Layout.of(
        accuracy=accuracy,
        members=tuple({"member": m, "seed": m, "values": {}} for m in range(members)),
        layers=({"name": "0", "kind": "linear"}, {"name": "2", "kind": "linear"}),
    )
    layout.save(run)
    return layout


@pytest.mark.slow
def test_more_steps_than_the_ring_holds_all_arrive_in_order(tmp_path: Path) -> None:
    layout = _layout(tmp_path)
    blocks: list[int] = []
    recorder = Recorder(MetricsWriter(tmp_path, 0), layout, CPU, 0, lambda first, rows, seconds: blocks.append(first))
    steps = 2 * CAPACITY + 7
    for step in range(steps):
        recorder.record(torch.tensor(float(step)), torch.tensor(0.5), 0.1, step * 1e-3)
    recorder.flush()
    metrics = Metrics(tmp_path)
    assert np.array_equal(metrics.column("loss"), np.arange(steps, dtype=np.float32))
    assert metrics.column("time")[-1] == pytest.approx((steps - 1) * 1e-3)
    assert (metrics.column("lr") == np.float32(0.1)).all()
    assert blocks == sorted(blocks)


def test_what_was_not_measured_at_a_step_is_nan_there_and_only_there(tmp_path: Path) -> None:
    layout = _layout(tmp_path)
    recorder = Recorder(MetricsWriter(tmp_path, 0), layout, CPU, 0, lambda first, rows, seconds: None)
    for step in range(5):
        if step % 2 == 0:
            recorder.norms(torch.tensor(3.0 + step), torch.tensor(1.0))
            recorder.layers(torch.arange(12.0).view(2, 6) + step)
        recorder.record(torch.tensor(0.0), torch.tensor(0.0), 0.1, 0.0)
        if step == 2:
            recorder.flush()  # a slot that is used again must not show its old numbers
    recorder.flush()
    metrics = Metrics(tmp_path)
    assert np.isnan(metrics.column("grad_norm")).tolist() == [False, True, False, True, False]
    assert metrics.column("grad_norm")[[0, 2, 4]].tolist() == [3, 5, 7]
    assert metrics.column("clipped_norm")[0] == 1
    assert metrics.column("layer.0.grad_norm")[[0, 4]].tolist() == [0, 4]
    assert metrics.column("layer.2.non_finite")[0] == 11


def test_members_keep_their_own_numbers(tmp_path: Path) -> None:
    layout = _layout(tmp_path, accuracy=False, members=3)
    recorder = Recorder(MetricsWriter(tmp_path, 0), layout, CPU, 0, lambda first, rows, seconds: None)
    recorder.norms(torch.tensor([1.0, 2.0, 3.0]), torch.tensor([1.0, 1.0, 1.0]))
    recorder.record(torch.tensor([0.1, 0.2, 0.3]), None, 0.1, 0.0)
    recorder.flush()
    metrics = Metrics(tmp_path)
    assert metrics.column("loss", member=2)[0] == pytest.approx(0.3)
    assert metrics.column("grad_norm", member=1)[0] == 2


def test_the_first_step_that_is_not_finite_is_named(tmp_path: Path) -> None:
    layout = _layout(tmp_path)
    monitor = Monitor(layout, gradients_may_overflow=False)
    rows = np.full((5, 1, len(layout.columns)), np.nan, np.float32)
    rows[:, :, 0] = [[1.0], [1.0], [1.0], [np.nan], [np.nan]]
    rows[2, 0, layout.columns.index("layer.0.non_finite")] = 1
    rows[2, 0, layout.columns.index("layer.2.non_finite")] = 1
    monitor.rows(100, rows, np.arange(5.0))
    assert monitor.non_finite is not None
    assert monitor.non_finite.step == 102
    assert monitor.non_finite.what == "gradient of layer 2"  # backward reaches the last layer first

    monitor = Monitor(layout, gradients_may_overflow=True)
    monitor.rows(100, rows, np.arange(5.0))
    assert monitor.non_finite is not None
    assert (monitor.non_finite.step, monitor.non_finite.what) == (103, "loss")


def test_the_rate_is_right_after_weeks_of_training(tmp_path: Path) -> None:
    """In float32, after 1,200 hours, 500 steps share one time, and the rate shown would jump."""
    layout, rates = _layout(tmp_path), []
    monitor = Monitor(layout, gradients_may_overflow=False)
    began = 1200 * 3600.0

    def look(first: int, rows: Rows, seconds: Seconds) -> None:
        monitor.rows(first, rows, seconds)
        rates.append(monitor.steps_per_second)

    recorder = Recorder(MetricsWriter(tmp_path, 0), layout, CPU, 0, look)
    for block in range(20):
        for step in range(block * 100, block * 100 + 100):
            recorder.record(torch.tensor(0.5), torch.tensor(0.5), 0.1, began + (step + 1) * 1e-3)
        recorder.drain()
    assert rates[1:] == pytest.approx([1000.0] * 20, rel=0.02)  # the first row comes alone
