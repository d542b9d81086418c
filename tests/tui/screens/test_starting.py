"""What comes in a user's way: data that are missing, code to be agreed to, keys that do not exist, a bad moment."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from textual.pilot import Pilot

from descent.run.folder import RunFolder
from engine.launch.options import Options
from engine.launch.start import detach
from engine.preset import consent, datasets
from engine.training import worker  # noqa: F401 - loaded once here, not in each child
from tests.helpers.held_run import PRESET
from tests.helpers.live_console import shown, start
from tests.helpers.mirror import serve, tiny_mnist
from tests.helpers.processes import kill
from tests.helpers.recorded_run import record as record_for_console
from tests.helpers.screens import console, place, record
from tests.helpers.waiting import until
from tui.app import DescentApp, RunsSeen
from tui.screens import dialogs, starting
from tui.screens.console.screen import Console
from tui.screens.dialogs import Ask
from tui.screens.download import Download
from tui.screens.home.list import Listing
from tui.screens.home.screen import Home
from tui.settings import Settings
from tui.widgets.layer_table import LayerTable

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("warm")]

__all__ = ["place", "serve", "tiny_mnist"]
MODEL = """import math, torch

class Net(torch.nn.Module):
    def __init__(self, input_shape, outputs):
        super().__init__()
        self.linear = torch.nn.Linear(math.prod(input_shape), outputs)

    def forward(self, x):
        return self.linear(x.flatten(1))
"""


async def on_screen(pilot: Pilot[Any], text: str) -> None:
    await until(pilot, lambda: text in shown(pilot), f"{text!r} on the screen")


async def test_missing_data_are_offered_and_fetched_only_when_wanted(
    place: Path, tmp_path: Path, serve: Any, tiny_mnist: Path
) -> None:
    serve()
    root = tmp_path / "data"
    file = place / "mine.toml"
    file.write_text((tmp_path / "shipped" / "digits-mlp.toml").read_text().replace('"digits"', '"mnist"'))
    app = console(data_root=root)
    async with app.run_test(size=(80, 24)) as pilot:
        app.run_worker(starting.start(app, str(file), ["train.epochs=1", "train.batch_size=5", "train.device=cpu"]))
        await on_screen(pilot, "mnist is not on this machine")
        for said in ("MNIST/raw", "--data-root FOLDER", "DESCENT_DATA=FOLDER"):
            assert said in "".join(shown(pilot).replace("│", "").split()) or said in shown(pilot)
        await pilot.press("n")
        await until(pilot, lambda: isinstance(app.screen, Home), "Home")
        assert not root.exists()
        app.run_worker(starting.start(app, str(file), ["train.epochs=1", "train.batch_size=5", "train.device=cpu"]))
        await on_screen(pilot, "download 12 MB")
        await pilot.press("d")
        await until(pilot, lambda: isinstance(app.screen, Console), "the console of the run")
        assert datasets.is_there("mnist", root)
        assert len(app.opened) == 1


async def test_a_download_that_fails_says_why_and_starts_nothing(place: Path, tmp_path: Path, serve: Any) -> None:
    (tmp_path / "served").mkdir(exist_ok=True)
    serve()
    app = console(data_root=tmp_path / "data")
    async with app.run_test(size=(80, 24)) as pilot:
        answers: list[bool | None] = []
        app.push_screen(Download(datasets.entry("mnist"), tmp_path / "data"), answers.append)
        await on_screen(pilot, "esc back")
        assert "404" in shown(pilot) or "mnist" in shown(pilot)
        await pilot.press("escape")
        await until(pilot, lambda: answers == [False], "the answer")


async def test_a_download_that_is_given_up_leaves_nothing(
    place: Path, tmp_path: Path, serve: Any, tiny_mnist: Path
) -> None:
    serve()
    app = console()
    async with app.run_test(size=(80, 24)) as pilot:
        answers: list[bool | None] = []
        download = Download(datasets.entry("mnist"), tmp_path / "data")
        download.action_leave = lambda: None  # type: ignore[method-assign]
        download._given_up.set()  # before its first byte, whatever the machine's speed
        app.push_screen(download, answers.append)
        await until(pilot, lambda: answers == [False], "the answer")
    assert not datasets.is_there("mnist", tmp_path / "data")


@pytest.fixture
def of_own_code(place: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[RunFolder]:
    """A stopped run of the user's own model, on a machine where nobody has agreed to it."""
    (place / "my_model.py").write_text(MODEL)
    (place / "mine.toml").write_text(PRESET.format(code="my_model.py:Net", arguments=""))
    run = detach("mine.toml", ["train.epochs=100000"], Options("mine", place / "runs", allow_code=True))
    from descent.control import send
    from tests.helpers.waiting import wait_for

    wait_for(lambda: run.state() == "running", "the run")
    send(run.path, "stop")
    wait_for(lambda: run.state() == "stopped", "its end")
    from descent.common.paths import state_dir

    shutil.rmtree(state_dir(), ignore_errors=True)
    yield run
    for folder in (place / "runs").iterdir():
        if RunFolder(folder).state() in ("running", "starting", "paused"):
            send(folder, "stop", {"how": "discard"})


