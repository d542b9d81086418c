"""The lab screens: without them a learner could not get from `descent lab` to a passed lab with the screen alone."""

import asyncio
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from rich.cells import cell_len
from textual.widgets import OptionList, TextArea

from descent.common.i18n import use
from engine.labs import progress, template
from tests.helpers.live_console import shown
from tests.helpers.screens import console
from tests.helpers.waiting import until
from tui.app import DescentApp
from tui.screens.console.screen import Console
from tui.screens.lab.passed import Passed
from tui.screens.lab.screen import LabScreen
from tui.terminal import Terminal
from tui.widgets.chart import Chart
from tui.widgets.lab_guide import Guide

pytestmark = pytest.mark.slow

LAB = "slow-line"


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, warm: None) -> Path:
    """A folder to work in, and one lab beside those that are shipped."""
    work = tmp_path / "work"
    (work / "labs").mkdir(parents=True)
    template.make(LAB, work / "labs")
    monkeypatch.chdir(work)
    return work


def lab_app(**options: Any) -> DescentApp:
    return console(lab=LAB, **options)


async def opened(pilot: Any) -> LabScreen:
    await until(pilot, lambda: isinstance(pilot.app.screen, LabScreen) and "slow-line" in shown(pilot), "the lab")
    screen = pilot.app.screen
    assert isinstance(screen, LabScreen)
    return screen


def ready_to_run(here: Path) -> None:
    """The files are there, the question is answered."""
    from engine.labs import flow
    from engine.labs.library import find_lab

    flow.start(find_lab(LAB), here)
    flow.predict(find_lab(LAB), {"loss": 0.01})


async def test_a_lab_in_ascii_multiplies(here: Path) -> None:
    """`lr · ∂MSE/∂b` was read as "lr | dMSE/db", beside a scrollbar of signs that such a terminal has not."""
    app = DescentApp(lab="gd-line", terminal=Terminal(unicode=False))
    async with app.run_test(size=(120, 40)) as pilot:
        await until(pilot, lambda: "b <- b - lr * dMSE/db" in shown(pilot), "the text")
        assert "y = b + w*x" in shown(pilot)
        assert {char for char in shown(pilot) if not char.isascii()} == set()


async def test_enter_leads_from_the_text_to_a_run_with_its_goal_drawn(here: Path) -> None:
    """A learner would have to know the commands, and would not see in the chart what is to be reached."""
    app = lab_app()
    async with app.run_test(size=(120, 40)) as pilot:
        await opened(pilot)
        await pilot.press("enter")
        await until(pilot, (here / f"{LAB}.toml").is_file, "the files")
        await until(pilot, lambda: "1 to answer" in shown(pilot), "the question to be announced")
        await pilot.press("enter")
        text = await until(pilot, lambda: t if "prediction 1 of 1" in (t := shown(pilot)) else "", "the question")
        assert "esc not now" in text
        for wrong, said in (("about", "must be a number"), ("-500", "not possible"), ("1e400", "not possible")):
            await pilot.press(*wrong, "enter")
            await until(pilot, lambda said=said: said in shown(pilot), "what is wrong with it")
            assert "a number, 0 or more" in shown(pilot) or wrong == "about"
            assert "loss = " not in shown(pilot)  # its internal name says nothing to the learner
            await pilot.press(*["backspace"] * 5)
        await pilot.press(*"0.02", "enter")
        await until(pilot, lambda: progress.load().of(LAB).predictions == {"loss": 0.02}, "the prediction to be kept")
        await pilot.press("enter")
        lab = await until(pilot, lambda: app.screen if isinstance(app.screen, Console) else None, "the console")
        await until(pilot, lambda: lab.snapshot is not None and lab.snapshot.state == "finished", "the run's end")
        chart = lab.query_one("#loss", Chart)
        await until(pilot, lambda: chart.data.goal == pytest.approx(0.012), "the goal")
        assert "goal 0.012" in shown(pilot)
        await until(pilot, lambda: "A line, too slowly" in shown(pilot), "the lab's title")  # the text is beside it


