"""The pictures' screen, on real workers: a student opens it to see what the net has learned, live and afterwards."""

import asyncio
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from textual.screen import Screen

import tui.app
from descent.run.folder import RunFolder
from engine import pictures
from engine.pictures import kept
from tests.helpers import made_pictures
from tests.helpers.processes import Child, kill
from tests.helpers.recorded_run import record
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


def shares(seven: float) -> np.ndarray:
    """Class probabilities of two samples: of the first one this for the seven, the rest for the two."""
    found = np.zeros((2, 10), np.float16)
    found[:, 7], found[:, 2] = (seven, 0.5), (1 - seven, 0.5)
    return found


async def test_a_mistake_is_followed_through_training(tmp_path: Path) -> None:
    """That a sample was right before, and since when it is not, could not be seen."""
    run = record(tmp_path / "runs")
    for step, seven in ((500, 0.75), (1000, 0.5), (2000, 0.125)):
        given = {"true": [7, 7], "predicted": [2, 2], "index": [40, 8], "probability": [1 - seven, 0.5]}
        more = {
            "images": np.zeros((2, 1, 8, 8), np.uint8),
            "followed": [40, 8],
            "followed_probabilities": shares(seven),
        }
        kept.write(run.path, step, {"mistakes": made_pictures.of("mistakes", **given, **more).arrays})
    app = App(terminal=Terminal(), runs_dir=tmp_path / "runs", read_only=True)
    async with app.run_test(size=(110, 30)) as pilot:
        pictures.write(run.path, "mistakes", 2000, made_pictures.of("mistakes").arrays)
        await app.push_screen(Pictures(run, "mistakes"))
        await until(pilot, lambda: "v follow one" in text(app), "the mistakes")
        await pilot.press("v")
        await until(pilot, lambda: "1 of 2  true 7  predicted 2 (88%)" in text(app), "the one")
        assert "step 2,000" in text(app)
        await pilot.press("left", "left", "left")
        await until(pilot, lambda: "true 7  predicted 7 (75%)" in text(app), "an earlier step")
        assert "step 500" in text(app)
        await pilot.press("right", "right_square_bracket")
        await until(pilot, lambda: "2 of 2  true 7  predicted 2 (50%)" in text(app), "the other one, at that step")
        assert "step 1,000" in text(app)
        await pilot.press("escape")
        await until(pilot, lambda: "v follow one" in text(app), "all of them")
        assert isinstance(app.screen, Pictures)


async def test_a_cell_of_the_confusion_matrix_and_its_samples_are_chosen(tmp_path: Path) -> None:
    """Which images were taken for which could not be seen."""
    run = record(tmp_path / "runs")
    app = App(terminal=Terminal(), runs_dir=tmp_path / "runs", read_only=True)
    async with app.run_test(size=(110, 30)) as pilot:
        given = made_pictures.examples()
        pictures.write(run.path, "confusion", 2000, made_pictures.of("confusion", **given).arrays)
        await app.push_screen(Pictures(run, "confusion"))
        await until(pilot, lambda: "predicted cat (90%)" in text(app), "a sample of the most frequent mistake")
        assert "← → cell" in text(app)
        await pilot.press("right_square_bracket")
        await until(pilot, lambda: "predicted cat (60%)" in text(app), "its other sample")
        await pilot.press("right")
        await until(pilot, lambda: "predicted 고양이 (75%)" in text(app), "the next cell")
        await pilot.press("left", "left")
        await until(pilot, lambda: "true cat" in text(app) and "predicted cat (100%)" in text(app), "the last cell")
        await pilot.press("down")
        await until(pilot, lambda: "most confident mistakes" in text(app), "the next picture")


async def test_a_run_that_has_kept_no_probabilities_says_so(tmp_path: Path) -> None:
    """A key that does nothing would look broken, for the runs of before."""
    run = record(tmp_path / "runs")
    kept.write(run.path, 500, {"mistakes": made_pictures.of("mistakes").arrays})
    app = App(terminal=Terminal(), runs_dir=tmp_path / "runs", read_only=True)
    async with app.run_test(size=(110, 30)) as pilot:
        pictures.write(run.path, "mistakes", 2000, made_pictures.of("mistakes").arrays)
        await app.push_screen(Pictures(run, "mistakes"))
        await until(pilot, lambda: "v follow one" in text(app), "the mistakes")
        await pilot.press("v")
        await until(pilot, lambda: "kept no mistake that could be followed" in text(app), "why not")
