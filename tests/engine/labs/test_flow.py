"""A learner's way through a lab: predict before anything runs, overwrite nothing, open nothing too early."""

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from descent import sync
from descent.common.errors import DescentError
from descent.common.i18n import use
from descent.run.folder import RunFolder
from engine.labs import flow, progress
from engine.labs.format import Prediction
from engine.labs.library import Lab, find_lab
from engine.launch import start
from engine.launch.options import Options
from engine.preset import listing
from engine.preset.consent import agreed_content
from engine.preset.loading import load_preset
from tests.helpers.full_disk import no_room
from tests.helpers.small_lab import LAB, PRESET, make_lab
from tests.helpers.waiting import wait_for

CODE = PRESET.replace('name = "mse"', 'code = "slow-line.py:loss"')
START = "def loss(outputs, targets):\n    ...\n"


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The learner's folder; the labs are in another one."""
    folder = tmp_path / "here"
    folder.mkdir()
    monkeypatch.chdir(folder)
    monkeypatch.setenv("DESCENT_PRESETS", str(tmp_path / "own"))
    monkeypatch.setenv("LC_ALL", "C.UTF-8")
    return folder


def lab(tmp_path: Path, **given: Any) -> Lab:
    return find_lab(make_lab(tmp_path / "own" / "labs", **given).name)


# --- start ---


def test_a_start_gives_a_preset_of_ones_own(tmp_path: Path, here: Path) -> None:
    """A learner would see the calibration, the hints and the answer, or get a file that can't be trained."""
    slow = lab(tmp_path)
    use("ko")
    assert flow.start(slow, here) == [here / "slow-line.toml"]
    text = (here / "slow-line.toml").read_text(encoding="utf-8")
    assert "calibration" not in text
    assert "[lab" not in text
    assert "# too slow" in text
    assert "느린 직선" in text.splitlines()[0]
    preset = load_preset("slow-line")
    assert preset.settings.lab == "slow-line"
    assert preset.settings.model_dump() == slow.preset().settings.model_dump()
    [entry] = [entry for entry in listing.presets() if entry.name == "slow-line"]
    assert (entry.origin, entry.broken) == ("current folder", "")
    assert progress.load().of("slow-line").folder == str(here)


def test_a_start_overwrites_nothing(tmp_path: Path, here: Path) -> None:
    """A learner's work of hours would be gone."""
    slow = lab(tmp_path, preset=CODE, files={"start.py": START})
    (here / "slow-line.py").write_text("mine")
    with pytest.raises(DescentError, match=r"slow-line\.py: here already.*--again"):
        flow.start(slow, here)
    assert [file.name for file in here.iterdir()] == ["slow-line.py"]
    assert progress.load().of("slow-line").state == "new"
    for _ in range(2):
        flow.start(slow, here, again=True)
    names = sorted(file.name for file in here.iterdir())
    assert names == ["slow-line.1.py", "slow-line.1.toml", "slow-line.2.py", "slow-line.py", "slow-line.toml"]
    assert (here / "slow-line.1.py").read_text() == "mine"


def test_a_start_that_the_disk_does_not_take_changes_nothing(tmp_path: Path, here: Path) -> None:
    """A learner's work would lie under another name, and half a file under its own."""
    slow = lab(tmp_path, preset=CODE, files={"start.py": START})
    flow.start(slow, here)
    (here / "slow-line.toml").write_text("mine")
    (here / "slow-line.py").write_text("my code")
    with no_room(20), pytest.raises(DescentError, match=r"slow-line\.toml: can't be written: "):
        flow.start(slow, here, again=True)
    assert {file.name: file.read_text() for file in here.iterdir()} == {
        "slow-line.toml": "mine",
        "slow-line.py": "my code",
    }


def test_a_start_brings_code_and_parts(tmp_path: Path, here: Path) -> None:
    """A learner would lack a file that the lab speaks of."""
    part = '[lab.parts.bowl]\npreset = "surface.toml"\ntitle = { en = "A bowl", ko = "그릇" }\n'
    slow = lab(tmp_path, preset=CODE, lab=LAB + part, files={"start.py": START, "surface.toml": PRESET})
    files = flow.start(slow, here)
    assert [file.name for file in files] == ["slow-line.toml", "slow-line-bowl.toml", "slow-line.py"]
    assert load_preset("slow-line-bowl").settings.lab == "slow-line"
    assert load_preset("slow-line").loss.code == f"{here}/slow-line.py:loss"