async def test_a_pass_shows_prediction_and_result_and_waits(here: Path) -> None:
    """The learner would not learn what came out of the prediction, or the next lab would begin unasked."""
    ready_to_run(here)
    file = here / f"{LAB}.toml"
    file.write_text(file.read_text().replace("lr = 0.01", "lr = 0.5"))
    app = lab_app()
    async with app.run_test(size=(120, 40)) as pilot:
        await opened(pilot)
        await pilot.press("k")
        await until(pilot, lambda: isinstance(app.screen, Passed), "the pass")
        text = await until(pilot, lambda: t if "your answer: 0.01" in (t := shown(pilot)) else "", "the prediction")
        assert "result: 0.0" in text
        assert "The loss of the best line" in text
        assert not progress.load().of(LAB).read
        await pilot.press("enter")
        await until(pilot, lambda: progress.load().of(LAB).read, "that it was read")


async def test_what_is_not_met_says_so_beside_its_threshold(here: Path) -> None:
    """A learner would not see how far it is to the goal."""
    ready_to_run(here)
    app = lab_app()
    async with app.run_test(size=(120, 40)) as pilot:
        await opened(pilot)
        await pilot.press("k")
        await until(pilot, lambda: progress.load().of(LAB).count == 1, "the attempt")
        measured = re.compile(r"\d +≤ 0\.012")  # behind the text of the criterion
        text = await until(pilot, lambda: t if measured.search(t := shown(pilot)) else "", "the criterion")
        lines = text.splitlines()
        last = next(at for at, line in enumerate(lines) if measured.search(line))
        marks = [line[line.index(mark)] for line in lines[:last] for mark in "✓✗○" if mark in line]
        assert marks[-1] == "✗"


async def test_files_are_edited_and_never_lost(here: Path) -> None:
    """Work typed into the editor would be gone after a slip of a key, or a broken preset would be found out late."""
    ready_to_run(here)
    file = here / f"{LAB}.toml"
    app = lab_app()
    async with app.run_test(size=(120, 40)) as pilot:
        await opened(pilot)
        await pilot.press("w")
        area = await until(pilot, lambda: next(iter(app.screen.query(TextArea)), None), "the editor")
        area.load_text(file.read_text().replace("lr = 0.01", "lr = fast"))
        await pilot.press("escape")
        await until(pilot, lambda: "not saved" in shown(pilot), "the question")
        await pilot.press("escape", "ctrl+s")
        await until(pilot, lambda: "lr = fast" in file.read_text(), "the file")
        await until(pilot, lambda: "slow-line.toml: line" in shown(pilot), "what is wrong with it")
        area.load_text(file.read_text().replace("lr = fast", "lr = 0.2"))
        await pilot.press("ctrl+s")
        await until(pilot, lambda: "saved slow-line.toml" in shown(pilot), "that it is saved")
        await pilot.press("escape")
        await opened(pilot)
        assert "lr = 0.2" in file.read_text()


async def test_files_that_are_there_are_not_overwritten(here: Path) -> None:
    """A second start would destroy what the learner had written."""
    mine = here / f"{LAB}.toml"
    mine.write_text("# mine\n")
    app = lab_app()
    async with app.run_test(size=(120, 40)) as pilot:
        await opened(pilot)
        await pilot.press("enter")
        await until(pilot, lambda: "move them aside" in shown(pilot), "the question")
        await pilot.press("m")
        await until(pilot, lambda: progress.load().of(LAB).started, "the start")
        assert (here / f"{LAB}.1.toml").read_text() == "# mine\n"
        assert "lr = 0.01" in mine.read_text()


async def test_a_hint_is_shown_and_recorded(here: Path) -> None:
    """The three levels of hints could not be reached."""
    app = lab_app()
    async with app.run_test(size=(80, 24)) as pilot:
        await opened(pilot)
        for level, words in ((1, "still falling"), (2, "optimizer.lr"), (3, "arrives within")):
            await pilot.press("h")
            await until(pilot, lambda words=words: words in shown(pilot), f"hint {level}")
            await pilot.press("enter")
            await until(pilot, lambda level=level: progress.load().of(LAB).hints == level, "its record")
            await opened(pilot)


