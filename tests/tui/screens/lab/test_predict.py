"""A prediction is final: nothing may be kept that the learner has not chosen."""

from pathlib import Path
from typing import Any

import pytest

from engine.labs import flow
from engine.labs.format import Prediction
from engine.labs.library import find_lab
from tests.helpers.live_console import shown
from tests.helpers.screens import console
from tests.helpers.waiting import until
from tui.screens.lab.predict import Predict
from tui.screens.lab.screen import LabScreen

TEXT = {"en": "What does `w` **do**?", "ko": "?"}
CHOICES = [{"id": name, "text": {"en": f"`{name}`", "ko": name}} for name in ("up", "down", "same")]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("keys", "kept"), [(["3", "enter"], "same"), (["down", "enter"], "up"), (["down", "down", "enter"], "down")]
)
async def test_enter_alone_is_no_answer(keys: list[str], kept: str) -> None:
    """Two enters, meant for the screen before, would keep the first choice of a question that nobody has read."""
    question = Prediction.model_validate({"id": "q", "kind": "choice", "text": TEXT, "choices": CHOICES})
    answers: list[Any] = []
    app = console()
    async with app.run_test(size=(80, 24)) as pilot:
        app.push_screen(Predict(question, "prediction 1 of 1"), answers.append)
        await until(pilot, lambda: "What does w do?" in shown(pilot), "the question")
        await pilot.press("enter", "enter")
        await until(pilot, lambda: "choose first" in shown(pilot), "what enter needs")
        assert answers == []
        assert "`" not in shown(pilot)  # marks of Markdown are for texts that are drawn as such
        await pilot.press(*keys)
        await until(pilot, lambda: answers, "the answer")
        assert answers == [kept]


@pytest.mark.slow
async def test_an_empty_number_is_asked_for_in_words() -> None:
    """A learner who only presses enter would read of an empty pair of quotation marks."""
    question = Prediction.model_validate({"id": "q", "kind": "number", "text": TEXT, "least": 0, "most": 3})
    answers: list[Any] = []
    app = console()
    async with app.run_test(size=(80, 24)) as pilot:
        app.push_screen(Predict(question, "prediction 1 of 1"), answers.append)
        await until(pilot, lambda: "What does w do?" in shown(pilot), "the question")
        await pilot.press("enter")
        await until(pilot, lambda: "type a number from 0 to 3 first" in shown(pilot), "what is wanted")
        await pilot.press("2", "enter")
        await until(pilot, lambda: answers == [2], "the answer")


@pytest.mark.slow
async def test_no_criterion_tells_the_answer_before_the_prediction(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`rise` is to be 8 / 72, which is what the second question asks for."""
    monkeypatch.chdir(tmp_path)
    outliers = find_lab("outliers")
    flow.start(outliers, tmp_path)
    app = console(lab="outliers")
    async with app.run_test(size=(120, 40)) as pilot:
        await until(pilot, lambda: "shown once you have predicted" in shown(pilot), "where the criteria will be")
        assert "0.111" not in shown(pilot)
        flow.predict(outliers, {"shift": "up", "rise": 0.1, "best": "median"})
        assert isinstance(app.screen, LabScreen)
        await app.screen.panel.look_again()
        await until(pilot, lambda: "0.111" in shown(pilot), "the criteria")
