"""What a study came to is read off its table and its curve, on any terminal."""

import json
import os
import shlex
import statistics
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from descent.run.result_metrics import METRICS
from engine import cli
from engine.cli import study_plot
from engine.study import results
from engine.study.folder import Study, load, note_engine
from engine.study.results import Point, Spread
from engine.study.vary import Axis
from tests.helpers.processes import Child

RATES = ("--vary", "optimizer.lr=[0.02, 0.1]", "--vary", "data.size=[100, 200, 400]", "--repeats", "2")
Descent = Callable[..., Child]


@pytest.fixture
def trained(descent: Descent, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Study:
    """Two learning rates on three amounts of data, two seeds; one job of the twelve is left."""
    monkeypatch.chdir(tmp_path)
    words = ("--set", "data.noise=0.5", "--set", "train.epochs=2", "--set", "train.threads=1", "--id", "mine")
    assert cli.main(["study", "plan", "digits-mlp", *RATES, *words]) == 0
    study = load(tmp_path / "studies/mine")
    for job in study.jobs[:-1]:
        done = descent("study", "job", "mine", str(job.index), "--quiet").end()
        assert done.code == 0, done
    return study


@pytest.mark.slow
def test_the_table_has_means_over_the_finished_repeats(
    trained: Study, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A wrong mean, or one over a job that was never trained, would be copied into a report."""
    capsys.readouterr()
    assert cli.main(["study", "show", "mine", "--json"]) == 0
    shown: dict[str, Any] = json.loads(capsys.readouterr().out)
    assert shown["states"] == {"finished": 11, "waiting": 1}
    assert [point["states"] for point in shown["points"][-2:]] == [{"finished": 2}, {"finished": 1, "waiting": 1}]
    for metric in shown["jobs"][0]["metrics"].keys() & METRICS.keys():
        values = [job["metrics"][metric] for job in shown["jobs"] if job["values"] == shown["points"][0]["values"]]
        assert shown["points"][0]["metrics"][metric] == {
            "mean": pytest.approx(statistics.fmean(values)), "std": pytest.approx(statistics.stdev(values)), "n": 2,
        }  # fmt: skip
    assert shown["points"][-1]["metrics"]["test_loss"]["std"] is None

    monkeypatch.setattr("descent.common.stdio.width", lambda: 80)
    assert cli.main(["study", "show", "mine"]) == 0
    out = capsys.readouterr().out
    assert "12: 11 finished, 1 waiting" in out
    assert "1/2 finished, 1 waiting" in out
    assert "validation loss by size   ● lr=0.02  ▲ lr=0.1" in out  # the test chooses nothing
    assert out.count("*") == 2
    assert "*: the best" in out
    assert max(map(len, out.splitlines())) <= 80
    for word, says in (
        ("--by=size", "by size"),
        ("--by=optimizer.lr", "by lr"),
        ("--metric=accuracy", "validation accuracy"),
    ):
        assert cli.main(["study", "show", "mine", word]) == 0
        assert says in capsys.readouterr().out
    assert cli.main(["study", "show", "mine", "--by", "widths"]) == 2
    assert "must be one of data.size, optimizer.lr, parameters" in capsys.readouterr().err
    assert cli.main(["study", "list"]) == 0
    assert "11 finished, 1" in capsys.readouterr().out


def test_a_job_that_could_not_begin_says_why(
    descent: Descent, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its run leaves no folder, and the study would wait for it for ever."""
    monkeypatch.chdir(tmp_path)
    assert cli.main(["study", "plan", "digits-mlp", "--vary", "data.size=[5]", "--id", "mine"]) == 0
    assert descent("study", "job", "mine", "0").end().code == 2
    assert cli.main(["study", "show", "mine"]) == 0
    out = capsys.readouterr().out
    assert "mine-0000 (size=5 seed=0) failed: data.size = 5 is less than the 10 classes" in out


def test_the_command_that_continues_a_study_names_who_has_trained_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whoever copies it would train the rest of a cluster's study on the login node."""
    monkeypatch.chdir(tmp_path)
    assert cli.main(["study", "plan", "digits-mlp", "--repeats", "2", "--id", "mine"]) == 0

    def told() -> str:
        assert cli.main(["study", "show", "mine"]) == 0
        return capsys.readouterr().out.rpartition("continue with: ")[2].strip()

    assert told() == "descent study run mine"
    for name, text in (("sbatch", "echo too many jobs >&2; exit 1"), ("squeue", "true")):
        (tmp_path / name).write_text(f"#!/bin/sh\n{text}\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    words = ["--on", "slurm", "--jobs", "2", "--sbatch=--gpus=1", "--sbatch=--comment=a b"]
    assert cli.main(["study", "run", "mine", *words]) == 2
    continued = shlex.join(["descent", "study", "run", "mine", *words])
    assert capsys.readouterr().err.strip().endswith(f"continue with: {continued}")
    assert told() == continued
    note_engine(load(tmp_path / "studies" / "mine"), ())  # as this machine's own queue does
    assert told() == "descent study run mine"


def test_a_study_in_another_place_is_named_by_its_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The command that a study prints would continue another one of its name, or find none."""
    monkeypatch.chdir(tmp_path)
    plan = ["study", "plan", "digits-mlp", "--id", "mine", "--repeats"]
    places = (["--studies-dir", "my scratch"], ["--runs-dir", "elsewhere/runs"], [])
    folders = ("my scratch/mine", "elsewhere/studies/mine")
    words = [*(shlex.quote(str(tmp_path / folder)) for folder in folders), "mine"]
    for repeats, (place, word) in enumerate(zip(places, words, strict=True), start=1):
        assert cli.main([*plan, str(repeats), *place]) == 0
        assert f"descent study run {word}; only one: descent study job {word} 0" in capsys.readouterr().out
        assert cli.main([*plan, "9", *place]) == 2
        assert capsys.readouterr().err.strip().endswith(f"continue that study: descent study run {word}")
        [shown] = shlex.split(word)
        assert cli.main(["study", "show", shown]) == 0
        out = capsys.readouterr().out
        assert out.strip().endswith(f"continue with: descent study run {word}")
        assert f"{repeats} waiting" in out


def points(*metrics: tuple[Any, float, float]) -> list[Point]:
    """(value, train loss, test loss) at each point."""
    return [
        Point(index, {"model.widths": value}, results.Counter({"finished": 1}), None, {
            "train_loss": Spread(train, None, 1), "test_loss": Spread(test, None, 1),
        })
        for index, (value, train, test) in enumerate(metrics)
    ]  # fmt: skip


def study(values: list[Any]) -> Study:
    return Study(Path("mine"), "x.toml", (), (Axis("model.widths", tuple(values)),), 1, None, ())


def test_the_curve_peaks_where_the_numbers_do(capsys: pytest.CaptureFixture[str]) -> None:
    """A double descent would be drawn somewhere else."""
    drawn = study_plot.draw(
        study([1, 10, 100]), points((1, 1.0, 1.0), (10, 0.5, 3.0), (100, 0.1, 0.4)), metric=None, by=None
    )
    assert drawn is not None
    lines = drawn.plain.splitlines()
    assert lines[0] == "loss by widths   ● test  ▲ train"
    peak = lines[1].index("●")
    middle = lines[-1].index("10", lines[-1].index("1") + 1)
    assert abs(peak - middle) <= 1
    assert lines[13].index("▲") > peak
    assert lines[-1].split() == ["1", "10", "100"]


def test_a_terminal_without_unicode(monkeypatch: pytest.MonkeyPatch) -> None:
    """The curve would be a page of escapes."""
    monkeypatch.setattr("descent.common.stdio.has_unicode", lambda encoding: False)
    drawn = study_plot.draw(study([[1], [2, 2]]), points(([1], 1.0, 1.0), ([2, 2], 0.5, 3.0)), metric=None, by=None)
    assert drawn is not None
    assert drawn.plain.isascii()
    assert "[2, 2]" in drawn.plain.splitlines()[-1]


def test_nothing_to_draw() -> None:
    """A study that has just begun could not be looked at."""
    assert study_plot.draw(study([1, 2]), [], metric=None, by=None) is None
    flat = study_plot.draw(study([1, 2]), points((1, 0.0, 0.0), (2, 0.0, 0.0)), metric="test_loss", by=None)
    assert flat is not None


def test_the_spread_over_the_repeats_is_drawn() -> None:
    """A difference within the noise of the seeds would look like one between the widths."""

    def drawn(std: float | None) -> list[str]:
        at = [
            Point(i, {"model.widths": x}, results.Counter({"finished": 3}), None, {"test_loss": Spread(y, std, 3)})
            for i, (x, y) in enumerate([(1, 1.0), (10, 1.0), (100, 1.2)])
        ]
        text = study_plot.draw(study([1, 10, 100]), at, metric="test_loss", by=None)
        assert text is not None
        return text.plain.splitlines()

    flat, barred = drawn(None), drawn(0.5)
    assert "bars: ± std" in barred[0]
    assert "bars" not in flat[0]
    first = [line[line.index("┤" if "┤" in line else "│") + 1 :][:1] for line in barred[1:14]]
    assert sum(cell not in ("", " ") for cell in first) > 6  # a bar above the first value
    assert drawn(5.0)[1].lstrip().startswith("6.2")  # the axis has room for a whole bar, and is cut at 0
