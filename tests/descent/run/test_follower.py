"""What a client sees of a growing run must be what the run's folder holds, neither stale nor torn nor voided.

A number that is looked for in the last rows alone must be the same as that of the whole series.
"""

import shutil
import socket
from pathlib import Path

import numpy as np
import pytest

from descent.common.files import write_json
from descent.run.events import Events
from descent.run.folder import RunFolder, create
from descent.run.follower import Follower
from descent.run.layout import Layout
from descent.run.metrics import Metrics, MetricsWriter


def _layout(run: Path, members: int = 1, layers: int = 1) -> Layout:
    layout = Layout.of(
        accuracy=True,
        members=tuple({"member": m, "seed": m, "values": {}} for m in range(members)),
        layers=tuple({"name": f"layer{i}", "kind": "linear 2 × 3"} for i in range(layers)),
    )
    layout.save(run)
    return layout


def _rows(layout: Layout, first: int, last: int, seed: int = 0) -> np.ndarray:
    shape = last - first, len(layout.members), len(layout.columns)
    return np.random.default_rng([seed, first]).normal(size=shape).astype(np.float32)


def _agrees(follower: Follower) -> None:
    """Every column that is followed is the one that the whole folder holds."""
    metrics = Metrics(follower.folder.path)
    assert follower.step == len(metrics)
    for (column, member), pyramid in follower._series.items():
        if isinstance(member, int):
            np.testing.assert_array_equal(pyramid.values(), metrics.column(column, member))


def test_a_run_is_followed_from_before_its_first_row(tmp_path: Path) -> None:
    follower = Follower(RunFolder(tmp_path))
    assert (follower.step, follower.layout, follower.facts, follower.state) == (0, None, {}, "starting")
    assert not follower.look()
    assert len(follower.series("loss")) == 0
    layout = _layout(tmp_path)
    assert follower.look()
    loss = follower.series("loss")
    writer = MetricsWriter(tmp_path, 0)
    for first in (0, 5, 6):
        writer.append(_rows(layout, first, first + 5))
        assert follower.look()
        assert not follower.look()
        _agrees(follower)
    assert follower.series("loss") is loss
    assert follower.latest("loss") == loss.latest() == loss.values()[-1]


def test_a_column_asked_for_later_has_its_past(tmp_path: Path) -> None:
    layout = _layout(tmp_path, members=2)
    MetricsWriter(tmp_path, 0).append(_rows(layout, 0, 30))
    MetricsWriter(tmp_path, 10).append(_rows(layout, 10, 15, seed=1))
    writer = MetricsWriter(tmp_path, 12)
    writer.append(_rows(layout, 12, 14, seed=2))
    follower = Follower(RunFolder(tmp_path))
    follower.want(["loss", "lr"], 1)
    writer.append(_rows(layout, 14, 20, seed=2))
    follower.series("accuracy")  # as of the last look: all columns are as long
    assert {len(pyramid) for pyramid in follower._series.values()} == {14}
    follower.look()
    _agrees(follower)
    assert len(follower.series("grad_norm", 5)) == len(follower.series("nothing")) == 0


@pytest.mark.parametrize("to", [0, 3, 8, 11, 14])
def test_a_rewind_while_it_is_followed(tmp_path: Path, to: int) -> None:
    layout = _layout(tmp_path)
    MetricsWriter(tmp_path, 0).append(_rows(layout, 0, 10))
    second = MetricsWriter(tmp_path, 8)
    second.append(_rows(layout, 8, 12, seed=1))
    follower = Follower(RunFolder(tmp_path))
    loss = follower.series("loss")
    second.append(_rows(layout, 12, 14, seed=1))  # not seen before the rewind
    third = MetricsWriter(tmp_path, to)
    assert follower.look()
    assert follower.step == len(loss) == to
    third.append(_rows(layout, to, to + 1, seed=2))
    follower.look()
    _agrees(follower)


def test_two_rewinds_between_two_looks(tmp_path: Path) -> None:
    layout = _layout(tmp_path)
    MetricsWriter(tmp_path, 0).append(_rows(layout, 0, 20))
    follower = Follower(RunFolder(tmp_path))
    follower.want(["loss", "time"])
    MetricsWriter(tmp_path, 5).append(_rows(layout, 5, 40, seed=1))
    MetricsWriter(tmp_path, 30).append(_rows(layout, 30, 33, seed=2))
    follower.look()
    _agrees(follower)


