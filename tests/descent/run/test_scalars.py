"""What a loop gives by name must be found again, at its step, after a rewind and after a crash in mid-write."""

from pathlib import Path

import numpy as np
import pytest

from descent.common.errors import DescentError
from descent.run import scalars
from descent.run.layout import Layout, generations
from descent.run.metrics import MetricsWriter
from descent.run.scalars import RECORD, Names, ScalarFollower, ScalarWriter


def _generation(run: Path, start: int, steps: int, **given: list[tuple[int, float]]) -> None:
    """Write a generation of rows, and scalars with it: of each name, (step, value)."""
    layout = Layout.of(accuracy=False, members=({"member": 0, "seed": 0, "values": {}},), layers=())
    layout.save(run)
    rows = MetricsWriter(run, start)
    rows.append(np.zeros((steps, 1, len(layout.columns)), np.float32))
    rows.close()
    names, writer = Names(run), ScalarWriter(run, rows.generation)
    entries = sorted((step, names.index(name), value) for name, pairs in given.items() for step, value in pairs)
    writer.append(np.array(entries, RECORD))
    writer.close()
    names.close()


def _pairs(series: scalars.Series) -> list[tuple[int, float]]:
    return list(zip(series.steps.tolist(), series.values.tolist(), strict=True))


def test_a_rewind_voids_scalars_as_it_voids_rows(tmp_path: Path) -> None:
    """A curve would show values of a past that was given up, also of a name that the new past never gave."""
    _generation(tmp_path, 0, 10, kl=[(0, 1.0), (4, 2.0), (8, 3.0)], only_before=[(2, 5.0), (9, 6.0)])
    follower = ScalarFollower(tmp_path)
    follower.look(generations(tmp_path))
    assert follower.series("kl").values()[[0, 4, 8]].tolist() == [1, 2, 3]
    _generation(tmp_path, 4, 3, kl=[(5, 7.0)])
    found = scalars.read(tmp_path)
    assert _pairs(found["kl"]) == [(0, 1.0), (5, 7.0)]
    assert _pairs(found["only_before"]) == [(2, 5.0)]
    assert scalars.latest(tmp_path) == {"kl": (5, 7.0), "only_before": (2, 5.0)}
    follower.truncate(4)
    assert follower.look(generations(tmp_path))
    for each in (follower, _anew(tmp_path)):
        values = each.series("kl").values()
        assert len(values) == 6
        assert np.flatnonzero(~np.isnan(values)).tolist() == [0, 5]
        assert each.latest("kl") == 7
        assert each.series("never").latest() is None


def _anew(run: Path) -> ScalarFollower:
    follower = ScalarFollower(run)
    follower.look(generations(run))
    return follower


def test_a_crash_in_mid_write_costs_the_last_record_at_most(tmp_path: Path) -> None:
    """Every later value would be read at the wrong step, under the wrong name."""
    _generation(tmp_path, 0, 10, kl=[(0, 1.0), (1, 2.0)])
    file = tmp_path / "scalars/0.bin"
    file.write_bytes(file.read_bytes()[:-3])
    (tmp_path / "scalars/names.jsonl").open("a").write('{"index": 1, "na')
    assert _pairs(scalars.read(tmp_path)["kl"]) == [(0, 1.0)]
    _generation(tmp_path, 1, 5, kl=[(1, 3.0)], other=[(2, 4.0)])
    assert {name: _pairs(series) for name, series in scalars.read(tmp_path).items()} == {
        "kl": [(0, 1.0), (1, 3.0)],
        "other": [(2, 4.0)],
    }


def test_a_long_series_is_read_again_where_it_is_looked_at_closely(tmp_path: Path) -> None:
    """The memory of a console would grow with the run, or a close look would show nothing."""
    steps = np.arange(0, 400_000, 2)
    _generation(tmp_path, 0, 1)
    writer, names = ScalarWriter(tmp_path, 1), Names(tmp_path)
    for at in range(0, len(steps), 1000):
        part = np.empty((2, 1000), RECORD)
        part["step"], part["value"] = steps[at : at + 1000], steps[at : at + 1000]
        part["name"] = [[names.index("a")], [names.index("b")]]
        writer.append(part.T.ravel())
    layout = Layout.load(tmp_path)
    assert layout is not None
    MetricsWriter(tmp_path, 0).close()
    follower = _anew(tmp_path)
    series = follower.series("a")
    assert len(series) == 399_999
    assert series.values(5000, 5005)[[0, 2, 4]].tolist() == [5000, 5002, 5004]
    assert np.isnan(series.values(5001, 5002)).all()
    low, high = series.envelope(np.array([0, 200_000, 399_999]))
    assert low.tolist() == pytest.approx([0, 200_000], abs=512)
    assert high.tolist() == pytest.approx([199_998, 399_998], abs=512)


def test_a_fork_takes_the_scalars_of_the_past_that_it_shares(tmp_path: Path) -> None:
    """Its curves would begin in the middle."""
    parent, child = tmp_path / "parent", tmp_path / "child"
    for each in (parent, child):
        each.mkdir()
    _generation(parent, 0, 10, kl=[(0, 1.0), (4, 2.0)], late=[(8, 3.0)])
    MetricsWriter(child, 0).close()
    scalars.copy(parent, child, 5)
    assert {name: _pairs(series) for name, series in scalars.read(child).items()} == {"kl": [(0, 1.0), (4, 2.0)]}


def test_names_are_limited_in_form_and_in_number(tmp_path: Path) -> None:
    """A name made of the step would fill the disk and every list of curves."""
    names = Names(tmp_path)
    for wrong in ("", " a", "a\n", "x" * 61, 3):
        with pytest.raises(DescentError, match="1 to 60 printable characters"):
            names.index(wrong)
    assert [names.index(f"loss/{at}") for at in range(200)] == list(range(200))
    assert names.index("loss/7") == 7
    with pytest.raises(DescentError, match="loss/200 would be the name number 201; a run can have 200"):
        names.index("loss/200")
    assert Names(tmp_path).index("loss/7") == 7