async def test_korean_stays_within_the_screen(here: Path) -> None:
    """Wide characters would push lines over the edge, or the texts would stay English."""
    ready_to_run(here)
    use("ko")
    app = lab_app()

    async def at_each_size(word: str) -> None:
        """From the largest on; it ends at the smallest."""
        for size in ((200, 60), (120, 40), (80, 24)):
            await pilot.resize_terminal(*size)
            await until(pilot, lambda size=size: app.screen.size == size, f"the screen of {size}")
            words = {word, "너무 느린 직선"} if size[0] > 80 else {word}
            await until(pilot, lambda words=words: all(one in shown(pilot) for one in words), f"{words}")
            longest = size[0]
            await until(
                pilot,
                lambda longest=longest: max(cell_len(line) for line in shown(pilot).splitlines()) <= longest,
                "all lines within the screen",
            )

    async with app.run_test(size=(80, 24)) as pilot:
        await opened(pilot)
        await at_each_size("enter 학습")
        assert "너무 느린 직선" in shown(pilot)
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(app.screen, Console), "the console")
        await at_each_size("✓ 테스트")
        await pilot.press("t")  # text and console take turns
        await until(pilot, lambda: "너무 느린 직선" in shown(pilot), "the text")


async def test_training_again_takes_the_place_of_the_run_before(here: Path) -> None:
    """Going back would lead through every run of the evening."""
    ready_to_run(here)
    app = lab_app()
    async with app.run_test(size=(120, 40)) as pilot:
        lab = await opened(pilot)
        await pilot.press("enter")
        first = await until(pilot, lambda: app.screen if isinstance(app.screen, Console) else None, "a run")
        await until(pilot, lambda: first.snapshot is not None and first.snapshot.state == "finished", "its end")
        await pilot.press("g")
        await until(pilot, lambda: isinstance(app.screen, Console) and app.screen is not first, "another run")
        second = app.screen
        await until(pilot, lambda: second.snapshot is not None and second.snapshot.state == "finished", "its end")
        await pilot.press("escape")
        await until(pilot, lambda: app.screen is lab, "the lab")


async def test_read_only_changes_nothing(here: Path) -> None:
    """Somebody who only looks over a shoulder would start runs or use up hints."""
    app = lab_app(read_only=True)
    async with app.run_test(size=(120, 40)) as pilot:
        await opened(pilot)
        await pilot.press("enter", "h", "k", "w", "g")
        await pilot.pause(0.1)
        assert not (here / f"{LAB}.toml").exists()
        assert progress.load().of(LAB) == progress.Record()


async def test_a_look_that_the_next_one_cancels_leaves_no_half_text(here: Path) -> None:
    """A learner who turns a knob fast would see the text of before, or none, until the lab is opened again."""
    ready_to_run(here)
    async with lab_app().run_test(size=(120, 40)) as pilot:
        lab = await opened(pilot)
        await until(pilot, lambda: "Change the preset" in shown(pilot), "the text")
        look = lab.run_worker(lab.query_one(Guide).show(replace(lab.panel.status, trained=True)))
        await asyncio.sleep(0)
        look.cancel()
        await until(pilot, lambda: "What this lab is about" in shown(pilot), "the text after a training")


async def test_other_labs_are_a_key_away(here: Path) -> None:
    """A learner could not choose which lab to do."""
    app = lab_app()
    async with app.run_test(size=(120, 40)) as pilot:
        await opened(pilot)
        await pilot.press("b")
        await until(pilot, lambda: "which lab?" in shown(pilot) and "mnist-quiz" in shown(pilot), "the course")
        await pilot.press(*"xxxx")
        await until(pilot, lambda: "no lab fits" in shown(pilot), "that there is none")
        await pilot.press("enter", "backspace", "backspace", "backspace", "backspace", *"quiz")
        listed = app.screen.query_one(OptionList)
        await until(pilot, lambda: listed.option_count < 5 and "mnist-quiz" in shown(pilot), "only what fits")
        await pilot.press("down", "up", "enter")
        await until(pilot, lambda: isinstance(app.screen, LabScreen) and app.screen.lab_id != LAB, "the other lab")
        assert "quiz" in app.screen.lab_id
