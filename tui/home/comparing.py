"""From a run, or a few that were marked, to the screen that compares them."""

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING

from engine import comparison
from engine.run import RunFolder
from tui.home.glance import glances_of

if TYPE_CHECKING:
    from tui.app import DescentApp


async def choose(app: "DescentApp", beginning: Sequence[RunFolder]) -> list[RunFolder] | None:
    """Ask which runs to compare; `beginning` and what the first of it was forked from or into are marked already."""
    from tui.screens.choose import ChooseRuns

    if app.runs is None:
        app.tell("the runs are still being read", seconds=3)
        return None
    runs = list(app.runs)
    listed = {run.folder.path for run in runs}
    new = [folder for folder in beginning if folder.path.resolve() not in listed]  # a fork that has just begun
    runs += await asyncio.to_thread(glances_of, new)
    paths = [run.folder.path for run in runs]
    marked = [folder.path.resolve() for folder in beginning]
    related = await asyncio.to_thread(comparison.relatives, beginning[0], paths) if beginning else []
    front = dict.fromkeys([*marked, *related])
    if len(marked) == 1:
        marked = list(front)[: comparison.MOST]
    # Those that it is likely about come first, the others as Home lists them.
    order = {path: place for place, path in enumerate(front)}
    runs.sort(key=lambda run: order.get(run.folder.path, len(order)))
    known = {run.folder.path for run in runs}
    return await app.push_screen_wait(ChooseRuns(runs, [path for path in marked if path in known]))


async def compare(app: "DescentApp", marked: Sequence[RunFolder]) -> None:
    """Compare these; where they are too few, ask which others."""
    chosen = list(marked) if len(marked) >= comparison.FEWEST else await choose(app, marked)
    if chosen is None:
        return
    if len(chosen) > comparison.MOST:
        app.tell(f"{comparison.MOST} runs can be compared at most; {len(chosen)} are marked", trouble=True)
        return
    app.compare(chosen)