def test_ones_own_copy_of_the_code_may_run_however_it_is_edited(tmp_path: Path, here: Path) -> None:
    """A learner would have to give --allow-code after each edit, and would learn to give it always."""
    flow.start(lab(tmp_path, preset=CODE, files={"start.py": START}), here)
    (here / "slow-line.py").write_text("edited")
    assert agreed_content(f"{here}/slow-line.py:loss", False, key="loss.code") == b"edited"
    (here / "other.py").write_text("other")
    with pytest.raises(DescentError, match="not agreed"):
        agreed_content(f"{here}/other.py:loss", False, key="loss.code")


def test_a_folder_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    """A learner would meet a traceback."""
    with pytest.raises(DescentError, match="can't be written"):
        flow.start(lab(tmp_path), tmp_path / "nowhere")


# --- prediction first ---


def test_nothing_runs_before_the_prediction(tmp_path: Path, here: Path) -> None:
    """A learner would see what comes out, and learn nothing from guessing it."""
    slow = lab(tmp_path)
    flow.start(slow, here)
    for begin in (start.run, start.detach):
        with pytest.raises(DescentError, match=r"predict first(.|\n)*descent lab predict slow-line bias=…"):
            begin("slow-line", [])
    assert not (here / "runs").exists()
    with pytest.raises(DescentError, match="predict first"):
        flow.require_predictions(slow)
    flow.predict(slow, {"bias": "1.0"})
    flow.require_predictions(slow)
    flow.check_start("slow-line")


def test_a_run_of_no_lab_or_an_unknown_one_asks_nothing(tmp_path: Path) -> None:
    """A preset from a course that is not installed here could not be trained."""
    flow.check_start(None)
    flow.check_start("unknown")
    make_lab(tmp_path / "own" / "labs", "torn", lab="[lab")
    flow.check_start("torn")


def test_a_prediction_is_final_and_checked(tmp_path: Path) -> None:
    """A typo would be kept for ever, or a prediction made after the fact."""
    slow = lab(tmp_path)
    for answers, reason in (
        ({"bias": "one"}, r'bias = "one": must be a number'),
        ({"bias": "nan"}, "must be a number"),
        ({"bais": "1"}, "no such prediction; did you mean bias"),
    ):
        with pytest.raises(DescentError, match=reason):
            flow.predict(slow, answers)
    assert flow.unanswered(slow, progress.load()) == slow.model.predictions
    flow.predict(slow, {"bias": "1.5"})
    flow.predict(slow, {"bias": 1.5})
    with pytest.raises(DescentError, match=r"bias = 1\.5 was your prediction"):
        flow.predict(slow, {"bias": "2"})
    assert progress.load().of("slow-line").predictions == {"bias": 1.5}


CHOICES = [{"id": name, "text": {"en": name, "ko": name}} for name in ("sgd", "adam", "adagrad")]


@pytest.mark.parametrize(
    ("kind", "given", "expected"),
    [
        ("number", " 1e-3 ", 0.001),
        ("choice", "adam", "adam"),
        ("choice", "2", "adam"),
        ("choice", "4", None),
        ("choice", "adm", None),
        ("order", "3,1,2", ["adagrad", "sgd", "adam"]),
        ("order", "adam, sgd, adagrad", ["adam", "sgd", "adagrad"]),
        ("order", ["adam", "sgd", "adagrad"], ["adam", "sgd", "adagrad"]),
        ("order", "1,2", None),
        ("order", "1,2,2", None),
        ("order", "1,2,3,3", None),
        ("order", "1,2,x", None),
    ],
)
def test_what_counts_as_an_answer(kind: str, given: object, expected: object) -> None:
    """A learner's answer would be refused, or kept as something else."""
    choices = [] if kind == "number" else CHOICES
    text = {"en": "?", "ko": "?"}
    question = Prediction.model_validate({"id": "q", "kind": kind, "text": text, "choices": choices})
    if expected is None:
        with pytest.raises(DescentError, match=r".*: must be"):
            flow.answer(question, given)
    else:
        assert flow.answer(question, given) == expected
        assert flow.answer(question, flow.shown_answer(expected)) == expected


def test_a_wrong_choice_is_told_why() -> None:
    """A learner whose prediction was wrong would see the same as one who was right."""
    text = {"en": "?", "ko": "?"}
    choices = [{**choice, "why": {"en": f"not {choice['id']}", "ko": "아님"}} for choice in CHOICES]
    question = Prediction.model_validate({"id": "q", "kind": "choice", "text": text, "choices": choices})
    right, wrong = CHOICES[0]["id"], CHOICES[1]["id"]
    assert flow.is_right(question, right, right) is True
    assert flow.is_right(question, wrong, right) is False
    assert flow.is_right(question, wrong, None) is None  # nothing is known before a pass
    assert flow.why_wrong(question, wrong) == f"not {wrong}"