def test_a_torn_row_waits_until_it_is_whole(tmp_path: Path) -> None:
    layout = _layout(tmp_path)
    writer = MetricsWriter(tmp_path, 0)
    data = _rows(layout, 0, 4).tobytes()
    follower = Follower(RunFolder(tmp_path))
    loss = follower.series("loss")
    with writer.path.open("ab", buffering=0) as file:
        for first in range(0, len(data), 50):
            file.write(data[first : first + 50])
            follower.look()
            _agrees(follower)
    assert len(loss) == 4


def test_rows_that_a_disk_lost_are_gaps_and_move_no_other(tmp_path: Path) -> None:
    layout = _layout(tmp_path)
    MetricsWriter(tmp_path, 0).append(_rows(layout, 0, 3))
    MetricsWriter(tmp_path, 5).append(_rows(layout, 5, 8))
    follower = Follower(RunFolder(tmp_path))
    assert np.isnan(follower.series("loss").values()[3:5]).all()
    _agrees(follower)


def test_not_finite_numbers_are_kept(tmp_path: Path) -> None:
    layout = _layout(tmp_path)
    rows = _rows(layout, 0, 5)
    rows[2, :, 0], rows[3, :, 0] = np.nan, np.inf
    MetricsWriter(tmp_path, 0).append(rows)
    loss = Follower(RunFolder(tmp_path)).series("loss")
    np.testing.assert_array_equal(loss.values(), rows[:, 0, 0])
    assert loss.envelope(np.array([2, 4]))[1].tolist() != [np.inf]


def test_members_in_common(tmp_path: Path) -> None:
    """A member that diverged would take the mean of all with it."""
    layout = _layout(tmp_path, members=3)
    rows = _rows(layout, 0, 6)
    rows[2, 1, 0], rows[4, :, 0] = np.inf, np.nan
    MetricsWriter(tmp_path, 0).append(rows[:3])
    follower = Follower(RunFolder(tmp_path))
    low, mean, high = follower.band("loss")
    assert mean is follower.series("loss", "mean")
    MetricsWriter(tmp_path, 3).append(rows[3:])
    follower.look()
    loss = np.where(np.isfinite(rows[:, :, 0]), rows[:, :, 0], np.nan)
    for step in (0, 1, 2, 3, 5):
        expected = np.nanmin(loss[step]), np.nanmean(loss[step]), np.nanmax(loss[step])
        assert [float(p.values()[step]) for p in (low, mean, high)] == pytest.approx(expected, rel=1e-6)
    assert all(np.isnan(pyramid.values()[4]) for pyramid in (low, mean, high))


