"""The knobs on a lab's screens: without them a trial is twenty keys in an editor."""

import re
from pathlib import Path
from typing import Any

import pytest

from engine.labs import flow
from engine.labs.library import find_lab
from tests.helpers.live_console import shown
from tests.helpers.screens import console
from tests.helpers.small_lab import LAB as LAB_TEXT
from tests.helpers.small_lab import make_lab
from tests.helpers.waiting import until
from tui.app import DescentApp
from tui.screens.console.screen import Console
from tui.screens.lab.screen import LabScreen
from tui.widgets.lab_knobs import KnobPanel

LAB = "slow-line"
KNOBS = """changes = ["optimizer.lr", "model.init", "members"]
knobs = [{ key = "optimizer.lr" }, { key = "model.init" }, { key = "members.repeats", choices = [1, 2] }]"""


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, warm: Any) -> Path:
    """A folder with a lab of three knobs, whose files are there and whose question is answered."""
    make_lab(tmp_path / "labs", lab=LAB_TEXT.replace('changes = ["optimizer.lr"]', KNOBS))
    monkeypatch.chdir(tmp_path)
    flow.start(find_lab(LAB), tmp_path)
    flow.predict(find_lab(LAB), {"bias": 1.0})
    return tmp_path


async def opened(pilot: Any, app: DescentApp) -> KnobPanel:
    """The knobs, once the lab's screen has the focus on them."""
    await until(pilot, lambda: isinstance(app.screen, LabScreen) and LAB in shown(pilot), "the lab")
    return await until(pilot, lambda: app.screen.query_one(KnobPanel) if app.focused else None, "the knobs")


@pytest.mark.slow
@pytest.mark.parametrize("size", [(80, 24), (120, 40)])
async def test_a_trial_takes_two_keys_and_the_file_keeps_its_comments(here: Path, size: tuple[int, int]) -> None:
    """A learner would spend their hour on arrows."""
    file = here / f"{LAB}.toml"
    app = console(lab=LAB)
    async with app.run_test(size=size) as pilot:
        panel = await opened(pilot, app)
        assert app.focused is panel
        await pilot.press("right", "enter")
        first = await until(pilot, lambda: app.screen if isinstance(app.screen, Console) else None, "the run")
        assert "lr = 0.02  # too slow" in file.read_text()
        await until(pilot, lambda: first.snapshot is not None and first.snapshot.state == "finished", "its end")
        assert re.search(r"repeats +1\b", shown(pilot))  # what holds without a table of members
        assert "was " not in shown(pilot)  # the file is as the run on the screen
        await pilot.press("right")
        await until(pilot, lambda: "was 0.02" in shown(pilot), "what the run on the screen had")
        await pilot.press("enter")
        second = await until(
            pilot, lambda: s if isinstance(s := app.screen, Console) and s is not first else None, "the next run"
        )
        await until(pilot, lambda: second.snapshot is not None and second.snapshot.state == "finished", "its end")
        assert "lr = 0.05  # too slow" in file.read_text()
        assert "lr = 0.05\n" in second.folder.preset.read_text()
        await pilot.press("escape")
        await until(pilot, lambda: isinstance(app.screen, LabScreen), "the lab: the knobs are nothing to be left")


@pytest.mark.slow
async def test_up_and_down_choose_and_left_and_right_turn(here: Path) -> None:
    """Only the first knob could be turned, or the wrong one."""
    file = here / f"{LAB}.toml"
    app = console(lab=LAB)
    async with app.run_test(size=(120, 40)) as pilot:
        await opened(pilot, app)
        app.screen.set_focus(None)  # as behind the editor
        await pilot.press("down", "right")
        await until(pilot, lambda: "◂ normal ▸" in shown(pilot), "the second knob")
        assert 'init = "normal"' in file.read_text()
        await pilot.press("up", "left")
        await until(pilot, lambda: "◂ 0.005 ▸" in shown(pilot), "the first one")
        assert "lr = 0.005  # too slow" in file.read_text()
        await pilot.press("down", *["right"] * 8)
        await until(pilot, lambda: "no further" in shown(pilot), "the last value")
        await pilot.press("left")
        await until(pilot, lambda: "no further" not in shown(pilot), "what was said of the last value to go")


@pytest.mark.slow
async def test_what_an_editor_writes_is_shown_and_what_is_wrong_is_said(here: Path) -> None:
    """The panel would show a value that does not train, or enter would lead to an error."""
    file = here / f"{LAB}.toml"
    app = console(lab=LAB)
    async with app.run_test(size=(120, 40)) as pilot:
        await opened(pilot, app)
        text = file.read_text()
        file.write_text(text.replace("lr = 0.01", "lr = 0.3"))
        await until(pilot, lambda: "◂ 0.3 ▸" in shown(pilot), "the new value")
        file.write_text(text.replace("lr = 0.01", "lr = fast"))
        await until(pilot, lambda: f"{LAB}.toml: line" in shown(pilot), "what is wrong")
        await pilot.press("right")
        await pilot.pause(0.1)
        assert "lr = fast" in file.read_text()
        file.write_text(text)
        await until(pilot, lambda: "◂ 0.01 ▸" in shown(pilot), "the mended file")


@pytest.mark.slow
async def test_read_only_turns_nothing(here: Path) -> None:
    """Somebody who looks over a shoulder would change another's file."""
    file = here / f"{LAB}.toml"
    before = file.read_text()
    app = console(lab=LAB, read_only=True)
    async with app.run_test(size=(120, 40)) as pilot:
        await opened(pilot, app)
        await pilot.press("right", "left", "enter")
        await pilot.pause(0.1)
        assert file.read_text() == before
        assert isinstance(app.screen, LabScreen)


async def test_the_keys_that_train_are_named_where_they_train_different_presets(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A task asks to train the other preset, and nothing on the screen would say how."""
    monkeypatch.chdir(tmp_path)
    xor = find_lab("xor")
    flow.start(xor, tmp_path)
    flow.predict(xor, {question.id: 3.0 for question in xor.model.predictions})
    app = console(lab="xor")
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: "enter train  w " in (text := shown(pilot)) and "g presets" in text, "both keys")