@pytest.mark.parametrize(
    ("near", "answer", "result", "right"),
    [
        (None, 1.0, 1.0, True),
        (None, 1.8, 2.0, True),  # a tenth of the result
        (None, 1.7, 2.0, False),
        (None, -8.0, 8.0, False),
        (None, 0.1, 0.0, False),
        (0.5, 16.0, 17, False),  # a tenth would do, but it is a count
        (0.5, 17.0, 17, True),
        (2.0, 0.9, -0.2, True),
        (None, 1.0, None, None),  # nothing is known before a pass
        (None, None, 1.0, None),
    ],
)
def test_a_number_is_right_that_is_near_enough(
    near: float | None, answer: float | None, result: float | None, right: bool | None
) -> None:
    """A learner who was far off would see the same as one who was right; or be told wrong for a rounded number."""
    text = {"en": "?", "ko": "?"}
    given = {"id": "q", "kind": "number", "text": text, "unit": "%", "near": near, "why": {"en": "so", "ko": "음"}}
    number = Prediction.model_validate(given)
    assert flow.is_right(number, answer, result) is right
    assert flow.why_wrong(number, answer) == "so"
    assert flow.in_words(number, 0.98123456) == "0.9812%"


def test_near_and_why_are_refused_where_they_say_nothing() -> None:
    """The author of a lab would wonder why nobody reads them."""
    text = {"en": "?", "ko": "?"}
    for kind, extra in (("order", {"near": 1}), ("choice", {"why": text})):
        with pytest.raises(ValidationError, match=r"only kind|in each wrong choice"):
            Prediction.model_validate({"id": "q", "kind": kind, "text": text, "choices": CHOICES, **extra})


def test_an_impossible_number_is_refused_with_what_is_possible(tmp_path: Path) -> None:
    """A slip of the finger, 99 of four points, would be kept for ever."""
    slow = lab(tmp_path, lab=LAB.replace('kind = "number"', 'kind = "number"\nleast = 0\nmost = 4\nunit = "%"'))
    for given in ("99", "-5000", "1e400", "-1e400"):
        with pytest.raises(DescentError, match=r"bias = .*: not possible; must be a number from 0 to 4, in %"):
            flow.predict(slow, {"bias": given})
    flow.predict(slow, {"bias": "4"})
    endless = lab(tmp_path, lab_id="endless")
    with pytest.raises(DescentError, match="not possible; must be a number"):
        flow.predict(endless, {"bias": "1e400"})


# --- hints, explanation, solution ---


def test_hints_come_one_after_the_other_and_are_recorded(tmp_path: Path) -> None:
    """A learner would get the answer first, or an instructor not see where it was hard."""
    slow = lab(tmp_path)
    seen = [flow.hint(slow) for _ in range(4)]
    assert [hint.level for hint in seen] == [1, 2, 3, 3]
    assert seen[0] == flow.Hint(1, "Look at the loss.", None)
    use("ko")
    assert flow.hint(slow, 1).text == "손실을 보세요."
    use("en")
    assert progress.load().of("slow-line").hints == 3
    with pytest.raises(DescentError, match=r"--level 4: must be from 1 to 3"):
        flow.hint(slow, 4)


TWO_CHECKS = LAB.replace(
    "most = 0.05\n",
    """most = 0.05
hints = [{ en = "Loss?", ko = "손실?" }, { en = "Rate.", ko = "학습률." }, { en = "lr = 0.5", ko = "lr = 0.5" }]

[[lab.checks]]
id = "extra"
bonus = true
text = { en = "More.", ko = "더." }
value = "True"

[[lab.checks]]
id = "steps"
text = { en = "20 steps.", ko = "20스텝." }
value = "steps == 20"
""",
)


def outcomes(**met: bool) -> list[dict[str, object]]:
    return [{"id": name, "value": None, "passed": passed} for name, passed in met.items()]


def test_the_first_unmet_criterion_decides_which_hint_is_shown(tmp_path: Path) -> None:
    """A learner with seven of eight criteria met would get the answer to all eight, or a hint for one that is met."""
    two = lab(tmp_path, lab=TWO_CHECKS)
    assert [flow.hint(two).text for _ in range(2)] == ["Loss?", "Rate."]
    progress.attempted("slow-line", passed=False, met=1, of=2, checks=outcomes(loss=True, extra=False, steps=False))
    assert flow.hint(two) == flow.Hint(1, "Look at the loss.", None)  # the lab's: this check has none of its own
    progress.attempted("slow-line", passed=False, met=0, of=2, checks=outcomes(loss=False, extra=True, steps=False))
    assert flow.hint(two).text == "lr = 0.5"
    assert [hint.level for hint in flow.hints_seen(two, progress.load().of("slow-line"))] == [1, 2, 3]
    assert flow.unmet(two, progress.load().of("slow-line")).id == "loss"


