"""The screen after a pass: without it a learner would not see what came out of the predictions, nor why."""

import json
from pathlib import Path
from typing import Any

import pytest

from engine.labs import flow, grading, progress, template
from engine.labs.library import find_lab
from tests.helpers.live_console import shown
from tests.helpers.screens import console, record
from tests.helpers.verdicts import whole
from tests.helpers.waiting import until
from tui.screens.lab.passed import Passed
from tui.widgets.chart import Chart

pytestmark = pytest.mark.slow

LAB = "slow-line"
LAST = "This is how the explanation ends."


@pytest.fixture
def passed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A lab with a reference curve and a long explanation, passed with a run of each of its two presets."""
    work = tmp_path / "work"
    (work / "labs").mkdir(parents=True)
    template.make(LAB, work / "labs")
    file = work / "labs" / LAB / "lab.toml"
    why = "The loss of the best line is about the variance of the noise, 0.1² = 0.01."
    file.write_text(file.read_text().replace(why, f"{why}\n\n" + "More of it.\n\n" * 8 + LAST + "\n\n"))
    steps = list(range(1, 11))
    curve = {"chart": "loss", "series": "train", "step": steps} | dict.fromkeys(("mean", "low", "high"), [0.5] * 10)
    (file.parent / "reference.json").write_text(json.dumps(curve))
    monkeypatch.chdir(work)
    lab = find_lab(LAB)
    flow.start(lab, work)
    flow.predict(lab, {"loss": 0.01})
    progress.attempted(LAB, passed=True, met=1, of=1, checks=[{"id": "test-loss", "value": 0.01, "passed": True}])
    with grading.private_folder(lab, "graded") as place:
        record(place / "runs", "linear", "finished", steps=100)
        record(place / "runs", "main", "finished", steps=400)
        (place / "verdict.json").write_text(json.dumps(whole(predictions=[{"id": "loss", "result": 0.0098}])))
    return work


async def opened(pilot: Any) -> Passed:
    await until(pilot, lambda: LAB in shown(pilot), "the lab")
    await pilot.press("y")
    screen = await until(pilot, lambda: s if isinstance(s := pilot.app.screen, Passed) else None, "the pass")
    await until(pilot, lambda: "your answer: 0.01" in shown(pilot), "the prediction")
    assert isinstance(screen, Passed)
    return screen


async def pressed_until(pilot: Any, key: str, text: str) -> None:
    """`key` leads to where `text` is."""
    for _ in range(60):
        if text in shown(pilot):
            return
        await pilot.press(key)
    await until(pilot, lambda: text in shown(pilot), f"{text!r}, by {key}")


async def test_both_curves_have_a_name_and_are_of_the_same_preset(passed: Path) -> None:
    """A learner would take the curve of another preset for their own, or not know which is which."""
    app = console(lab=LAB)
    async with app.run_test(size=(120, 40)) as pilot:
        chart = (await opened(pilot)).query_one(Chart)
        await until(pilot, lambda: "reference 0.5" in shown(pilot) and "yours " in shown(pilot), "the names")
        own = next(line for line in chart.data.lines if line.name == "yours")
        assert own.xs is not None
        assert len(own.xs) == 400


async def test_all_of_it_can_be_read_on_a_small_screen(passed: Path) -> None:
    """The explanation would end below the edge, where no key leads."""
    app = console(lab=LAB)
    async with app.run_test(size=(80, 24)) as pilot:
        await opened(pilot)
        assert LAST not in shown(pilot)
        await pressed_until(pilot, "pagedown", LAST)
        await pressed_until(pilot, "pageup", "your answer: 0.01")
        await pressed_until(pilot, "down", LAST)


async def test_the_chart_is_drawn_anew_in_another_size(passed: Path) -> None:
    """Its frame would be empty after the window was made smaller."""
    app = console(lab=LAB)
    async with app.run_test(size=(120, 40)) as pilot:
        chart = (await opened(pilot)).query_one(Chart)
        await pilot.resize_terminal(80, 24)
        await until(pilot, lambda: 0 < chart.content_size.width < 80, "the new size")
        chart.scroll_visible(animate=False)
        await until(pilot, lambda: chart._canvas is not None and "reference 0.5" in shown(pilot), "the chart")


CHOICE = """
[[lab.predictions]]
id = "sign"
kind = "choice"
result = '"up"'
choices = [
    { id = "up", text = { en = "it grows", ko = "커진다" } },
    { id = "down", text = { en = "it shrinks", ko = "작아진다" }, why = { en = "Minus a minus is plus.", ko = "-" } },
]
[lab.predictions.text]
en = "What does w do?"
ko = "w는 어떻게 될까요?"
"""


@pytest.mark.parametrize(("result", "mark"), [(0.0098, "✓ your answer: 0.01"), (0.03, "✗ your answer: 0.01")])
async def test_a_number_that_was_missed_is_marked_and_told_why(passed: Path, result: float, mark: str) -> None:
    """A learner whose number was far off would see the same as one who was right."""
    graded = grading.last_graded(LAB)
    assert graded is not None
    (graded / "verdict.json").write_text(json.dumps(whole(predictions=[{"id": "loss", "result": result}])))
    app = console(lab=LAB)
    async with app.run_test(size=(80, 24)) as pilot:
        await opened(pilot)
        await until(pilot, lambda: mark in shown(pilot), "the mark")
        assert f"  result: {result}" in shown(pilot)
        assert ("What is left of the error is the noise" in shown(pilot)) is (result == 0.03)


@pytest.mark.parametrize(
    ("answer", "mark"), [("up", "✓ your answer: it grows"), ("down", "✗ your answer: it shrinks")]
)
async def test_a_wrong_choice_is_marked_and_told_why(passed: Path, answer: str, mark: str) -> None:
    """A learner whose prediction was wrong would see the same as one who was right, and learn nothing from it."""
    file = passed / "labs" / LAB / "lab.toml"
    file.write_text(file.read_text() + CHOICE)
    flow.predict(find_lab(LAB), {"sign": answer})
    graded = grading.last_graded(LAB)
    assert graded is not None
    results = [{"id": "loss", "result": 0.0098}, {"id": "sign", "result": "up"}]
    (graded / "verdict.json").write_text(json.dumps(whole(predictions=results)))
    app = console(lab=LAB)
    async with app.run_test(size=(80, 24)) as pilot:
        await opened(pilot)
        await until(pilot, lambda: mark in shown(pilot), "the mark")
        assert "  result: it grows" in shown(pilot)
        assert ("Minus a minus is plus." in shown(pilot)) is (answer == "down")
