"""What a lab draws into the charts and pictures of a run's console: its goals, and the run before as a ghost."""

import asyncio
import tomllib
from pathlib import Path
from typing import Any

from textual.widget import Widget

from descent.common.settings import flatten
from descent.run.folder import RunFolder
from descent.run.follower import Follower
from engine.labs.format import Check
from engine.preset.changes import IMPLIED
from tui.data.labs import run_before
from tui.pictures.live import LabPictures, pictures_of
from tui.widgets.chart import Chart
from tui.widgets.chart_sources import GHOSTS, goals, with_ghost, with_goal


async def draw_run_before(panes: Widget, run: RunFolder, runs_dir: Path) -> None:
    """Draw the run before: its curves in the charts, its pictures behind those of this run."""
    before = await asyncio.to_thread(run_before, run, runs_dir)
    if before is None:
        return
    losses = [{k: v for k, v in settings_of(one).items() if k.startswith("loss.")} for one in (before, run)]
    # Another loss is in another unit: its curve says nothing beside this one.
    names = [name for name in GHOSTS if name != "loss" or losses[0] == losses[1]]
    follower = await asyncio.to_thread(Follower, before)
    for name in names:
        chart = panes.query_one(f"#{name}", Chart)
        if chart.source is not None:
            chart.source = with_ghost(chart, name, follower)
            chart.refresh_data()  # no frame comes after the last one of a run that has ended
    for shown in panes.query(LabPictures):
        shown.show_ghosts(await asyncio.to_thread(pictures_of, before, shown.kinds))


def draw_goals(panes: Widget, checks: tuple[Check, ...]) -> None:
    """Draw the limit of each criterion that is about a value of a chart."""
    for pane, check in goals(checks).items():
        chart = panes.query_one(f"#{pane}", Chart)
        if chart.source is not None:
            chart.source = with_goal(chart.source, check)


def settings_of(run: RunFolder) -> dict[str, Any]:
    """The run's settings by dotted key, also one that its file leaves out; none before they are written."""
    try:
        return IMPLIED | flatten(tomllib.loads(run.preset.read_text(encoding="utf-8")))
    except (OSError, ValueError):
        return {}