def tasks(*deeds: str) -> str:
    """The lab with a task for each of these `done_when`."""
    shown = "".join(
        f'[[lab.tasks]]\ntext = {{ en = "{at}", ko = "{at}" }}\n{f"done_when = [{deed}]" if deed else ""}\n'
        for at, deed in enumerate(deeds)
    )
    before, _, rest = LAB.partition("[[lab.tasks]]")
    return before + shown + "[[lab.hints]]" + rest.partition("[[lab.hints]]")[2]


def test_tasks_are_ticked_off_by_what_was_really_done(tmp_path: Path, here: Path) -> None:
    """A learner would be sent on without having looked, or be kept at a task that is long done."""
    four = lab(tmp_path, lab=tasks('"ran", "opened fit"', '"saved"', "", '"met loss"'))

    def now() -> tuple[list[bool], list[int]]:
        record = progress.load().of("slow-line")
        return flow.tasks_done(four, record), list(flow.present_tasks(four, record))

    file = flow.start(four, here)[0]
    assert now() == ([False] * 4, [0])
    progress.did("slow-line", "ran")
    assert now() == ([False] * 4, [0])
    progress.did("slow-line", "opened fit")
    assert now() == ([True, False, False, False], [1])
    text = file.read_text()
    file.write_text(text.replace("lr = 0.01", "lr = 0.5"))
    assert now() == ([True, True, False, False], [2, 3])  # the third ticks nothing: the fourth stands below it
    progress.attempted("slow-line", passed=False, met=0, of=1, checks=outcomes(loss=False))
    assert now()[1] == [2, 3]
    progress.attempted("slow-line", passed=False, met=1, of=1, checks=outcomes(loss=True))
    assert now() == ([True] * 4, [])
    file.write_text(text)
    assert now()[1] == [1]


def test_a_task_to_change_something_is_done_once_that_was_trained(tmp_path: Path, here: Path) -> None:
    """A learner would be sent on by the first press of a knob, before anything was trained with it."""
    one = lab(tmp_path, lab=tasks('"changed"'))
    file = flow.start(one, here)[0]

    def trained_with(lr: str) -> tuple[str, ...]:
        run = RunFolder(tmp_path / "runs" / f"slow-line-{lr}")
        run.path.mkdir(parents=True)
        text = file.read_text().replace("lr = 0.01", f"lr = {lr}")
        run.preset.write_text(text + "on_nan = 'pause'\n")
        flow.note_run(run, "slow-line", "slow-line")
        return progress.load().of("slow-line").deeds

    assert trained_with("0.01") == ("ran",)
    assert flow.tasks_done(one, progress.load().of("slow-line")) == [False]
    file.write_text(file.read_text() + "# saved\n")
    assert trained_with("0.010") == ("ran",)
    assert trained_with("0.5") == ("ran", "changed")
    assert flow.tasks_done(one, progress.load().of("slow-line")) == [True]


@pytest.mark.slow
@pytest.mark.parametrize("is_detached", [False, True])
def test_a_run_ticks_off_its_task_when_it_has_ended(tmp_path: Path, here: Path, is_detached: bool) -> None:
    """A task would be ticked while its run trains, or never when nobody watches it."""
    flow.start(lab(tmp_path, lab=tasks('"ran"')), here)
    flow.predict(find_lab("slow-line"), {"bias": 1})
    options = Options(runs_dir=tmp_path / "runs", quiet=True)
    if is_detached:
        start.detach("slow-line.toml", ["train.epochs=1000000"], options)
        (run,) = (tmp_path / "runs").glob("slow-line-*")
        assert progress.load().of("slow-line").deeds == ()
        sync.attach(str(run)).stop()
        wait_for(lambda: progress.load().of("slow-line").deeds, "the tick")
    else:
        assert start.run("slow-line.toml", [], options) == 0
    assert progress.load().of("slow-line").deeds == ("ran",)