async def test_resuming_and_forking_ask_about_the_users_own_code(
    of_own_code: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dialogs, "REACTION", 0.0)
    run = of_own_code
    app = DescentApp(run=run, runs_dir=run.path.parent)
    async with app.run_test(size=(120, 40)) as pilot:
        await on_screen(pilot, "space resume")
        await pilot.press("space")
        await on_screen(pilot, "this preset runs your own code")
        await pilot.press("n")
        await until(pilot, lambda: isinstance(app.screen, Console), "the console")
        assert run.state() == "stopped"
        await pilot.press("f")
        await on_screen(pilot, "fork: a new run")
        await pilot.press("enter")
        await on_screen(pilot, "this preset runs your own code")
        await pilot.press("y")
        await until(pilot, lambda: len(app.opened) == 2, "the fork's console")
        await until(pilot, lambda: app.opened[1].state() == "running", "the fork to train")
    assert consent.agreed(__import__("hashlib").sha256(MODEL.encode()).hexdigest())


async def test_a_key_of_no_binding_is_told_with_the_likely_one(place: Path) -> None:
    app = console(settings=Settings(keys={"console.puase": "p", "home.find": "ctrl+f"}))
    async with app.run_test(size=(120, 40), notifications=True) as pilot:
        await on_screen(pilot, "console.puase: no such")
        assert "did you mean console.pause?" in " ".join(shown(pilot).replace("▌", " ").split())
        assert "home.find" not in shown(pilot)


async def test_runs_that_are_seen_while_home_is_not_whole_harm_nothing(place: Path) -> None:
    record(place / "runs", "old", "finished")
    app = console()
    async with app.run_test() as pilot:
        await on_screen(pilot, "old")
        home = app.screen
        assert isinstance(home, Home)
        await home.query_one(Listing).remove()
        assert app.runs is not None
        home.show_runs(app.runs)
        app.post_message(RunsSeen(app.runs))
        await pilot.pause()
        assert app.crash is None


async def test_a_snapshot_that_comes_while_the_console_ends_harms_nothing(tmp_path: Path) -> None:
    run = record_for_console(tmp_path / "runs")
    app = DescentApp(run=run, runs_dir=tmp_path / "runs")
    async with app.run_test(size=(120, 40)) as pilot:
        await until(pilot, lambda: getattr(app.screen, "snapshot", None) is not None, "a snapshot")
        screen = app.screen
        assert isinstance(screen, Console)
        assert screen.snapshot is not None
        await screen.query_one(LayerTable).remove()
        screen.draw(screen.snapshot)
        screen.post_message(Console.Seen(screen.snapshot))
        await pilot.pause()
        assert app.crash is None


async def test_a_snapshot_that_comes_before_the_pictures_are_there_harms_nothing(tmp_path: Path) -> None:
    """On a busy machine `i` would end the console."""
    run = record_for_console(tmp_path / "runs")
    app = DescentApp(run=run, runs_dir=tmp_path / "runs", read_only=True)
    async with app.run_test(size=(120, 40)) as pilot:
        await until(pilot, lambda: getattr(app.screen, "snapshot", None) is not None, "a snapshot")
        console = app.screen
        assert isinstance(console, Console)
        assert console.snapshot is not None
        console.action_pictures()
        assert app.screen is not console
        console.draw(console.snapshot)  # its parts are still to come
        await until(pilot, lambda: "First-layer filters" in shown(pilot), "the pictures")
        assert app.crash is None


async def test_q_leads_back_from_a_console_as_d_does(tmp_path: Path) -> None:
    run = record_for_console(tmp_path / "runs")
    app = DescentApp(run=run, runs_dir=tmp_path / "runs")
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: getattr(app.screen, "snapshot", None) is not None, "a snapshot")
        await pilot.press("q")
        await until(pilot, lambda: isinstance(app.screen, Ask), "the question")
        await pilot.press("h")
        await until(pilot, lambda: isinstance(app.screen, Home), "Home")


async def test_the_end_of_another_run_is_told_in_the_status_line_and_covers_nothing(tmp_path: Path) -> None:
    child, run = start(tmp_path)
    own = record_for_console(tmp_path / "runs")
    app = DescentApp(run=own, runs_dir=tmp_path / "runs")
    try:
        async with app.run_test(size=(80, 24), notifications=True) as pilot:
            await until(pilot, lambda: app.runs and len(app.runs) == 2, "both runs")
            kill(child)
            await on_screen(pilot, "live was lost")
            assert not app._notifications
            assert "live was lost" in shown(pilot).splitlines()[-3]
    finally:
        kill(child)
    assert run.state() == "lost"
