"""What a person sees of a run must not change by accident: the screen's text at three sizes, charts' insides apart.

A change that is meant: UPDATE_SNAPSHOTS=1 pytest FILE, with this file's name, then look at the difference.
"""

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.helpers.live_console import shown
from tests.helpers.recorded_run import STEPS, record
from tests.helpers.screens import SNAPSHOTS
from tests.helpers.waiting import until
from tui.app import DescentApp
from tui.screens.console.screen import Console
from tui.terminal import Terminal

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def in_utc(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


async def look(
    run_folder: Path,
    size: tuple[int, int],
    *,
    accuracy: bool = True,
    unicode: bool = True,
    wanted: str | None = None,
) -> str:
    """The screen's text, once it is as wanted, or does not become so."""
    run = record(run_folder, accuracy=accuracy)
    app = DescentApp(run=run, terminal=Terminal(unicode=unicode), runs_dir=run_folder)
    async with app.run_test(size=size) as pilot:
        console = pilot.app.screen
        assert isinstance(console, Console)
        await until(pilot, lambda: console.snapshot and console.snapshot.layers[0].trend, "the layers' trends")
        await until(pilot, lambda: "? help" in shown(pilot), "the keys")
        for _ in range(100):  # what is laid out anew once the layers are known may take some more frames
            if wanted is None or shown(pilot, charts=False) == wanted:
                break
            await pilot.pause(0.02)
        return shown(pilot, charts=False)


@pytest.mark.parametrize("size", [(80, 24), (120, 40), (200, 60)], ids=lambda size: "x".join(map(str, size)))
async def test_the_screen_looks_as_it_did(tmp_path: Path, size: tuple[int, int]) -> None:
    file = SNAPSHOTS / f"console-{size[0]}x{size[1]}.txt"
    seen = await look(tmp_path, size, wanted=file.read_text()[:-1] if file.exists() else None) + "\n"
    if os.environ.get("UPDATE_SNAPSHOTS"):
        file.write_text(seen)
    assert seen == file.read_text()


async def test_a_terminal_without_utf8_gets_ascii_alone(tmp_path: Path) -> None:
    seen = await look(tmp_path, (120, 40), unicode=False)
    assert seen.isascii()
    assert "v finished" in seen


async def test_a_regression_has_no_accuracy_and_the_loss_takes_its_place(tmp_path: Path) -> None:
    seen = await look(tmp_path, (120, 40), accuracy=False)
    assert "accuracy" not in seen
    assert f"{STEPS:,}/{STEPS:,}" in seen


@pytest.mark.parametrize("size", [(20, 5), (1, 1), (59, 15), (300, 100)])
async def test_any_size_is_drawn(tmp_path: Path, size: tuple[int, int]) -> None:
    run = record(tmp_path)
    app = DescentApp(run=run, runs_dir=tmp_path)
    async with app.run_test(size=(120, 40)) as pilot:
        await until(pilot, lambda: pilot.app.screen.snapshot, "a snapshot")
        await pilot.resize_terminal(*size)
        await pilot.pause()
        await pilot.press("z", "z")
        await pilot.resize_terminal(120, 40)
        await until(pilot, lambda: "kqzt" in shown(pilot), "the screen as it was")