def test_explanation_and_solution_open_after_a_pass(tmp_path: Path) -> None:
    """A learner could copy the answer, or an instructor not read it."""
    slow = lab(tmp_path)
    with pytest.raises(DescentError, match="explanation opens once the lab is passed"):
        flow.explain(slow)
    with pytest.raises(DescentError, match="solution opens once the lab is passed"):
        flow.solution(slow)
    assert flow.solution(slow, instructor=True).set == ("optimizer.lr=0.5",)
    progress.attempted("slow-line", passed=True, met=1, of=1, checks=[])
    assert flow.solution(slow).predictions == {"bias": 1.0}
    assert not progress.load().of("slow-line").read
    assert flow.explain(slow) == "Because of the rate."
    assert progress.load().of("slow-line").read


# --- where the learner is ---


@pytest.mark.slow
def test_each_step_leads_to_the_next(tmp_path: Path, here: Path) -> None:
    """`descent lab` would send a learner to the wrong place, or past the explanation."""
    first = lab(tmp_path, lab=LAB.replace("order = 1", "order = 0"))
    steps = []

    def note() -> None:
        now = progress.load()
        steps.append(flow.step(first, now))
        following = flow.upcoming(now)
        assert following is not None
        assert (following.id == first.id) == (steps[-1] != "done")

    progress.hinted(first.id, 1)
    note()
    flow.start(first, here)
    note()
    flow.predict(first, {"bias": 1})
    note()
    progress.attempted(first.id, passed=False, met=0, of=1, checks=[])
    note()
    progress.attempted(first.id, passed=True, met=1, of=1, checks=[])
    note()
    flow.explain(first)
    make_lab(tmp_path / "own" / "labs", "second")
    note()
    assert steps == ["start", "predict", "run", "run", "explain", "done"]
    progress.hinted("second", 1)
    following = flow.upcoming(progress.load())
    assert following is not None
    assert following.id == "second"


def test_after_a_lab_comes_the_next_one_that_is_open(tmp_path: Path) -> None:
    """A learner who began in the middle of the course would be sent back to its beginning after each pass."""
    for at in range(1, 5):
        lab(tmp_path, lab=LAB.replace("order = 1", f"order = {at - 1}"), lab_id=f"lab-{at}")
    for name in ("lab-2", "lab-3"):
        progress.attempted(name, passed=True, met=1, of=1, checks=[])
        progress.read(name)

    def after(name: str | None = None) -> str:
        found = flow.upcoming(progress.load(), name)
        assert found is not None
        return found.id

    assert after() == "lab-4"
    assert [after(f"lab-{at}") for at in range(1, 5)] == ["lab-1", "lab-4", "lab-4", "lab-4"]


# --- what was missed is asked again ---


@pytest.mark.slow
def test_a_missed_prediction_is_asked_once_more_two_labs_later(tmp_path: Path) -> None:
    """A wrong idea would stay: a learner reads the result once, and never meets the question again."""
    course = [lab(tmp_path, lab=LAB.replace("order = 1", f"order = {at}"), lab_id=f"lab-{at}") for at in range(1, 4)]
    first, second, third = course
    question = first.model.predictions[0]
    compared = [{"id": "bias", "predicted": 1.0, "result": 2.0}]
    assert flow.missed(first, compared) == {"bias": 2.0}
    assert flow.missed(first, [{"id": "bias", "predicted": 1.9, "result": 2.0}]) == {}
    progress.attempted(first.id, passed=False, met=0, of=1, checks=[], missed=flow.missed(first, compared))
    assert flow.once_more(third, progress.load()) == []  # before a pass the result may still change
    progress.attempted(first.id, passed=True, met=1, of=1, checks=[], missed=flow.missed(first, compared))
    assert flow.once_more(second, progress.load()) == []
    asked = flow.once_more(third, progress.load())
    assert [(one.lab.id, one.question, one.result) for one in asked] == [(first.id, question, 2.0)]
    assert flow.answered_once_more(asked[0], 2.1) == "Right this time. result: 2"
    assert progress.load().of(first.id).once_more == {"bias": 2.1}
    assert flow.once_more(third, progress.load()) == []


@pytest.mark.slow
def test_a_question_that_is_left_unanswered_blocks_nothing(tmp_path: Path) -> None:
    """A learner would be kept from the lab by the question of another one, or be asked it for ever."""
    first, _second, third = [
        lab(tmp_path, lab=LAB.replace("order = 1", f"order = {at}"), lab_id=f"lab-{at}") for at in range(1, 4)
    ]
    progress.attempted(first.id, passed=True, met=1, of=1, checks=[], missed={"bias": 2.0})
    flow.predict(third, {"bias": 1})
    (asked,) = flow.once_more(third, progress.load())
    flow.answered_once_more(asked, None)
    assert flow.once_more(third, progress.load()) == []
    assert progress.load().last == third.id
