"""The grader: what it refuses, what it trains, and that one broken part leaves the others graded."""

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from descent.common.errors import DescentError, ExitCode
from descent.common.i18n import use
from descent.run import find
from engine.labs import graded_runs, progress
from engine.labs.checks.names import imported
from engine.labs.grader import Grader
from engine.labs.grading import grade, last_graded, private_folder
from engine.labs.sandbox.client import Learner, Limits
from engine.labs.submission import on_the_cpu
from engine.labs.verdict import against
from engine.preset.loading import load_preset
from tests.helpers.graded_lab import CHECKS, SOLVED, START, begin, check_of, graded, make_lab, work_on
from tests.helpers.processes import Child
from tests.helpers.small_lab import PRESET
from tests.helpers.waiting import wait_for

Descent = Callable[..., Child]

TIMED = """
[[lab.checks]]
id = "quick"
text = { en = "Quick.", ko = "빠릅니다." }
value = "cpu_seconds + seconds"
most = "60 * setting('train.epochs')"
timed = true
bonus = true
"""


@pytest.mark.slow
@pytest.mark.usefixtures("warm")
def test_right_work_passes_with_every_value(tmp_path: Path) -> None:
    """A learner with the right answer would not pass, or not see by how much."""
    lab = make_lab(tmp_path, CHECKS + TIMED, grade_table='[lab.grade]\nset = ["members.repeats=3", "train.seed=7"]')
    verdict = graded(work_on(lab, tmp_path / "work"), tmp_path)
    assert verdict.passed, verdict
    assert (verdict.met, verdict.of, verdict.exit_code) == (4, 4, 0)
    assert verdict.changed == {"optimizer.lr": (0.01, 0.5), "train.epochs": (20, 200)}
    told = verdict.as_json()
    json.dumps(told, allow_nan=False)
    assert told["checks"][0]["relation"] == "most"
    assert 0 < told["checks"][0]["value"] < told["checks"][0]["threshold"]
    quick = check_of(verdict, "quick")
    assert quick.value is not None
    assert 0 < quick.value < 12_000
    assert quick.threshold == 12_000.0
    seeds = [
        member["seed"] for member in json.loads((tmp_path / "graded/runs/main/metrics.json").read_text())["members"]
    ]
    assert seeds == [7, 8, 9]
    assert len(list((tmp_path / "graded/runs").glob("main-timed-*"))) == 3


def test_a_change_that_the_lab_does_not_leave_open_is_named(tmp_path: Path) -> None:
    """A learner could pass with other data, or would not know why the grade was refused."""
    lab = make_lab(tmp_path)
    work = work_on(lab, tmp_path / "work", more="clip_norm = 1.0\nseed = 3\n")
    verdict = graded(work, tmp_path)
    assert verdict.exit_code == ExitCode.WRONG_USE
    assert verdict.problem is not None
    assert (
        "slow.toml: train.clip_norm = 1.0: this lab leaves it at —; what you may change: optimizer.lr, train.epochs"
        in verdict.problem
    )
    assert "train.seed = 3" in verdict.problem
    assert not any(check.passed for check in verdict.checks)
    assert not (tmp_path / "graded" / "runs").exists()


def test_code_beside_another_preset_is_not_the_learner_s(tmp_path: Path) -> None:
    """A preset could name any file of this machine that has the right name, and it would be run."""
    preset = PRESET.replace('name = "mse"', 'code = "slow.py:height"')
    lab = make_lab(tmp_path, preset=preset)
    work = work_on(lab, tmp_path / "work")
    for code, count in (("slow.py:height", 0), ("../slow.py:height", 1)):
        work.file().write_text(f'lab = "slow"\n{preset.replace("slow.py:height", code)}')
        assert len(work.complaints(None, work.changed(None, work.preset(None)))) == count


@pytest.mark.slow
@pytest.mark.usefixtures("warm")
def test_an_endless_loop_fails_its_own_checks_alone(tmp_path: Path) -> None:
    """One loop would cost the learner every other criterion."""
    code = SOLVED.replace("return 2 * x", "while True: print(x)")
    limits = Limits(seconds=0.5, total=100.0)
    use("ko")
    verdict = graded(work_on(make_lab(tmp_path), tmp_path / "work", code=code), tmp_path, limits)
    assert [check.passed for check in verdict.checks] == [True, False, False, True]
    assert check_of(verdict, "slope").error == "slope: 실행이 0.5초를 넘어 중단했습니다"
    assert verdict.printed.startswith("2.0\n2.0\n")
    assert verdict.exit_code == ExitCode.CHECK_FAILED


