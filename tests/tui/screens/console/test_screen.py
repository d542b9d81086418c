"""A person at the console must be able to steer a real run by keys, and be told what became of each."""

import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from textual.pilot import Pilot
from textual.widgets import Input

from descent.handle import Run
from descent.run.folder import RunFolder
from descent.run.metrics import Metrics
from engine.training import worker  # noqa: F401 - loaded once here, not in each child
from tests.helpers.live_console import commands, shown, start
from tests.helpers.processes import Child, kill
from tests.helpers.waiting import until
from tui.app import DescentApp
from tui.screens.console.dialogs import Edit
from tui.screens.console.layer import Layer
from tui.screens.console.screen import Console
from tui.widgets.layer_table import LayerTable

pytestmark = pytest.mark.slow

SIZE = (120, 40)


@pytest.fixture
def live(tmp_path: Path) -> Iterator[tuple[Child, RunFolder]]:
    child, run = start(tmp_path)
    yield child, run
    kill(child)


def app_on(run: RunFolder, *, read_only: bool = False) -> DescentApp:
    return DescentApp(run=run, runs_dir=run.path.parent, read_only=read_only)


async def on_screen(pilot: Pilot[Any], text: str) -> None:
    await until(pilot, lambda: text in shown(pilot), f"{text!r} on the screen")


async def test_pausing_stepping_and_turning_the_rate_are_done_and_told(live: tuple[Child, RunFolder]) -> None:
    _, run = live
    async with app_on(run).run_test(size=SIZE) as pilot:
        await on_screen(pilot, "space pause")
        await pilot.press("space")
        await on_screen(pilot, "✓ paused at step")
        await on_screen(pilot, ". step")
        await pilot.press("full_stop")
        await on_screen(pilot, "✓ one step, now at step")
        await pilot.press("minus")
        await on_screen(pilot, "→ 0.0707 from step")
        await pilot.press("minus")
        await on_screen(pilot, "→ 0.0500 from step")
        await pilot.press("space")
        await on_screen(pilot, "▶ running")
    assert [name for name, _ in commands(run)] == ["pause", "step", "set", "set", "resume"]
    assert run.state() == "running"  # closing the console ends no training


async def test_a_wrong_value_is_refused_in_the_form_and_a_right_one_taken(live: tuple[Child, RunFolder]) -> None:
    _, run = live
    async with app_on(run).run_test(size=SIZE) as pilot:
        await on_screen(pilot, "e edit")
        await pilot.press("e")
        await until(pilot, lambda: isinstance(pilot.app.screen, Edit), "the form")
        rate = pilot.app.screen.query(Input)[1]
        assert rate.value == "0.1"
        rate.value = "-3"
        rate.focus()
        await pilot.press("enter")
        await on_screen(pilot, "optimizer.lr")
        await on_screen(pilot, "must be")
        rate.value = "0.05"
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(pilot.app.screen, Console), "the form's end")
        await on_screen(pilot, "✓ optimizer.lr = 0.05 from step")
    assert commands(run) == [("set", {"edits": ["optimizer.lr=0.05"]})]


async def test_going_back_to_a_checkpoint_that_was_chosen(live: tuple[Child, RunFolder]) -> None:
    _, run = live
    async with app_on(run).run_test(size=SIZE) as pilot:
        await on_screen(pilot, "space pause")
        await pilot.press("space")
        await on_screen(pilot, "✓ paused at step")
        await pilot.press("c")
        await on_screen(pilot, "✓ saved at step")
        await pilot.press("r")
        await on_screen(pilot, "rewind to a checkpoint")
        await pilot.press("end", "enter")
        await on_screen(pilot, "✓ back at step 0")
        await until(pilot, lambda: pilot.app.screen.snapshot.step == 0, "the charts to go back too")


