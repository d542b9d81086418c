"""Real runs for the tests of the console, and what the screen shows of them."""

import json
from pathlib import Path
from typing import Any

from rich.text import Text
from textual.geometry import Region
from textual.pilot import Pilot

from descent.run.folder import RunFolder
from tests.helpers.processes import Child
from tests.helpers.waiting import wait_for
from tui.widgets.chart import Chart

LONG = (
    "train.epochs=100000",
    "train.evaluate_every=500",
    "data.size=400",
    "train.threads=1",
    "train.statistics_every=10",
)


def start(folder: Path, *settings: str, preset: str = "digits-mlp") -> tuple[Child, RunFolder]:
    """A worker that trains for longer than any test; its run is `live` in folder/runs."""
    from tests.helpers.workers import rest_between_steps  # loads PyTorch, which few tests of a screen need

    words = ["run", preset, "--id", "live", "--quiet", "--runs-dir", str(folder / "runs")]
    for setting in (*LONG, *settings):
        words += ["--set", setting]
    printed = folder / "printed"
    printed.mkdir()
    child = Child(words, printed, cwd=folder, prepare=rest_between_steps).start()
    run = RunFolder(folder / "runs" / "live")
    wait_for(lambda: run.path.exists() and run.state() == "running", "the run")
    return child, run


def shown(pilot: Pilot[Any], *, charts: bool = True) -> str:
    """The text on the screen; without what is inside the charts where they are not asked for."""
    screen = pilot.app.screen
    width, height = screen.size
    lines = [Text("".join(segment.text for segment in strip)).plain for strip in screen._compositor.render_strips()]
    lines = [line.ljust(width) for line in lines[:height]]
    if not charts:
        for chart in screen.query(Chart):
            if chart.is_on_screen and chart.display and chart.region.area:
                lines = _blanked(lines, chart.content_region)
    return "\n".join(line.rstrip() for line in lines)


def _blanked(lines: list[str], region: Region) -> list[str]:
    inside = range(region.y, region.bottom)
    return [
        line[: region.x] + " " * region.width + line[region.right :] if y in inside else line
        for y, line in enumerate(lines)
    ]


def commands(run: RunFolder) -> list[tuple[str, dict[str, Any]]]:
    """What the run's log says of commands, with those that a rewind has voided."""
    lines = (json.loads(line) for line in (run.path / "events.jsonl").read_text().splitlines())
    return [(line["command"], line["arguments"]) for line in lines if line["event"] == "command"]
