"""Every shipped lab, by the real grader: its reference solution passes, its unsolved start does not.

The grader's processes are forked here; in `tests/engine/labs` some load PyTorch each, as a learner's do.
"""

import ast
import functools
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from descent.common.errors import ExitCode
from descent.common.i18n import use
from engine.labs import flow
from engine.labs.format import Text
from engine.labs.grading import draw, grade
from engine.labs.library import Lab, load_lab
from engine.labs.submission import Submission
from engine.labs.verdict import Verdict
from engine.preset import datasets, find
from engine.preset.loading import load_preset
from tests.helpers.korean import mended
from tests.helpers.lab_solutions import on_data_at_hand, solved, started

LONG = ("cifar-quiz", "fine-tune", "optimizers", "scaling")  # graded for half a minute and more: `pytest -m long`
LABS = sorted(path.parent for path in (find.shipped_presets() / "labs").glob("*/lab.toml"))


@functools.cache
def shipped(folder: Path) -> Lab:
    return load_lab(folder, "shipped")


@pytest.fixture(params=LABS, ids=lambda folder: folder.name)
def lab(request: pytest.FixtureRequest) -> Lab:
    return shipped(request.param)


@pytest.fixture
def root(lab: Lab, request: pytest.FixtureRequest) -> Path | None:
    """Where the data of what is graded are; skips where they have to be downloaded and are not at hand."""
    parts = {None: lab.model.grade} | {name: part.grade for name, part in lab.model.parts.items()}
    wanted = {preset.data.name for part, preset in lab.presets.items() if parts[part] is not None}
    if not wanted & {known.name for known in datasets.catalogue()}:
        return None
    found: Path = request.getfixturevalue("real_data")
    return found


def test_a_lab_builds_on_labs_that_come_before_it(lab: Lab) -> None:
    """The list would send a learner to a lab that is not there, or in a circle."""
    before = {other.name for other in LABS if shipped(other).model.order < lab.model.order}
    assert set(lab.model.builds_on) <= before


def test_each_wrong_answer_is_told_why(lab: Lab) -> None:
    """A prediction teaches most where it was wrong."""
    for question in lab.model.predictions:
        if question.kind == "choice":
            assert len([choice for choice in question.choices if choice.why is None]) == 1, question.id
        else:
            assert question.why is not None, question.id


def test_a_goal_is_a_height_of_its_chart(lab: Lab) -> None:
    """A limit of 60 steps stood in the chart of the loss, at a loss of 60, and the loss was always better."""
    for check in lab.model.checks:
        if check.goal is not None:
            assert check.goal.chart in check.value, check.id
            assert "steps" not in check.value, check.id


def _graded(work: Submission, folder: Path, root: Path | None, *, quick: bool = False) -> Verdict:
    place = folder / "graded"
    place.mkdir()
    return grade(work if root is None else on_data_at_hand(work, root), place, data_root=root, quick=quick)


def _told(verdict: Verdict) -> str:
    lines = [f"{c.id}: {c.value} {c.relation} {c.threshold} {c.error or ''}" for c in verdict.checks if not c.passed]
    return "\n".join([*lines, verdict.problem or "", verdict.printed])


graded_labs = pytest.mark.parametrize(
    "lab",
    [pytest.param(path, id=path.name, marks=[pytest.mark.long] if path.name in LONG else []) for path in LABS],
    indirect=True,
)


@graded_labs
@pytest.mark.slow
@pytest.mark.usefixtures("warm")
def test_the_reference_solution_passes(lab: Lab, root: Path | None, tmp_path: Path) -> None:
    """Else nobody can pass the lab, or its threshold asks for luck."""
    verdict = _graded(solved(lab, tmp_path / "work"), tmp_path, root)
    assert verdict.passed, _told(verdict)
    for question, compared in zip(lab.model.predictions, verdict.predictions, strict=True):
        assert question.result is None or compared["result"] is not None, f"{question.id}: no result to compare with"
        assert flow.is_right(question, compared["predicted"], compared["result"]) is not False, compared


DRAWN = [folder for folder in LABS if shipped(folder).model.draw]


@pytest.mark.slow
@pytest.mark.usefixtures("warm")
@pytest.mark.parametrize("lab", DRAWN, ids=lambda folder: folder.name, indirect=True)
def test_what_is_drawn_of_the_reference_solution_is_right(lab: Lab, root: Path | None, tmp_path: Path) -> None:
    """Right code would look wrong, or a table say nothing but that it can't be computed."""
    work = (
        on_data_at_hand(solved(lab, tmp_path / "work"), root) if root is not None else solved(lab, tmp_path / "work")
    )
    for drawing in draw(work, tmp_path, data_root=root)["drawings"]:
        for row in drawing.get("rows", []):
            assert (row["error"], row["agree"]) == ("", True), row
        for shape in ("walk", "graph"):
            assert not drawing.get(shape, {}).get("error"), drawing[shape]