@pytest.mark.slow
@pytest.mark.usefixtures("warm")
def test_a_wrong_type_or_shape_is_told_with_what_came_back(tmp_path: Path) -> None:
    """An error of NumPy's does not tell the learner what their function returned."""
    code = SOLVED.replace("return 2 * x", "return [[1, 2], [3, 4]] if x == 2 else None")
    verdict = graded(work_on(make_lab(tmp_path), tmp_path / "work", code=code), tmp_path)
    assert check_of(verdict, "slope").error == "the check gave an array of shape (2, 2), not one number"
    error = check_of(verdict, "gradient").error or ""
    assert error.endswith("; slope returned None") or "height" in error


@pytest.mark.usefixtures("warm")
def test_data_that_are_missing_leave_the_rest_graded(tmp_path: Path) -> None:
    """Without the network a learner could not even have the code of such a lab looked at."""
    preset = (
        PRESET.replace('name = "line"', 'name = "mnist"').replace("linear", "softmax").replace("mse", "cross-entropy")
    )
    lab = make_lab(tmp_path, preset=preset)
    work = work_on(lab, tmp_path / "work")
    work.file().write_text(f'lab = "slow"\n{preset}')
    begin(lab, work)
    place = tmp_path / "graded"
    place.mkdir()
    verdict = grade(work, place, data_root=tmp_path / "nowhere")
    assert verdict.exit_code == ExitCode.DATA_MISSING
    assert verdict.problem is not None
    assert "descent data fetch mnist" in verdict.problem
    assert str(tmp_path / "nowhere") in verdict.problem
    assert [check.passed for check in verdict.checks] == [False, True, True, True]


@pytest.mark.slow
@pytest.mark.usefixtures("warm")
def test_code_counts_where_data_are_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the network a learner's right function would stay unticked, and the lab could not be begun."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DESCENT_DATA", str(tmp_path / "nowhere"))
    preset = (
        PRESET.replace('name = "line"', 'name = "mnist"').replace("linear", "softmax").replace("mse", "cross-entropy")
    )
    lab = make_lab(tmp_path, preset=preset)
    work = work_on(lab, tmp_path / "work")
    work.file().write_text(f'lab = "slow"\n{preset}')
    begin(lab, work)
    with Grader("slow") as grader:
        assert grader.wait()["exit_code"] == ExitCode.DATA_MISSING
    record = progress.load().of("slow")
    assert (record.state, record.attempts[-1].met) == ("started", 3)


def test_a_graded_run_that_takes_too_long_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A learner's million epochs would keep the grader for hours."""
    monkeypatch.setattr(graded_runs, "_LOADING", 0.0)
    lab = make_lab(tmp_path, "", grade_table="[lab.grade]\nlimit = 0.3")
    verdict = graded(work_on(lab, tmp_path / "work"), tmp_path)
    assert check_of(verdict, "loss").error == "the graded run took longer than 0.3 s and was ended"


@pytest.mark.usefixtures("warm")
def test_a_loss_that_diverged_is_no_number(tmp_path: Path) -> None:
    """`nan` would count as met, or as nothing."""
    late = '[[lab.checks]]\nid = "late"\ntext = { en = "l", ko = "l" }\nvalue = "column(\'loss\')[150]"\nmost = 1\n'
    lab = make_lab(tmp_path, late, grade_table='[lab.grade]\nset = ["members.repeats=2"]')
    verdict = graded(work_on(lab, tmp_path / "work", lr=1e20), tmp_path)
    for name in ("loss", "late"):  # a learner would read of an index that is out of bounds
        check = check_of(verdict, name)
        assert (check.passed, check.error) == (False, "there is nothing to measure: the training diverged")
    assert verdict.as_json()["checks"][0]["value"] is None