async def test_stopping_gives_a_receipt_and_the_run_can_go_on(live: tuple[Child, RunFolder]) -> None:
    child, run = live
    async with app_on(run).run_test(size=(160, 40)) as pilot:
        await on_screen(pilot, "x stop")
        await pilot.press("x")
        await on_screen(pilot, "save now and stop")
        await pilot.press("s")
        await on_screen(pilot, "✓ stopped at step")
        await on_screen(pilot, "checkpoints/step-")
        await on_screen(pilot, "space resume")
        assert child.end().code == 0
        await pilot.press("space")
        await on_screen(pilot, "✓ resumed at step")
        await on_screen(pilot, "▶ running")
        await pilot.press("x")
        await on_screen(pilot, "stop without saving")
        await pilot.press("d")
        await on_screen(pilot, "not saved, last checkpoint: step")


async def test_a_second_command_waits_for_the_first_and_the_screen_stays_alive(live: tuple[Child, RunFolder]) -> None:
    child, run = live
    async with app_on(run).run_test(size=SIZE) as pilot:
        await on_screen(pilot, "space pause")
        child.send(signal.SIGSTOP)
        await pilot.press("c", "v")
        await on_screen(pilot, "… saving (1 waiting)")
        await pilot.press("6")
        await until(pilot, lambda: not pilot.app.screen.query_one("#loss").display, "the layers alone")
        await pilot.press("escape")
        child.send(signal.SIGCONT)
        await on_screen(pilot, "✓ validation at step")
    assert [name for name, _ in commands(run)] == ["checkpoint", "evaluate"]


async def test_a_worker_that_dies_in_the_middle_of_a_command_is_told(live: tuple[Child, RunFolder]) -> None:
    child, run = live
    async with app_on(run).run_test(size=SIZE) as pilot:
        await on_screen(pilot, "space pause")
        child.send(signal.SIGSTOP)
        await pilot.press("space")
        await on_screen(pilot, "… pausing")
        child.send(signal.SIGKILL)
        await on_screen(pilot, "✗ the worker ended before it answered: pausing")
        await on_screen(pilot, "? lost")
        await on_screen(pilot, "space resume")


async def test_who_may_only_look_is_offered_no_steering(live: tuple[Child, RunFolder]) -> None:
    _, run = live
    async with app_on(run, read_only=True).run_test(size=SIZE) as pilot:
        await on_screen(pilot, "d detach")
        for key in ("space", "plus", "x", "c", "r", "f", "m", "e"):
            await pilot.press(key)
        await pilot.press("6")
        await until(pilot, lambda: not pilot.app.screen.query_one("#loss").display, "the layers alone")
        assert isinstance(pilot.app.screen, Console)
        assert "pause" not in shown(pilot)
        assert "fork" not in shown(pilot)
    assert commands(run) == []


async def test_a_loss_that_is_not_finite_is_explained_and_mended(tmp_path: Path) -> None:
    child, run = start(tmp_path, 'train.on_nan="pause"')
    try:
        async with app_on(run).run_test(size=SIZE) as pilot:
            await on_screen(pilot, "e edit")
            await pilot.press("e")
            await until(pilot, lambda: isinstance(pilot.app.screen, Edit), "the form")
            pilot.app.screen.query(Input)[1].value = "1e30"
            await pilot.press("enter")
            await on_screen(pilot, "became NaN or infinite at step")
            await on_screen(pilot, "rewind to step")
            await until(pilot, lambda: pilot.app.screen.takes_keys, "the question to take keys")
            await pilot.press("r")
            await on_screen(pilot, "▶ running")
            await on_screen(pilot, "you: rate × 0.1")
            await until(pilot, lambda: pilot.app.screen.snapshot.lr == pytest.approx(0.01), "a tenth of the rate")
    finally:
        kill(child)


