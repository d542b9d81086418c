"""What `descent export --csv | --parquet | --tensorboard` writes would not be what the run has measured."""

import json
from collections.abc import Callable
from pathlib import Path

import polars
import pytest

from descent.run.metrics import Metrics
from engine.cli import main
from tests.helpers.recorded_run import STEPS, record


@pytest.mark.parametrize(("kind", "read"), [("csv", polars.read_csv), ("parquet", polars.read_parquet)])
def test_a_file_has_all_rows_and_evaluations(
    kind: str,
    read: Callable[[Path], polars.DataFrame],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    run = record(tmp_path)
    assert main(["export", str(run.path), f"--{kind}"]) == 0
    assert capsys.readouterr().out == f"{run.id}.{kind}: 2,151 rows, as {kind}\n"
    table = read(tmp_path / f"{run.id}.{kind}")
    assert len(table) == STEPS + 1  # and one for the evaluations after the last update
    assert table["loss"][:STEPS].to_numpy() == pytest.approx(Metrics(run.path).column("loss"))
    assert table["val_loss"].drop_nulls().len() == 5
    assert main(["export", str(run.path), f"--{kind}", "--out", "mine", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told == {"run": run.id, "format": kind, "file": "mine", "rows": STEPS + 1}
    assert read(tmp_path / "mine").equals(table)


def test_tensorboard_reads_what_is_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    from tensorboard.util.tensor_util import make_ndarray

    run = record(tmp_path)
    words = ["export", str(run.path), "--tensorboard", str(tmp_path / "tb")]
    assert main(words) == 0
    events = EventAccumulator(str(tmp_path / "tb" / run.id), size_guidance={"tensors": 0})
    events.Reload()
    assert {"loss", "val_loss", "layer/hidden1.grad_norm"} <= set(events.Tags()["tensors"])
    losses = events.Tensors("loss")
    assert [event.step for event in losses] == list(range(STEPS))
    assert float(make_ndarray(losses[-1].tensor_proto)) == Metrics(run.path).column("loss")[-1]
    assert len(events.Tensors("val_loss")) == 5
    assert main(words) == 2
    assert "exists already; give another folder" in capsys.readouterr().err


def test_wrong_use_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = record(tmp_path)
    for words in (["--csv", "--parquet"], ["--csv", "--to", "onnx"], ["--csv", "--tensorboard", "x"]):
        assert main(["export", str(run.path), *words]) == 2
        assert "exclude one another" in capsys.readouterr().err
    assert main(["export", str(run.path), "--csv", "--member", "1"]) == 2
    assert "--csv takes neither --member" in capsys.readouterr().err
    assert main(["export", str(run.path), "--csv", "--out", str(tmp_path / "none" / "x.csv")]) == 2
    assert "can't be written" in capsys.readouterr().err
    (run.path / "metrics" / "0-0.f32").unlink()
    (run.path / "events.jsonl").write_text("")
    assert main(["export", str(run.path), "--csv"]) == 2
    assert "has no numbers yet" in capsys.readouterr().err
