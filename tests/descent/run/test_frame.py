"""Numbers that are read back would stand at another step or member than they were measured at."""

from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from descent.common.errors import DescentError
from descent.run import frame
from descent.run.events import Events
from descent.run.layout import Layout
from descent.run.metrics import Metrics, MetricsWriter
from descent.run.scalars import RECORD, Names, ScalarWriter


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """Four steps of two members, of which the second diverges after two; evaluations, one of them voided."""
    members = tuple({"member": m, "seed": m, "values": {}} for m in range(2))
    layout = Layout.of(accuracy=True, members=members, layers=())
    layout.save(tmp_path)
    rows = np.full((4, 2, len(layout.columns)), np.nan, np.float32)
    rows[:, :, layout.columns.index("loss")] = [[3, 30], [2, np.nan], [1, np.nan], [0.5, np.nan]]
    rows[:, :, layout.columns.index("time")] = np.arange(4)[:, None]
    rows[::2, :, layout.columns.index("grad_norm")] = 7
    writer = MetricsWriter(tmp_path, 0)
    writer.append(rows)
    writer.close()
    events = Events(tmp_path)
    events.write("evaluation", step=3, split="validation", member=0, loss=99.0, accuracy=0.0)
    events.write("rewound", to=2)
    events.write("member", member=1, state="diverged", step=2)
    events.write("evaluation", step=2, split="validation", member=0, loss=0.9, accuracy=0.7)
    events.write("evaluation", step=2, split="validation", member=1, loss=float("nan"), accuracy=0.1)
    events.write("evaluation", step=4, split="test", member=0, loss=0.4, accuracy=0.8)
    events.close()
    return tmp_path


def test_a_table_has_a_row_for_each_step_and_member(run: Path) -> None:
    table = Metrics(run).to_polars()
    places = list(zip(table["step"], table["member"], strict=True))
    assert places == [(0, 0), (0, 1), (1, 0), (1, 1), (2, 0), (2, 1), (3, 0), (4, 0)]
    assert table["loss"].to_list()[:3] == [3, 30, 2]
    assert np.isnan(table["loss"][3])  # the loss was measured, and not finite
    assert table["loss"][7] is None
    assert table["grad_norm"].to_list() == [7, 7, None, None, 7, None, None, None]
    assert table["val_loss"].to_list() == [None, None, None, None, 0.9, None, None, None]
    assert table["val_accuracy"].to_list()[4:6] == [0.7, 0.1]
    assert table["test_loss"].to_list() == [None] * 7 + [0.4]  # after the last update, in a row of its own


def test_a_table_of_nothing_is_empty(tmp_path: Path) -> None:
    """A script that reads a run in its first second would end in a traceback."""
    assert Metrics(tmp_path).to_polars().is_empty()
    Layout.of(accuracy=False, members=({"member": 0, "seed": 0, "values": {}},), layers=()).save(tmp_path)
    assert Metrics(tmp_path).to_polars().columns[:3] == ["step", "member", "loss"]


def test_a_column_of_evaluations_is_read_by_its_name_and_a_wrong_name_is_answered(run: Path) -> None:
    """A program would go on with an empty array, as if nothing had been measured."""
    metrics = Metrics(run)
    assert np.array_equal(metrics.column("val_loss"), [np.nan, np.nan, 0.9, np.nan, np.nan], equal_nan=True)
    assert metrics.column("val_accuracy", member=1).tolist()[2:] == [0.1]
    with pytest.raises(DescentError, match="has no number 'val_los'; it has: step, member, loss") as error:
        metrics.column("val_los")
    assert str(error.value).endswith("did you mean val_loss?")


def test_pandas_has_the_same_numbers(run: Path) -> None:
    pandas = pytest.importorskip("pandas")
    table = Metrics(run).to_pandas()
    assert isinstance(table, pandas.DataFrame)
    assert list(table.columns) == Metrics(run).to_polars().columns
    assert table["val_loss"].dropna().to_dict() == {4: 0.9}


def test_a_package_that_is_missing_is_named(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A notebook would show a traceback through Descent's own files."""

    def missing(name: str) -> ModuleType:
        raise ModuleNotFoundError(f"No module named {name!r}", name=name)

    monkeypatch.setattr(frame.importlib, "import_module", missing)
    with pytest.raises(DescentError, match="needs the package pandas; install it: pip install pandas"):
        Metrics(run).to_pandas()


def test_scalars_that_a_loop_gave_by_name_are_columns(tmp_path: Path) -> None:
    """What a loop of one's own logs beside its loss would be missing in every file and data frame."""
    layout = Layout.of(accuracy=False, members=({"member": 0, "seed": 0, "values": {}},), layers=())
    layout.save(tmp_path)
    writer = MetricsWriter(tmp_path, 0)
    writer.append(np.zeros((3, 1, len(layout.columns)), np.float32))
    writer.close()
    names, records = Names(tmp_path), np.zeros(4, RECORD)
    given = [(0, "kl", 0.5), (2, "kl", 0.25), (2, "loss", 7), (3, "kl", 0.125)]
    for record, (step, name, value) in zip(records, given, strict=True):
        record["step"], record["name"], record["value"] = step, names.index(name), value
    names.close()
    scalars = ScalarWriter(tmp_path, 0)
    scalars.append(records)
    scalars.close()
    table = Metrics(tmp_path).to_polars()
    assert table["step"].to_list() == [0, 1, 2, 3]
    assert table["kl"].to_list() == [0.5, None, 0.25, 0.125]
    assert table["scalar.loss"].to_list() == [None, None, 7, None]
    assert table["loss"].to_list() == [0, 0, 0, None]
