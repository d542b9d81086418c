"""Somebody whose rate has broken the model must be told, and led back to where it was whole."""

from pathlib import Path

import pytest

from descent.handle import Run
from descent.run.folder import RunFolder
from descent.run.metrics import Metrics
from engine.training import worker  # noqa: F401 - loaded once here, not in each child
from tests.helpers.live_console import commands, shown, start
from tests.helpers.processes import kill
from tests.helpers.waiting import until, wait_for
from tui.app import DescentApp
from tui.screens.choices import read_checkpoints
from tui.screens.dialogs import Ask

pytestmark = pytest.mark.slow


async def test_a_broken_model_is_told_and_the_way_back_leads_to_a_lower_rate(tmp_path: Path) -> None:
    child, run = start(tmp_path, "train.evaluate_every=1")
    try:
        wait_for(lambda: len(Metrics(run.path)) > 200, "some training")
        saved = (await Run(run).checkpoint())["step"]
        wait_for(lambda: len(Metrics(run.path)) > saved + 50, "more of it")
        await Run(run).set("lr_scale=1000")
        app = DescentApp(run=run, runs_dir=run.path.parent)
        async with app.run_test(size=(120, 40)) as pilot:
            await until(pilot, lambda: "✗ collapsed at step" in shown(pilot), "the notice")
            assert run.state() == "running"  # a person decides
            await pilot.press("a")
            await until(pilot, lambda: isinstance(app.screen, Ask), "the question")
            assert f"rewind to step {saved:,} and continue at a tenth of the rate: 0.01" in shown(pilot)
            await pilot.press("r")
            await until(pilot, lambda: run.last("rewound") is not None, "the way back")
            await until(pilot, lambda: run.last("plan")["lr_scale"] == 0.1, "the lower rate")
            await until(pilot, lambda: run.state() == "running", "training")
            await until(pilot, lambda: "collapsed at" not in shown(pilot), "the end of the notice")
        assert [name for name, _ in commands(run)][2:] == ["pause", "rewind", "set", "resume"]
    finally:
        kill(child)


def test_a_run_that_never_learned_has_no_best_checkpoint(tmp_path: Path) -> None:
    """The checkpoint of a dead network would be offered as the best one to go back to."""
    child, run = start(tmp_path, "optimizer.lr=30", "train.evaluate_every=1", "train.epochs=50")
    try:
        wait_for(lambda: run.state() == "finished", "the end")
    finally:
        kill(child)
    assert run.last("collapse") is not None
    assert best_of(run) == []


def best_of(run: RunFolder) -> list[int]:
    return [checkpoint.step for checkpoint in read_checkpoints(run) if checkpoint.is_best]
