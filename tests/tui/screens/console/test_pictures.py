"""The pictures' screen, on real workers: a student opens it to see what the net has learned, live and afterwards."""

import asyncio
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from textual.screen import Screen

import tui.app
from descent.run.folder import RunFolder
from engine import pictures
from tests.helpers import made_pictures
from tests.helpers.processes import Child, kill
from tests.helpers.screens import text
from tests.helpers.waiting import DEADLINE, until, wait_for
from tui.app import DescentApp
from tui.pictures.picture import PictureView
from tui.screens.console.pictures import Pictures
from tui.terminal import Terminal


@pytest.fixture
def live(tmp_path: Path) -> Iterator[RunFolder]:
    """A run of moons-mlp that trains for as long as a test wants."""
    from engine.training import worker  # noqa: F401 - loaded once here, not in the child

    words = ["run", "moons-mlp", "--id", "mine", "--set", "train.epochs=1000000", "--set", "train.threads=1"]
    child = Child([*words, "--runs-dir", str(tmp_path / "runs")], tmp_path, cwd=tmp_path).start()
    folder = RunFolder(tmp_path / "runs" / "mine")
    wait_for(lambda: folder.path.exists() and folder.state() == "running", "the run to train")
    yield folder
    kill(child)


class App(DescentApp):
    """The app without its list of runs, which looks for some and is not the subject here."""

    CSS_PATH = Path(tui.app.__file__).with_name("descent.tcss")

    def get_default_screen(self) -> Screen[None]:
        return Screen()


def view(app: DescentApp) -> PictureView:
    return app.screen.query_one(PictureView)


@pytest.mark.slow
async def test_pictures_of_a_live_run(live: RunFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    app = App(terminal=Terminal(), runs_dir=tmp_path / "runs", theme="dark")
    async with app.run_test(size=(110, 34)) as pilot:
        await app.push_screen(Pictures(live))
        await until(pilot, lambda: view(app).picture is not None, "the first picture")
        first = view(app).picture
        assert first is not None
        assert first.kind == "boundary"
        await until(pilot, lambda: f"step {first.step:,}" in text(app), "its step")
        assert "filled: train, hollow: validation" in text(app)
        await pilot.press("enter")
        await until(pilot, lambda: view(app).picture is not first, "a newer one")
        order = [kind.name for kind in app.screen._kinds]
        assert order.index("boundary") == 0
        assert order.index("fit") > order.index("gradients")  # what the run can't have is below the others
        await pilot.press(*["down"] * order.index("fit"))
        assert "Not available for this run: the targets are classes, not numbers." in text(app)
        await pilot.press(*["up"] * (order.index("fit") - order.index("confusion")))
        await until(pilot, lambda: "samples correct" in text(app), "the confusion matrix")
        await pilot.press("s", "t")
        await until(pilot, lambda: len(list(tmp_path.glob("mine-confusion-step-*"))) == 2, "the saved files")
        assert "<svg" in next(tmp_path.glob("*.svg")).read_text()
        assert "samples correct" in next(tmp_path.glob("*.txt")).read_text()
        await pilot.press("a")
        second = view(app).picture
        await until(pilot, lambda: view(app).picture is not second, "one that comes by itself")
        await pilot.press("escape")
        assert not isinstance(app.screen, Pictures)


@pytest.mark.slow
async def test_no_picture_is_asked_for_where_nothing_may_be_changed(live: RunFolder, tmp_path: Path) -> None:
    app = App(terminal=Terminal(), runs_dir=tmp_path / "runs", read_only=True)
    async with app.run_test(size=(80, 24)) as pilot:
        await app.push_screen(Pictures(live, "confusion"))
        await until(pilot, lambda: "It was not drawn yet" in text(app), "the screen")
        await pilot.press("enter", "a")
        await pilot.pause()
        assert not list((live.path / "pictures").glob("*.npz"))
        pictures.write(live.path, "weights", 7, made_pictures.of("weights").arrays)
        order = [kind.name for kind in app.screen._kinds]
        await pilot.press("up", "down", *["down"] * (order.index("weights") - order.index("confusion")))
        await until(pilot, lambda: "step 7" in text(app), "what somebody else has asked for")


@pytest.mark.parametrize(("width", "height"), [(30, 10), (80, 24), (200, 60)])
async def test_the_screen_at_any_size(tmp_path: Path, width: int, height: int) -> None:
    folder = RunFolder(tmp_path / "runs" / "mine")
    folder.path.mkdir(parents=True)
    pictures.write(folder.path, "confusion", 1200, made_pictures.of("confusion").arrays)
    app = App(terminal=Terminal(unicode=False, colour=False), runs_dir=tmp_path / "runs", read_only=True)
    async with app.run_test(size=(width, height)) as pilot:
        await app.push_screen(Pictures(folder, "confusion"))
        await until(pilot, lambda: "88.3%" in text(app), "the matrix")
        assert text(app).isascii()
        assert {strip.cell_length for strip in app.screen._compositor.render_strips()} == {width}
        await pilot.resize_terminal(60, 20)
        await asyncio.sleep(0)
        await until(pilot, lambda: "88.3%" in text(app), "the matrix at another size")


async def test_a_picture_that_is_still_being_read_is_not_called_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = RunFolder(tmp_path / "runs" / "mine")
    folder.path.mkdir(parents=True)
    pictures.write(folder.path, "confusion", 1200, made_pictures.of("confusion").arrays)
    may_read, latest = threading.Event(), pictures.latest
    monkeypatch.setattr(pictures, "latest", lambda *of: latest(*of) if may_read.wait(DEADLINE) else None)
    app = App(terminal=Terminal(), runs_dir=tmp_path / "runs", read_only=True)
    async with app.run_test(size=(80, 24)) as pilot:
        app.push_screen(Pictures(folder, "confusion"))
        async with asyncio.timeout(DEADLINE):  # a pilot would wait for the reading
            while "true class by predicted class" not in text(app):
                await asyncio.sleep(0.01)
        assert "It was not drawn yet" not in text(app)
        may_read.set()
        await until(pilot, lambda: "88.3%" in text(app), "the matrix")


@pytest.mark.slow
async def test_a_run_that_is_over_is_drawn_from_its_checkpoint(live: RunFolder, tmp_path: Path) -> None:
    from descent import control

    control.send(live.path, "stop", {})
    wait_for(lambda: live.state() == "stopped", "the run's end")
    app = App(terminal=Terminal(), runs_dir=tmp_path / "runs")
    async with app.run_test(size=(80, 24)) as pilot:
        await app.push_screen(Pictures(live, "confusion"))
        await until(pilot, lambda: "loading PyTorch" in text(app), "what takes so long")
        await until(pilot, lambda: view(app).picture is not None, "the picture")
        last = live.checkpoints()[-1]
        assert f"step {last:,}" in text(app)
        order = [kind.name for kind in app.screen._kinds]
        await pilot.press(*["down"] * (order.index("weights") - order.index("confusion")))
        await until(pilot, lambda: "each layer's weights" in text(app), "another, at once")
        assert sorted(file.name for file in (live.path / "pictures").iterdir())[0] == f"activations-step-{last}.npz"
        before = view(app).picture
        await pilot.press("enter")  # once more, of the same step: two whose arrays were compared ended the console
        await until(pilot, lambda: view(app).picture is not before, "a new one")
        assert "each layer's weights" in text(app)