def test_events_and_state_as_the_folder_tells_them(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    write_json(tmp_path / "run.json", {"host": socket.gethostname(), "total_steps": 9, "started": 1.0})
    events = Events(folder.path)
    follower = Follower(folder)
    assert follower.facts["total_steps"] == 9
    for step in range(4):
        events.write("evaluation", step=step, split="validation", loss=1.0)
        log = events.size() if step == 1 else 0
        assert follower.look()
    events.write("command", step=2, command="set", arguments={})
    events.write("rewound", to=1, log=log)
    events.state("finished", step=1)
    follower.look()
    assert list(follower.events) == folder.events()
    assert follower.rewinds == 1
    assert follower.state == folder.state() == "finished"
    assert not follower.look()


def test_a_worker_that_vanished_is_lost(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    Events(folder.path).state("running", step=0)
    follower = Follower(folder)
    assert follower.state == folder.state() == "lost"
    write_json(tmp_path / "run.json", {"host": "elsewhere", "started": 1.0})
    follower.look()
    assert follower.state == folder.state() == "running"  # of another machine only its own words are known


@pytest.mark.parametrize(
    ("first", "then", "state"),
    [("node1", socket.gethostname(), "lost"), (socket.gethostname(), "node2", "running")],
)
def test_a_run_that_was_queued_again_is_of_the_node_that_took_it_up(
    tmp_path: Path, first: str, then: str, state: str
) -> None:
    """A worker killed here would seem to train elsewhere; one that trains elsewhere would be offered for resuming."""
    folder = RunFolder(tmp_path)
    write_json(tmp_path / "run.json", {"host": first, "started": 1.0})
    events = Events(folder.path)
    events.state("starting", host=first)
    follower = Follower(folder)
    assert follower.host == folder.host() == first
    events.state("starting", host=then)
    events.write("resumed", to=0)  # voids no start
    events.state("running", step=0)
    follower.look()
    again = Follower(folder)
    assert again.state == follower.state == folder.state() == state
    assert again.host == follower.host == folder.host() == then


def test_a_folder_that_is_deleted_while_it_is_looked_at(tmp_path: Path) -> None:
    """Someone tidies up in another shell: the screen must stay, not crash."""
    run = tmp_path / "run"
    run.mkdir()
    MetricsWriter(run, 0).append(_rows(_layout(run), 0, 3))
    follower = Follower(RunFolder(run))
    loss = follower.series("loss")
    shutil.rmtree(run)
    follower.look()
    assert (follower.state, follower.step, len(loss)) == ("lost", 3, 3)
    assert len(follower.series("accuracy")) in (0, 3)


def test_what_is_no_longer_kept_is_read_again_from_the_rows_that_count(tmp_path: Path) -> None:
    layout = _layout(tmp_path, members=2)
    MetricsWriter(tmp_path, 0).append(_rows(layout, 0, 90_000))
    follower = Follower(RunFolder(tmp_path))
    follower.want(["loss", "time"], 0, "mean")
    for start, end in ((60_000, 130_000), (20_000, 30_000), (25_000, 200_000)):
        MetricsWriter(tmp_path, start).append(_rows(layout, start, end, seed=start))
        follower.look()
        _agrees(follower)
    rows = Metrics(tmp_path).rows(19_000, 31_000)[:, :, 0]
    np.testing.assert_allclose(follower.series("loss", "mean").values(19_000, 31_000), rows.mean(axis=1), atol=1e-6)
    edges = np.arange(19_000, 31_001, 100)
    _, high = follower.series("loss").envelope(edges)
    np.testing.assert_array_equal(high, rows[:, 0].reshape(-1, 100).max(axis=1))
    shutil.rmtree(tmp_path / "metrics")
    assert np.isnan(follower.series("loss").values(90_000, 90_010)).all()


@pytest.mark.slow
def test_a_million_rows(tmp_path: Path) -> None:
    layout = _layout(tmp_path)
    writer = MetricsWriter(tmp_path, 0)
    steps = 1_000_003
    rows = np.full((steps, 1, len(layout.columns)), np.nan, np.float32)
    rows[:, 0, 0] = np.sin(np.arange(steps) / 1e4)
    rows[777_777, 0, 0] = 50
    rows[::100, 0, layout.columns.index("grad_norm")] = 1
    writer.append(rows)
    follower = Follower(RunFolder(tmp_path))
    follower.want(["loss", "grad_norm"])
    np.testing.assert_array_equal(follower.series("loss").values(), rows[:, 0, 0])
    low, high = follower.series("loss").envelope(np.linspace(0, steps, 200).astype(np.int64))
    assert high.max() == 50
    assert low.min() == rows[:, 0, 0].min()
    assert follower.latest("grad_norm") == 1


LAYOUT = Layout.of(
    accuracy=False, members=({"member": 0, "seed": 0, "values": {}},), layers=({"name": "head", "kind": "linear"},)
)
RATIO = "layer.head.update_ratio"


def write(run: RunFolder, start: int, ratios: list[float]) -> None:
    rows = np.full((len(ratios), 1, len(LAYOUT.columns)), np.nan, np.float32)
    rows[:, 0, LAYOUT.columns.index(RATIO)] = ratios
    writer = MetricsWriter(run.path, start)
    writer.append(rows)
    writer.close()


def made(tmp_path: Path) -> RunFolder:
    run = create(tmp_path, "mine", "", {})
    LAYOUT.save(run.path)
    return run


def test_it_follows_the_run_and_passes_over_what_was_not_measured(tmp_path: Path) -> None:
    run = made(tmp_path)
    write(run, 0, [1.0, float("nan"), 3.0, float("nan")])
    follower = Follower(run)
    assert follower.latest(RATIO) == 3
    assert follower.latest("layer.head.dead") is None
    write(run, 4, [float("nan"), 5.0])
    follower.look()
    assert follower.latest(RATIO) == follower.series(RATIO).latest() == 5


def test_a_rewind_takes_it_back(tmp_path: Path) -> None:
    """A layer's numbers would stay those of a future that was left."""
    run = made(tmp_path)
    write(run, 0, [1.0, 2.0, 3.0, 4.0])
    follower = Follower(run)
    assert follower.latest(RATIO) == 4
    write(run, 2, [])
    follower.look()
    assert follower.latest(RATIO) == 2