@pytest.mark.slow
@pytest.mark.usefixtures("warm")
def test_lab_check_keeps_the_attempt_and_only_its_last_runs(
    descent: Descent, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Progress would be lost, the disk filled with graded runs, or `last` would name one of them."""
    monkeypatch.chdir(tmp_path)
    lab = make_lab(tmp_path)
    work = work_on(lab, tmp_path / "work", code=START)
    begin(lab, work)
    done = descent("lab", "check", "slow", "--json").end()
    assert done.code == ExitCode.CHECK_FAILED, done
    assert done.json["met"] == 2
    assert "not filled in yet" in done.json["checks"][1]["error"]
    before = last_graded("slow")
    work.code.write_text(SOLVED)  # type: ignore[union-attr]
    done = descent("lab", "check", "slow", "--lang", "ko").end()
    assert done.code == 0, done
    assert "통과했습니다" in done.out
    record = progress.load().of("slow")
    assert (record.count, record.best, record.state) == (2, 1.0, "passed")
    assert [attempt.met for attempt in record.attempts] == [2, 4]
    assert last_graded("slow") != before
    assert before is not None
    assert not before.exists()
    assert find.known_runs(tmp_path / "runs") == []


@pytest.mark.slow
@pytest.mark.usefixtures("warm")
def test_lab_check_comes_after_start_and_predictions(
    descent: Descent, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A learner who skips a step would not be told which."""
    monkeypatch.chdir(tmp_path)
    lab = make_lab(tmp_path)
    done = descent("lab", "check", "slow").end()
    assert done.code == ExitCode.WRONG_USE
    assert "descent lab start slow" in done.err
    work = work_on(lab, tmp_path / "work")
    begin(lab, work)
    state = Path(os.environ["XDG_STATE_HOME"]) / "descent" / "labs.json"
    kept = json.loads(state.read_text())
    kept["labs"]["slow"]["predictions"] = {}
    state.write_text(json.dumps(kept))
    done = descent("lab", "check", "slow").end()
    assert done.code == ExitCode.WRONG_USE
    assert "descent lab predict slow bias=" in done.err


@pytest.mark.slow
@pytest.mark.usefixtures("warm")
def test_a_flood_of_prints_ends_in_a_verdict_and_an_attempt(
    descent: Descent, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`lab check` would wait for ever with a verdict that is longer than a pipe holds, or keep all of the output."""
    monkeypatch.chdir(tmp_path)
    lab = make_lab(tmp_path)
    code = SOLVED.replace("return 2 * x", "print('hello' * 50_000); return 2 * x")
    work = work_on(lab, tmp_path / "work", code=code)
    begin(lab, work)
    done = descent("lab", "check", "slow", "--json").end()
    assert done.code == 0, done
    assert done.json["printed"].startswith("hellohello")
    assert done.json["printed"].endswith("bytes more")
    assert len(done.json["printed"]) < 5_000
    assert progress.load().of("slow").count == 1
    file = work.file()
    file.write_text(file.read_text().replace('name = "mse"', f'code = "slow.py:{"x" * 70_000}"'))
    done = descent("lab", "check", "slow", "--json").end()
    assert done.code == ExitCode.WRONG_USE, done.json["problem"]
    assert len(done.out) > 1 << 16


@pytest.mark.slow
def test_a_grading_that_is_stopped_leaves_all_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A learner who stops a check would lose the reasons of the one before, have it counted, or be locked out."""
    monkeypatch.chdir(tmp_path)
    lab = make_lab(tmp_path)
    begin(lab, work_on(lab, tmp_path / "work", code=SOLVED.replace("return 2 * x", "while True: pass")))
    with private_folder(lab, "graded") as before:
        (before / "verdict.json").write_text("{}")
    heard: list[tuple[str, str]] = []
    with Grader("slow", tell=lambda *what: heard.append(what)) as grader:
        wait_for(lambda: ("checking", "slope") in heard, "the check of slope")
        grader.end()
    assert heard == [("training", "main"), ("checking", "loss"), ("checking", "slope")]
    assert last_graded("slow") == before
    assert [folder.name for folder in before.parent.glob("graded-*")] == [before.name]
    assert progress.load().of("slow").count == 0


@pytest.mark.slow
@pytest.mark.usefixtures("warm")
def test_a_distance_is_told_with_the_two_numbers_it_is_between(tmp_path: Path) -> None:
    """A learner would read 0.3 and not know what was reached, nor what is wanted."""
    checks = """
    [[lab.checks]]
    id = "slope"
    text = { en = "slope() is right.", ko = "slope()가 맞습니다." }
    value = 'apart(learner("slope", [1.0, 2.0]), [2.0, 4.0])'
    most = 1e-6
    [[lab.checks]]
    id = "lr"
    text = { en = "The rate is near 0.4.", ko = "학습률이 0.4에 가깝습니다." }
    value = 'off(setting("optimizer.lr"), 0.4)'
    most = 0.05
    [[lab.checks]]
    id = "many"
    text = { en = "All are 1.", ko = "모두 1입니다." }
    value = 'max(apart([1, 1, 3, 1], 1), apart(1, 1))'
    most = 0
    """
    code = SOLVED.replace("return 2 * x", "return [2.5, 4.0]")
    verdict = graded(work_on(make_lab(tmp_path, checks), tmp_path / "work", code=code), tmp_path)
    told_of = {check["id"]: check for check in verdict.as_json()["checks"]}
    assert told_of["slope"]["value"] == pytest.approx(0.5)
    assert against(told_of["slope"]) == "0.5  (≤ 1e-6)  2.5, 4 instead of 2, 4"
    assert told_of["lr"]["value"] == pytest.approx(0.25)
    assert against(told_of["many"]) == "2  (≤ 0)  3 instead of 1"  # only where they are farthest apart
    assert "instead" not in against(told_of["loss"])
    use("ko")
    assert against(told_of["lr"]) == "0.25  (≤ 0.05)  0.4여야 하는데 0.5입니다"


SOURCE = """
[[lab.checks]]
id = "loaded"
text = { en = "The weights are loaded.", ko = "가중치를 불러왔습니다." }
value = 'transferred("loaded") == ["linear"] and transferred("frozen") == []'
[lab.parts.source]
preset = "source.toml"
title = { en = "The source", ko = "원본" }
"""


@pytest.mark.slow
@pytest.mark.usefixtures("warm")
def test_a_part_that_another_starts_from_is_trained_before_it(tmp_path: Path) -> None:
    """The grader would find no weights to start from, or those of another grading."""
    preset = PRESET.replace('name = "linear"', 'name = "linear"\nfrom = "slow-source"')
    (tmp_path / "labs" / "slow").mkdir(parents=True)
    (tmp_path / "labs" / "slow" / "source.toml").write_text(PRESET.replace("epochs = 20", "epochs = 60"))
    lab = make_lab(tmp_path, SOURCE, grade_table='[lab.grade]\nset = ["model.from=source"]', preset=preset)
    work = work_on(lab, tmp_path / "work", lr=0.01)
    work.file().write_text(f'lab = "slow"\n{preset}')
    work.file("source").write_text(f'lab = "slow"\n{PRESET.replace("epochs = 20", "epochs = 60")}')
    verdict = graded(work, tmp_path)
    assert check_of(verdict, "loaded").passed, verdict
    runs = tmp_path / "graded" / "runs"
    given = json.loads((runs / "main" / "run.json").read_text())["transfer"]
    assert (given["from"], given["step"]) == (str(runs / "source"), 60)


@pytest.mark.slow
@pytest.mark.usefixtures("warm")
def test_data_are_read_once_for_all_checks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A check on MNIST would take half a second more for every mention of its images."""
    checks = """
    [[lab.checks]]
    id = "many"
    text = { en = "There are inputs.", ko = "입력이 있습니다." }
    value = 'len(train_x) - len(train_y[0:1])'
    least = 1
    [[lab.checks]]
    id = "wide"
    text = { en = "They differ.", ko = "서로 다릅니다." }
    value = 'max(train_x) - min(train_x)'
    least = 0.1
    """
    asked: list[str] = []
    data = Learner.data

    def counted(reader: Learner, **of: str) -> object:
        asked.append(of["split"])
        return data(reader, **of)

    monkeypatch.setattr(Learner, "data", counted)
    verdict = graded(work_on(make_lab(tmp_path, checks), tmp_path / "work"), tmp_path)
    assert verdict.passed, verdict
    assert asked == ["train"]


def test_two_gradings_of_a_lab_do_not_share_a_folder(tmp_path: Path) -> None:
    """The second would remove the runs that the first one reads."""
    lab = make_lab(tmp_path)
    with (
        private_folder(lab, "graded") as place,
        pytest.raises(DescentError, match="is grading this lab right now"),
        private_folder(lab, "graded"),
    ):
        pass
    assert place.is_dir()


def test_imports_are_found_however_they_are_written() -> None:
    """A lab that forbids NumPy could be passed with it."""
    for source in (
        "import numpy as np",
        "import numpy.linalg",
        "def f():\n    from numpy import mean",
        "import importlib\nimportlib.import_module('numpy')",
        "__import__('numpy')",
    ):
        assert "numpy" in imported(source, "mine.py")
    assert "torch.optim" in imported("from torch import optim", "mine.py")
    assert imported("# import numpy\nx = 'import numpy'", "mine.py") == set()


def test_gradings_train_where_thresholds_are_calibrated() -> None:
    """On a machine with a GPU, a solution could miss a threshold by its rounding, or by what else runs there."""
    assert on_the_cpu(load_preset("digits-mlp").settings).train.device == "cpu"
    assert on_the_cpu(load_preset("digits-mlp", ["train.device=cuda:1"]).settings).train.device == "cuda:1"
