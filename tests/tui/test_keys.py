"""Keys of one burst, as a slow line delivers them, would be taken in another order than they were typed in."""

import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from textual.pilot import Pilot
from textual.widgets import Input, TextArea

from descent.run.folder import RunFolder
from engine.launch import start
from tests.helpers.live_console import shown
from tests.helpers.recorded_run import record
from tests.helpers.screens import burst, console, place, seen
from tests.helpers.waiting import DEADLINE, until
from tui.screens import starting
from tui.screens.console.screen import Console
from tui.screens.help import Help
from tui.screens.home.screen import Home
from tui.screens.overrides import Overrides

pytestmark = pytest.mark.slow

__all__ = ["place"]  # a fixture


@asynccontextmanager
async def home(**options: Any) -> AsyncIterator[Pilot[Any]]:
    app = console(**options)
    async with app.run_test(size=(120, 40)) as pilot:
        await seen(pilot, "images")
        yield pilot


@pytest.mark.parametrize(
    ("keys", "typed"),
    [
        ([*"abcd", "home", "Z"], "Zabcd"),
        ([*"abcd", "left", "left", "Z"], "abZcd"),
        ([*"teh", "backspace", "backspace", *"hex", "backspace", "y"], "they"),
        ([*"ab cd", "ctrl+w", "Z"], "ab Z"),
    ],
)
async def test_a_field_takes_its_keys_in_order(place: Path, keys: list[str], typed: str) -> None:
    """Text would be scrambled: letters overtake backspace and the arrows."""
    async with home() as pilot:
        for field in (Input(), TextArea()):
            await pilot.app.screen.mount(field)
            field.focus()
            await until(pilot, lambda field=field: field.has_focus, "the focus")
            burst(pilot.app, *keys)
            text = "value" if isinstance(field, Input) else "text"
            await until(pilot, lambda field=field, text=text: getattr(field, text) == typed, typed)


async def test_keys_behind_one_that_opens_a_screen_are_for_that_screen(place: Path) -> None:
    """What was typed for a run would steer the list, start another, or be lost."""
    record(place / "runs")
    async with home(runs_dir=place / "runs") as pilot:
        app = pilot.app
        await seen(pilot, "kqzt")
        burst(app, "home", "enter", "3", "question_mark", *["escape"] * 3, "slash", *"line")
        await until(
            pilot, lambda: isinstance(app.screen, Home) and app.screen.query_one(Input).value == "line", "all"
        )
        burst(app, "escape", "home", "enter", "3")
        await until(
            pilot, lambda: isinstance(app.screen, Console) and app.screen.console_panes.alone == "rate", "a zoom"
        )
        burst(app, "question_mark")
        await until(pilot, lambda: isinstance(app.screen, Help), "the help")


async def test_keys_behind_enter_wait_for_the_run_that_starts(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A pause right behind the start would be taken by the list; a second enter would start a second run."""
    run, go_on, started = record(place / "elsewhere"), threading.Event(), []

    def detach(*words: object, **options: object) -> RunFolder:
        started.append(words)
        assert go_on.wait(DEADLINE)
        return run

    monkeypatch.setattr(start, "detach", detach)
    async with home() as pilot:
        app = pilot.app
        burst(app, "slash", *"line", "enter", "enter", "3")
        await until(pilot, lambda: started, "the start")
        await pilot.pause(0.2)
        burst(app, "e")  # would open a dialog on the list
        go_on.set()
        await until(
            pilot, lambda: isinstance(app.screen, Console) and app.screen.console_panes.alone == "rate", "a zoom"
        )
        assert len(started) == 1
        assert not any(isinstance(screen, Overrides) for screen in app.screen_stack)


async def test_a_key_behind_one_that_opens_a_dialog_is_for_the_dialog(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Enter right behind f would be lost before the dialog is there, and no fork would be started."""
    run, forked = record(place / "runs"), []

    async def fork(_app: object, folder: RunFolder, step: int, _edits: object) -> None:
        forked.append((folder.id, step))

    monkeypatch.setattr(starting, "fork", fork)
    (run.path / "checkpoints").mkdir(exist_ok=True)
    run.checkpoint(2150).touch()
    app = console(run=run)
    async with app.run_test(size=(120, 40)) as pilot:
        await until(pilot, lambda: isinstance(app.screen, Console) and app.screen.snapshot is not None, "the console")
        burst(app, "f", "enter")
        await until(pilot, lambda: forked == [(run.id, 2150)], "the fork")


async def test_quitting_does_not_wait_for_a_run_that_starts(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A start that never ends would have to be killed."""
    go_on, started = threading.Event(), []

    def detach(*words: object, **options: object) -> RunFolder:
        started.append(words)
        go_on.wait(DEADLINE)
        raise OSError

    monkeypatch.setattr(start, "detach", detach)
    async with home() as pilot:
        burst(pilot.app, "slash", *"line", "enter", "enter")
        await until(pilot, lambda: started, "the start")
        burst(pilot.app, "x", "ctrl+q")
        await until(pilot, lambda: pilot.app._exit, "the end")
        go_on.set()


async def test_the_palette_takes_its_keys_in_order(place: Path) -> None:
    """A command typed in one go would be another, or none."""
    async with home() as pilot:
        burst(pilot.app, "ctrl+p", *"help", "enter")
        await until(pilot, lambda: isinstance(pilot.app.screen, Help), "the help")


async def test_the_palette_has_a_line_for_each_command_with_its_key(place: Path) -> None:
    """Two lines each, and some commands twice, would hide most of them below the screen."""
    async with home() as pilot:
        await pilot.press("ctrl+p")
        await until(pilot, lambda: "theme: dark" in shown(pilot), "the commands")
        lines = [line.strip() for line in shown(pilot).splitlines()]
        first = next(at for at, line in enumerate(lines) if "theme: dark" in line)
        assert [lines[first + at].split()[1] for at in (1, 2, 3)] == ["light", "contrast", "ansi"]
        burst(pilot.app, *"quit")
        await until(pilot, lambda: "theme: dark" not in shown(pilot), "those that are looked for")
        assert len([line for line in shown(pilot).splitlines() if "quit (training" in line]) == 1
        burst(pilot.app, *["backspace"] * 4, *"nord", "enter")
        await until(pilot, lambda: pilot.app.theme == "nord", "the theme")