async def test_one_member_that_breaks_is_mended_alone(tmp_path: Path) -> None:
    """All members would be slowed down for the one that broke, or it could not be tried again."""
    child, run = start(tmp_path, 'train.on_nan="pause"', "members.repeats=3")
    try:
        async with app_on(run).run_test(size=SIZE) as pilot:
            await on_screen(pilot, "e edit")
            await Run(run).set("member=1", "optimizer.lr=1e30")
            await on_screen(pilot, "loss of member 1 became NaN or infinite at step")
            await on_screen(pilot, "continue without member 1")
            await until(pilot, lambda: pilot.app.screen.takes_keys, "the question to take keys")
            await pilot.press("r")
            await on_screen(pilot, "▶ running")
            rates = Metrics(run.path)
            # A rewind to the beginning leaves no rows for a moment.
            await until(
                pilot, lambda: pytest.approx(0.01) in rates.column("lr", 1)[-1:].tolist(), "a tenth of its rate"
            )
            assert rates.column("lr", 0)[-1] == rates.column("lr", 2)[-1] == pytest.approx(0.1)
    finally:
        kill(child)


async def test_what_went_wrong_under_a_dialog_is_asked_about_after_it(tmp_path: Path) -> None:
    child, run = start(tmp_path, 'train.on_nan="pause"')
    try:
        async with app_on(run).run_test(size=SIZE) as pilot:
            await on_screen(pilot, "e edit")
            await pilot.press("question_mark")
            await until(pilot, lambda: not isinstance(pilot.app.screen, Console), "the help")
            await Run(run).checkpoint()  # what is replayed to find the layer begins here
            await Run(run).set("optimizer.lr=1e30")
            await until(pilot, lambda: run.state() == "paused", "the pause")
            await pilot.press("escape")
            await on_screen(pilot, "became NaN or infinite at step")
    finally:
        kill(child)


async def test_a_layer_opens_and_is_followed(live: tuple[Child, RunFolder]) -> None:
    _, run = live
    async with app_on(run).run_test(size=SIZE) as pilot:
        console = pilot.app.screen
        await on_screen(pilot, "hidden1")
        console.query_one(LayerTable).focus()
        await pilot.press("down", "enter")
        await until(pilot, lambda: isinstance(pilot.app.screen, Layer), "the layer")
        await on_screen(pilot, "layer head")
        step = console.snapshot.step
        await until(pilot, lambda: console.snapshot.step > step, "more steps under the layer")
        await pilot.press("escape")
        await until(pilot, lambda: pilot.app.screen is console, "the console again")


async def test_a_console_behind_another_screen_reads_nothing(live: tuple[Child, RunFolder]) -> None:
    _, run = live
    async with app_on(run).run_test(size=SIZE) as pilot:
        console = pilot.app.screen
        await on_screen(pilot, "space pause")
        pilot.app.open_run(RunFolder(run.path))  # a second console lies over the first
        await until(pilot, lambda: pilot.app.screen is not console and "space pause" in shown(pilot), "the second")
        before = console.snapshot
        step = pilot.app.screen.snapshot.step
        await until(pilot, lambda: pilot.app.screen.snapshot.step > step + 100, "steps in the second")
        after = console.snapshot
        assert after is before or after.step <= step  # at most the look that was under way
        await pilot.press("escape")
        await until(pilot, lambda: console.snapshot.step > step, "the first to go on reading")


async def test_a_fork_is_started_from_a_checkpoint_and_opened(live: tuple[Child, RunFolder]) -> None:
    _, run = live
    async with app_on(run).run_test(size=SIZE) as pilot:
        console = pilot.app.screen
        await on_screen(pilot, "f fork")
        last = len(Metrics(run.path)) + 1000  # beyond the newest checkpoint, which a fork begins at
        await pilot.press("f")
        await on_screen(pilot, "fork: a new run from a checkpoint")
        pilot.app.screen.query_one(Input).value = "optimizer.lr=nothing"
        await pilot.press("enter")
        await on_screen(pilot, "optimizer.lr")
        await on_screen(pilot, "must be")
        pilot.app.screen.query_one(Input).value = f"optimizer.lr=0.02 train.steps={last}"
        await pilot.press("enter")
        await until(pilot, lambda: pilot.app.screen is not console and "fork:" not in shown(pilot), "the new run")
        await on_screen(pilot, "✓ finished")
        assert pilot.app.screen.snapshot.values["optimizer.lr"] == 0.02
