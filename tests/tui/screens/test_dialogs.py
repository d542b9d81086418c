"""Ask, help, settings and overrides: a dialog that takes the wrong key or hides what is wrong misleads its user."""

import tomllib
from pathlib import Path
from typing import Any

import pytest
from textual.widgets import Input

from descent.common.errors import DescentError
from tests.helpers.screens import burst, console, place, seen, text
from tests.helpers.waiting import until
from tui import settings
from tui.data.run_settings import flat_settings
from tui.data.snapshot import Snapshot
from tui.screens import dialogs, overrides
from tui.screens.dialogs import Ask, More, ask_to_stop
from tui.screens.home.screen import Home
from tui.screens.overrides import Overrides
from tui.settings import Settings

__all__ = ["place"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("keys", "chosen"),
    [(["y"], True), (["n"], False), (["enter"], False), (["down", "enter"], True), (["up", "enter"], True),
     (["escape"], None), (["z", "escape"], None)],
)  # fmt: skip
async def test_ask(place: Path, keys: list[str], chosen: bool | None) -> None:
    """A question would be answered otherwise than its user meant."""
    app = console()
    answers: list[bool | None] = []
    async with app.run_test() as pilot:
        question: Ask[bool] = Ask("sure [b]?", "a [red]file[/]\x1b[2J", [("n", "no", False), ("y", "yes", True)])
        app.push_screen(question, answers.append)
        assert "a [red]file[/][2J" in await seen(pilot, "sure [b]?")
        await pilot.press(*keys)
        await until(pilot, lambda: answers, "the answer")
    assert answers == [chosen]