@graded_labs
@pytest.mark.slow
@pytest.mark.usefixtures("warm")
def test_the_unsolved_start_does_not_pass(lab: Lab, root: Path | None, tmp_path: Path) -> None:
    """Else the lab asks for nothing. One seed tells, as with `--quick`, unless time is a criterion."""
    quick = not any(check.timed for check in lab.model.checks)
    verdict = _graded(started(lab, tmp_path / "work"), tmp_path, root, quick=quick)
    assert verdict.exit_code == ExitCode.CHECK_FAILED, _told(verdict)
    assert verdict.met < verdict.of


def test_every_lab_has_a_curve_to_compare_with(lab: Lab) -> None:
    """After a pass the learner's own curve would stand alone, or there would be no chart."""
    known = json.loads((lab.folder / "reference.json").read_text(encoding="utf-8"))
    assert {key: len(known[key]) for key in ("mean", "low", "high")} == dict.fromkeys(
        ("mean", "low", "high"), len(known["step"])
    )
    assert len(known["step"]) >= 2


def test_every_text_is_in_both_languages(lab: Lab) -> None:
    """A Korean learner would meet a blank, or English, in the middle of a lab."""
    texts = [*_texts(lab.model), *_texts(lab.solution())]
    assert texts
    for text in texts:
        assert text.en.strip(), f"no English beside {text.ko!r}"
        assert text.ko.strip(), f"no Korean beside {text.en!r}"
    prose = " ".join(text.ko for text in texts)
    assert any("가" <= letter <= "힣" for letter in prose)


def test_what_an_explanation_says_of_a_preset_is_what_the_preset_says(lab: Lab) -> None:
    """A learner who trains it would get another figure than the one that the lab promised."""
    for text in (lab.model.explanation.en, lab.model.explanation.ko):
        for name, reached in re.findall(r"^\| `([\w-]+)` \|.*\| ([\d.]+)% \|$", text, re.MULTILINE):
            preset = find.shipped_presets() / f"{name}.toml"
            assert f"Reaches {reached}%" in preset.read_text(encoding="utf-8"), name


def test_every_model_family_of_the_course_is_met() -> None:
    """A learner would pass the whole course and never have seen a recurrent network or a Transformer."""
    met = {preset.model.name for folder in LABS for preset in shipped(folder).presets.values()}
    for folder in LABS:
        for name in re.findall(r"`([\w-]+)`", shipped(folder).model.explanation.en):
            preset = find.shipped_presets() / f"{name}.toml"
            if preset.is_file():
                met.add(load_preset(preset).model.name)
    assert {"linear", "softmax", "mlp", "cnn", "lstm", "transformer"} <= met


def test_the_korean_has_one_word_for_each_term(lab: Lab) -> None:
    """A learner would take two words for two things."""
    texts = [text.ko for text in (*_texts(lab.model), *_texts(lab.solution()))]
    use("ko")
    for text in (*texts, *flow.learners_files(lab).values()):
        assert text == mended(text)


def test_the_files_that_a_learner_gets_speak_one_language(lab: Lab) -> None:
    """The learner would read each comment twice, and an error of their code in both languages."""
    english = flow.learners_files(lab)
    use("ko")
    korean = flow.learners_files(lab)
    assert list(english) == list(korean)
    for name, text in english.items():
        assert not re.search("[가-힣]", text), name
        assert " / " not in "".join(re.findall("# .*", korean[name])), name
    if lab.start_file is not None:
        code = f"{lab.id}.py"
        assert _without_words(english[code]) == _without_words(korean[code])
        assert re.search("[가-힣]", korean[code])


def _without_words(code: str) -> str:
    """What the code does, whatever its docstrings and messages say."""
    return re.sub(r"Constant\(value='[^']*'\)|Constant\(value=\"[^\"]*\"\)", "", ast.dump(ast.parse(code)))


def test_tasks_name_the_key_before_the_command(lab: Lab) -> None:
    """A learner at the screen would leave it for a shell."""
    for task in lab.model.tasks:
        for text in (task.text.en, task.text.ko):
            command = re.search("`descent (run|lab check|console)", text)
            key = re.search(r"`(enter|g|\^?k)`", text)
            assert command is None or (key is not None and key.start() < command.start()), text


def _texts(value: Any) -> Iterator[Text]:
    """All texts in a model of pydantic's, however deep."""
    if isinstance(value, Text):
        yield value
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _texts(item)
    elif isinstance(value, dict):
        for item in value.values():
            yield from _texts(item)
    elif hasattr(value, "model_fields_set"):
        for _, item in value:
            yield from _texts(item)


def test_the_solution_changes_only_what_the_lab_leaves_open(lab: Lab, tmp_path: Path) -> None:
    """The hints would lead to a preset that the grader refuses."""
    work = solved(lab, tmp_path)
    for part in (None, *lab.model.parts):
        assert not work.complaints(part, work.changed(part, work.preset(part)))
