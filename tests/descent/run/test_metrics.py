"""A person must see each step once, from the last time it was trained, whatever killed or resumed the run."""

import errno
import os
import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from descent.run.layout import Layout
from descent.run.metrics import Metrics, MetricsWriter


def _layout(run: Path, members: int = 1) -> Layout:
    layout = Layout.of(
        accuracy=True,
        members=tuple({"member": m, "seed": m, "values": {}} for m in range(members)),
        layers=({"name": "hidden", "kind": "linear 2 × 3"},),
    )
    layout.save(run)
    return layout


def _rows(layout: Layout, steps: range, value: float) -> np.ndarray:
    rows = np.full((len(steps), len(layout.members), len(layout.columns)), value, np.float32)
    rows[:, :, 0] = np.arange(steps.start, steps.stop)[:, None]
    return rows


def test_rows_come_back_as_written(tmp_path: Path) -> None:
    layout = _layout(tmp_path, members=2)
    writer = MetricsWriter(tmp_path, 0)
    writer.append(_rows(layout, range(3), 1.0))
    writer.append(_rows(layout, range(3, 5), 2.0))
    rows = Metrics(tmp_path).rows()
    assert rows.shape == (5, 2, len(layout.columns))
    assert rows[:, 1, 0].tolist() == [0, 1, 2, 3, 4]
    assert Metrics(tmp_path).column("accuracy", member=1).tolist() == [1, 1, 1, 2, 2]


def test_a_later_generation_voids_rows_from_its_first_step_on(tmp_path: Path) -> None:
    layout = _layout(tmp_path)
    MetricsWriter(tmp_path, 0).append(_rows(layout, range(10), 1.0))
    MetricsWriter(tmp_path, 4).append(_rows(layout, range(4, 6), 2.0))
    assert Metrics(tmp_path).column("accuracy").tolist() == [1, 1, 1, 1, 2, 2]
    MetricsWriter(tmp_path, 2).append(_rows(layout, range(2, 3), 3.0))
    assert Metrics(tmp_path).column("accuracy").tolist() == [1, 1, 3]


def test_going_back_shows_at_once_even_before_the_first_new_row(tmp_path: Path) -> None:
    layout = _layout(tmp_path)
    MetricsWriter(tmp_path, 0).append(_rows(layout, range(10), 1.0))
    MetricsWriter(tmp_path, 4)
    assert len(Metrics(tmp_path).rows()) == 4


def test_a_torn_last_row_is_left_out(tmp_path: Path) -> None:
    layout = _layout(tmp_path)
    writer = MetricsWriter(tmp_path, 0)
    writer.append(_rows(layout, range(3), 1.0))
    with writer.path.open("r+b") as file:
        file.truncate(writer.path.stat().st_size - 5)
    assert len(Metrics(tmp_path).rows()) == 2


def test_rows_that_a_disk_lost_are_gaps_and_move_no_other_row(tmp_path: Path) -> None:
    layout = _layout(tmp_path)
    MetricsWriter(tmp_path, 0).append(_rows(layout, range(2), 1.0))
    MetricsWriter(tmp_path, 4).append(_rows(layout, range(4, 6), 2.0))
    loss = Metrics(tmp_path).column("loss")
    assert loss[[0, 1, 4, 5]].tolist() == [0, 1, 4, 5]
    assert np.isnan(loss[2:4]).all()


def test_a_run_that_has_not_begun_has_no_rows(tmp_path: Path) -> None:
    assert len(Metrics(tmp_path).rows()) == 0
    assert len(Metrics(tmp_path).column("loss")) == 0


def test_foreign_files_in_the_folder_are_passed_over(tmp_path: Path) -> None:
    layout = _layout(tmp_path)
    MetricsWriter(tmp_path, 0).append(_rows(layout, range(2), 1.0))
    (tmp_path / "metrics" / "notes-x.f32").write_text("mine")
    assert len(Metrics(tmp_path).rows()) == 2


def test_the_last_rows_alone_are_those_of_the_whole(tmp_path: Path) -> None:
    """A list of runs would show another loss than the run itself."""
    layout = _layout(tmp_path, members=2)
    MetricsWriter(tmp_path, 0).append(_rows(layout, range(10), 1.0))
    MetricsWriter(tmp_path, 6).append(_rows(layout, range(6, 9), 2.0))
    MetricsWriter(tmp_path, 4).append(_rows(layout, range(4, 7), 3.0))
    metrics = Metrics(tmp_path)
    whole = metrics.rows()
    assert len(metrics) == len(whole) == 7
    for first in range(9):
        assert metrics.rows(first).tobytes() == whole[first:].tobytes()


@pytest.mark.slow
def test_one_column_of_a_long_run_takes_the_memory_of_one_column(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    layout = _layout(tmp_path)
    MetricsWriter(tmp_path, 0).append(_rows(layout, range(100_000), 1.0))
    MetricsWriter(tmp_path, 40_000).append(_rows(layout, range(40_000, 90_000), 2.0))
    monkeypatch.setattr("descent.run.metrics._PIECE", 1 << 16)
    tracemalloc.start()
    column = Metrics(tmp_path).column("accuracy")
    kept, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert (column.sum(), len(column)) == (140_000, 90_000)
    assert kept < 2 * column.nbytes
    assert peak < 4 * column.nbytes  # all rows are 15 times as large
    assert Metrics(tmp_path).columns(["lr", "loss"]).tolist()[::45_000] == [[1, 0], [2, 45_000]]
    with pytest.raises(KeyError, match="nothing"):
        Metrics(tmp_path).columns(["loss", "nothing"])


def test_after_a_full_disk_no_row_takes_another_s_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows written behind a torn one would be read as those of other steps."""
    layout = _layout(tmp_path)
    writer, write = MetricsWriter(tmp_path, 0), os.write

    def full(file: int, data: memoryview) -> int:
        if len(data) < 100:
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(file, data[:-50])

    with monkeypatch.context() as patched:
        patched.setattr(os, "write", full)
        with pytest.raises(OSError, match="No space left"):
            writer.append(_rows(layout, range(5), 1.0))
    with pytest.raises(OSError, match="No space left"):
        writer.append(_rows(layout, range(5, 6), 1.0))
    assert Metrics(tmp_path).column("loss").tolist() == [0, 1, 2]