@pytest.mark.slow
async def test_a_key_typed_ahead_agrees_to_nothing(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A `y` meant for the screen below would run somebody's code."""
    monkeypatch.setattr(dialogs, "REACTION", 3600.0)
    app = console()
    answers: list[bool | None] = []
    async with app.run_test() as pilot:
        question: Ask[bool] = Ask("sure?", "", [("n", "no", False), ("y", "yes", True)], careful=True)
        app.push_screen(question, answers.append)
        await seen(pilot, "sure?")
        await pilot.press("y", "down", "enter")
        assert not answers
        monkeypatch.setattr(dialogs, "REACTION", 0.0)
        question._be_seen()
        await pilot.press("y")
        assert not answers  # the clock runs from when it was first seen
        question = Ask("and now?", "", [("y", "yes", True)], careful=True)
        app.push_screen(question, answers.append)
        await until(pilot, lambda: question.takes_keys, "the question to be seen")
        await pilot.press("y")
        await until(pilot, lambda: answers, "the answer")
    assert answers == [True]


async def test_a_loop_that_is_counted_in_steps_is_made_longer_by_steps(place: Path) -> None:
    """Epochs would be asked for, and refused by the run."""
    app = console()
    answers: list[Any] = []
    async with app.run_test() as pilot:
        app.push_screen(More(Snapshot("mine", "mine", "running", counted_in="steps")), answers.append)
        assert "More steps" in await seen(pilot, "train for longer")
        await pilot.press(*"5 epochs", "enter")
        assert not answers
        await pilot.press("home", "ctrl+k", *"70", "enter")
        await until(pilot, lambda: answers, "the answer")
    assert answers == [{"steps": 70}]


def test_a_stop_offers_only_what_the_run_can_do() -> None:
    """An undriven loop knows of no epochs, and nothing resumes it."""
    preset = Snapshot("digits-mlp", "mine", "running")
    own = Snapshot("mine", "mine", "running", refused={"fork": "it begins anew"}, has_epochs=False)
    for now, can in ((preset, True), (own, False)):
        asked = ask_to_stop(now)
        assert ("epoch" in [choice[2] for choice in asked._choices]) == can
        assert ("resume" in asked._text) == can


@pytest.mark.slow
async def test_help_says_the_keys_as_they_are_bound(place: Path) -> None:
    """Help would name keys that do something else."""
    app = console(settings=Settings(keys={"home.find": "ctrl+f"}))
    async with app.run_test(size=(120, 40)) as pilot:
        await seen(pilot, "images")
        await pilot.press("question_mark")
        shown = await seen(pilot, "everywhere")
        assert "^f" in next(line for line in shown.splitlines() if "find as you type" in line)
        await pilot.press("escape")
        await until(pilot, lambda: isinstance(app.screen, Home), "Home")
        await pilot.press("ctrl+f", *"line")
        await seen(pilot, "$ descent run line")


@pytest.mark.slow
async def test_settings_are_kept(place: Path) -> None:
    """A user would set the colours anew at each start."""
    app = console(settings=Settings(theme="dark"))
    async with app.run_test(size=(120, 40)) as pilot:
        await seen(pilot, "images")
        await pilot.press("s")
        await seen(pilot, "frames per second")
        await pilot.press("right", "down", "down", "down", "down", "left")
        await until(pilot, lambda: settings.load()[0].notify == "off", "the file")
        assert app.theme == "light"
    assert settings.load() == (Settings(theme="light", notify="off"), None)


@pytest.mark.slow
async def test_overrides(place: Path) -> None:
    """A wrong setting would be found out only after the run was started, or a right one not be used."""
    app = console()
    got: list[Any] = []
    async with app.run_test(size=(120, 40)) as pilot:
        await seen(pilot, "images")
        app.push_screen(Overrides("line", "line"), got.append)
        await seen(pilot, "optimizer.lr ")
        await pilot.press(*"epo", "tab", "x", "enter")
        assert "train.epochs" in await seen(pilot, "whole number")
        await pilot.press("ctrl+l", *"epo", "tab", "7")
        await until(pilot, lambda: "20 → 7" in text(app), "what it changes")
        await pilot.press("enter")
        await until(pilot, lambda: got, "the overrides")
    assert got == [["train.epochs=7"]]


async def test_a_setting_is_chosen_from_the_list(place: Path) -> None:
    """Who does not know how a key begins could only read the list of them."""
    app = console()
    got: list[Any] = []
    async with app.run_test(size=(120, 40)) as pilot:
        await seen(pilot, "images")
        app.push_screen(Overrides("line", "line"), got.append)
        await seen(pilot, "optimizer.lr ")
        keys = list(flat_settings("line", []))
        await pilot.press("up", *["down"] * 2, "tab")
        await pilot.pause(overrides._DELAY)
        await until(pilot, lambda: not list(app.screen.workers), "the check of what was typed")
        assert "must be" not in text(app)  # its value is still to be typed
        await pilot.press(*"0.5", "space", *["down"] * len(keys), "tab", *"3")
        line = app.screen.query_one(Input)
        assert line.value == f"{keys[2]}=0.5 {keys[-1]}=3"
        assert keys[-1] in text(app)  # scrolled to


@pytest.mark.slow
async def test_keys_in_one_piece_are_taken_in_their_order(place: Path) -> None:
    """Over a slow line letters and the tab after them come together: one that overtakes completes another key."""
    app = console()
    async with app.run_test(size=(120, 40)) as pilot:
        await seen(pilot, "images")
        app.push_screen(Overrides("line", "line"))
        await seen(pilot, "optimizer.lr ")
        burst(app, *"epo", "tab", *"7")
        await until(pilot, lambda: "20 → 7" in text(app), "what it changes")


# --- the settings' file ---


def test_what_is_wrong_in_the_file_is_told_once(tmp_path: Path) -> None:
    """A typing error would cost all settings, or keep the app shut."""
    file = tmp_path / "settings.toml"
    file.write_text('theme = "drak"\nfsp = 3\nsmoothing = 0.9\n[keys]\n"home.find" = 3\n')
    found, complaint = settings.load(file)
    assert found == Settings(smoothing=0.9)
    assert complaint is not None
    first, second, third = complaint.splitlines()
    assert first == f'{file}: theme = "drak": must be one of {", ".join(settings.THEMES)}'
    assert "fsp: unknown key; did you mean fps?" in second
    assert "keys = " in third


def test_hosts_are_kept_and_a_wrong_one_is_left_to_the_user(tmp_path: Path) -> None:
    """What a user had listed would be lost by another theme, or ssh would take it for an option."""
    file = tmp_path / "settings.toml"
    file.write_text('hosts = ["gpu1", "me@gpu2 ~/bin/descent"]\n')
    found, complaint = settings.load(file)
    assert (found.hosts, complaint) == (("gpu1", "me@gpu2 ~/bin/descent"), None)
    settings.save(found, file)
    assert settings.load(file) == (found, None)
    file.write_text('hosts = ["gpu1", "-oProxyCommand=reboot"]\n')
    found, complaint = settings.load(file)
    assert found == Settings()
    assert 'must be a list of "HOST" or "HOST COMMAND"' in str(complaint)
    settings.save(Settings(theme="light"), file)
    assert tomllib.loads(file.read_text())["hosts"] == ["gpu1", "-oProxyCommand=reboot"]


def test_a_file_that_is_no_toml_is_left_alone(tmp_path: Path) -> None:
    """What a user had written would be lost by a change on the settings screen."""
    file = tmp_path / "settings.toml"
    file.write_text("theme = dark")
    found, complaint = settings.load(file)
    assert found == Settings()
    assert "is not TOML" in str(complaint)
    with pytest.raises(DescentError, match="is not TOML"):
        settings.save(Settings(), file)
    assert file.read_text() == "theme = dark"


def test_saving_keeps_what_it_does_not_know(tmp_path: Path) -> None:
    """An older version would delete a newer one's settings."""
    file = tmp_path / "new" / "settings.toml"
    settings.save(Settings(keys={"home.find": "f"}), file)
    file.write_text(file.read_text() + "\n[later]\nx = 1\n")
    settings.save(Settings(fps=4.0), file)
    assert tomllib.loads(file.read_text()) == {
        "theme": "auto", "fps": 4.0, "smoothing": 0.6, "log_y": True, "notify": "bell", "later": {"x": 1}
    }  # fmt: skip
