"""A run is read beside the screen, which never waits for it."""

import json
import threading
from pathlib import Path

import numpy as np
import pytest

from descent.run.follower import Follower
from descent.run.layout import Layout
from descent.run.metrics import Metrics, MetricsWriter
from tests.helpers.recorded_run import STEPS, record
from tests.helpers.waiting import DEADLINE
from tui.data.reader import Reader, SnapshotBuilder
from tui.data.snapshot import Snapshot


def test_charts_do_not_wait_for_the_first_look(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each of them would stop the keys for a while, again and again, as long as a large run is read."""
    begun, go_on, seen = threading.Event(), threading.Event(), threading.Event()
    take = SnapshotBuilder.take

    def slow(builder: SnapshotBuilder, trends: tuple[str, ...] = ()) -> Snapshot:
        begun.set()
        assert go_on.wait(DEADLINE)
        return take(builder, trends)

    monkeypatch.setattr(SnapshotBuilder, "take", slow)
    reader = Reader(record(tmp_path), 10.0, lambda _: seen.set(), pytest.fail)
    reader.start()
    try:
        assert begun.wait(DEADLINE)
        assert reader.follower is None
        go_on.set()
        assert seen.wait(DEADLINE)
        with reader.looking() as follower:
            assert follower is not None
            assert follower.step == STEPS
    finally:
        go_on.set()
        reader.end()


def test_the_rate_that_a_loop_has_foreseen_is_the_planned_one(tmp_path: Path) -> None:
    """The chart would end at now, and the dial would not know what it multiplies."""
    run = record(tmp_path)
    facts = json.loads((run.path / "run.json").read_text())
    (run.path / "run.json").write_text(json.dumps(facts | {"task": "loop"}))
    told = [
        {"event": "rates", "step": 10, "at": [10, 2149], "rates": [0.2, 0.0]},
        {"event": "command", "step": 12, "command": "set", "arguments": {"edits": ["lr_scale=0.5"]}},
    ]
    run.events_file.write_text("".join(json.dumps({"time": 1.0, **event}) + "\n" for event in told))
    follower = Follower(run)
    follower.look()
    builder = SnapshotBuilder(follower)
    builder.take()
    assert builder.plan is not None
    assert (builder.plan.total_steps, builder.plan.hand, builder.plan.rate(10)) == (2150, 0.5, 0.1)
    with run.events_file.open("a") as log:
        log.write('{"time": 1.0, "event": "rates", "step": 20, "at": [], "rates": []}\n')
    follower.look()
    builder.take()
    assert builder.plan is None


@pytest.mark.parametrize("hours", [0, 1, 300])
def test_the_speed_is_that_of_three_seconds_however_long_the_run_has_trained(hours: int, tmp_path: Path) -> None:
    """Float32 holds the times of a long run in eighths of a second: 64 steps would take none, or one of them."""
    run = record(tmp_path)
    layout = Layout.load(run.path)
    assert layout is not None
    rows = np.repeat(Metrics(run.path).rows(0, 1), 20_000, axis=0)
    steps = np.arange(len(rows))
    took = steps // 160 * 0.1 + steps % 160 * 0.0001  # 1,600 steps a second, in bursts
    rows[:, 0, layout.columns.index("time")] = hours * 3600 + took
    writer = MetricsWriter(run.path, 0)
    writer.append(rows)
    writer.close()
    follower = Follower(run)
    follower.look()
    assert SnapshotBuilder(follower).take().speed == pytest.approx(1600, rel=0.04)


def test_what_charts_show_at_once() -> None:
    """After one step of a paused run the chart would be a second late; each step of a running one would draw it."""
    paused, running = (Snapshot("digits-mlp", "mine", state, step=5) for state in ("paused", "running"))
    assert paused.news == Snapshot("digits-mlp", "mine", "paused", step=5).news
    assert paused.news != Snapshot("digits-mlp", "mine", "paused", step=6).news
    assert paused.news != running.news
    assert running.news == Snapshot("digits-mlp", "mine", "running", step=6).news
    assert running.news != Snapshot("digits-mlp", "mine", "running", step=5, member=1).news
