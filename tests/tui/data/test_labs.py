"""A lab as its screen shows it: which of its files the charts and the criteria are of."""

import json
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from descent.common.text import unmarked
from descent.run.folder import RunFolder
from descent.run.layout import Layout
from descent.run.metrics import MetricsWriter
from engine.labs import flow, progress
from engine.labs.explanation import UNFILLED
from engine.labs.library import find_lab
from engine.preset import code_copy
from tests.helpers.lab_solutions import typed_guesses
from tests.helpers.small_lab import make_lab
from tui.data.editing import Problem
from tui.data.labs import changed_since, first_unmet, look_at_lab, problems_of, run_before, unmet


@pytest.fixture
def lab_id(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("DESCENT_PRESETS", str(tmp_path / "own"))
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    return make_lab(tmp_path / "own" / "labs").name


def test_charts_are_of_a_former_file_once_it_was_written_again(lab_id: str, tmp_path: Path) -> None:
    """A learner would take the curve of the old rate for that of the new one."""
    file = flow.start(find_lab(lab_id), Path.cwd())[0]
    run = RunFolder(tmp_path / "runs" / f"{lab_id}-260101-120000-abcd")
    run.path.mkdir(parents=True)
    run.preset.write_text(file.read_text())
    began = run.preset.stat().st_mtime_ns
    os.utime(file, ns=(began, began - 10**9))
    assert changed_since(run, look_at_lab(lab_id)) == []
    os.utime(file, ns=(began, began + 10**9))
    assert changed_since(run, look_at_lab(lab_id)) == [file.name]
    other = RunFolder(tmp_path / "runs" / "other-260101-120000-abcd")
    assert changed_since(other, look_at_lab(lab_id)) == []


def test_charts_are_of_former_code_only_where_the_run_was_trained_with_it(lab_id: str, tmp_path: Path) -> None:
    """A learner whose functions only the grader calls would be told to train again for nothing."""
    file = flow.start(find_lab(lab_id), Path.cwd())[0]
    run = RunFolder(tmp_path / "runs" / f"{lab_id}-260101-120000-abcd")
    run.path.mkdir(parents=True)
    run.preset.write_text(file.read_text())
    os.utime(file, ns=(0, 0))
    code = file.with_suffix(".py")
    code.write_text("before")
    (run.path / code_copy.FILE).write_text(json.dumps(code_copy.noted({"a.py": b"before"}, {"a.py": str(code)})))
    assert changed_since(run, look_at_lab(lab_id)) == []
    code.write_text("after")
    assert changed_since(run, look_at_lab(lab_id)) == [code.name]
    (run.path / code_copy.FILE).unlink()
    assert changed_since(run, look_at_lab(lab_id)) == []


def test_a_lab_has_begun_once_something_was_done_in_it(lab_id: str) -> None:
    """The introduction would stand first again after each training, or never."""
    flow.start(find_lab(lab_id), Path.cwd())
    assert not look_at_lab(lab_id).has_begun
    progress.did(lab_id, "ran")
    assert look_at_lab(lab_id).has_begun


def test_code_that_trains_is_written_before_anything_trains(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Enter would begin a training that ends at once, with the error that stands for code not written yet."""
    monkeypatch.chdir(tmp_path)
    for name, asked in (("softmax", True), ("outliers", False)):  # outliers has code that is only graded
        lab = find_lab(name)
        files = flow.start(lab, tmp_path)
        assert look_at_lab(name).next == "predict"
        flow.predict(lab, typed_guesses(lab))
        assert look_at_lab(name).next == ("write" if asked else "run")
        code = next(file for file in files if file.suffix == ".py")
        code.write_text(code.read_text().replace("raise NotImplementedError", "return print"))
        assert look_at_lab(name).next == "run"


def test_files_that_have_vanished_are_put_back_first(lab_id: str) -> None:
    """The screen would offer to train or check what is not there."""
    [file] = flow.start(find_lab(lab_id), Path.cwd())
    written = file.read_bytes()
    file.unlink()
    gone = look_at_lab(lab_id, trained=True)
    assert (gone.missing, gone.next) == ([file], "start")
    assert flow.put_back(gone.lab, gone.folder) == [file]
    assert file.read_bytes() == written
    there = look_at_lab(lab_id, trained=True)
    assert (there.missing, there.next == "start") == ([], False)
    assert flow.put_back(there.lab, there.folder) == []


def test_the_run_before_is_one_that_has_not_diverged(tmp_path: Path) -> None:
    """Beside a curve up to 1e36, that of the run on the screen is a flat line at the bottom."""
    found = []
    for at, losses in enumerate(([1.0, 0.5], [1.0, 1e36], [1.0, float("nan")], [1.0, 0.1])):
        run = RunFolder(tmp_path / "runs" / f"line-260101-12000{at}-abcd")
        run.path.mkdir(parents=True)
        run.preset.write_text("")
        layout = Layout.of(accuracy=False, members=({"member": 0, "seed": 0, "values": {}},), layers=())
        layout.save(run.path)
        writer = MetricsWriter(run.path, 0)
        rows = np.zeros((2, 1, len(layout.columns)), np.float32)
        rows[:, 0, 0] = losses
        writer.append(rows)
        writer.close()
        found.append(run)
    assert run_before(found[3], tmp_path / "runs") == found[0]
    assert run_before(found[0], tmp_path / "runs") is None


def test_what_is_wrong_comes_before_what_is_still_to_be_written() -> None:
    """A learner who has just written the first of two functions would be told of the second alone."""
    status = look_at_lab("gd-line")
    checks = [
        {
            "id": "first-step",
            "error": "not filled in (gd-line.py, line 22)",
            "explanation": {"id": UNFILLED, "text": ""},
        },
        {"id": "gradient", "explanation": {"id": "sign", "text": "The sign is wrong"}},
    ]
    both = replace(
        status, outcomes={"first-step": (None, False), "gradient": (1.0, False)}, verdict={"checks": checks}
    )
    assert [check.id for check in unmet(both)] == ["gradient"]
    file = Path("gd-line.py")
    assert first_unmet(both, file).endswith("The sign is wrong")
    one = replace(both, outcomes={"first-step": (None, False), "gradient": (0.0, True)})
    assert [check.id for check in unmet(one)] == ["first-step"]
    assert "not filled in" in first_unmet(one, file)


def test_what_is_wrong_in_the_file_that_is_open_comes_first() -> None:
    """Who has written `pull` and has not turned the loss yet would be told of the line alone."""
    status = look_at_lab("outliers")
    checks = [{"id": "intercept"}, {"id": "pull", "explanation": {"id": "sign", "text": "The sign is wrong"}}]
    status = replace(status, outcomes={"intercept": (0.471, False), "pull": (2.0, False)}, verdict={"checks": checks})
    assert first_unmet(status, Path("outliers.py")).endswith("The sign is wrong")
    assert first_unmet(status, Path("outliers.toml")).startswith("b is within 0.1 of 1")
    only_line = replace(status, outcomes={"intercept": (0.471, False), "pull": (0.0, True)})
    assert first_unmet(only_line, Path("outliers.py")).startswith("b is within 0.1 of 1")


def test_a_function_that_returns_something_wrong_is_marked_where_it_begins(tmp_path: Path) -> None:
    """The sign beside the code would stand at errors alone: a wrong value had none."""
    status = look_at_lab("outliers")
    wrong = {"id": "pull", "explanation": {"id": "sign", "text": "The sign is wrong"}}
    status = replace(
        status, outcomes={"intercept": (0.471, False), "pull": (2.0, False)}, verdict={"checks": [wrong]}
    )
    code, preset = tmp_path / "outliers.py", tmp_path / "outliers.toml"
    code.write_text("import torch\n\n\ndef pulled():\n    return 1\n\n\ndef pull(residual):\n    return -residual\n")
    preset.write_text("")
    assert problems_of(status, code) == [Problem(first_unmet(status, code), 9)]
    assert problems_of(status, preset) == []
    wrong["error"] = "pull: ZeroDivisionError (outliers.py, line 5)"
    assert [problem.line for problem in problems_of(status, code)] == [5]
    wrong["error"] = "pull took longer than 10 s"
    assert problems_of(status, code) == []


def test_a_criterion_of_a_part_is_of_its_preset() -> None:
    status = look_at_lab("optimizers")
    parts = {check.part: check.id for check in status.lab.model.checks}
    first, second = list(parts)[:2]
    outcomes = {parts[first]: (0.0, False), parts[second]: (0.0, False)}
    status = replace(status, outcomes=outcomes)
    for part in (first, second):
        [check] = [check for check in status.lab.model.checks if check.id == parts[part]]
        named = first_unmet(status, Path(f"optimizers-{part}.toml" if part else "optimizers.toml"))
        assert named.startswith(unmarked(str(check.text)))
