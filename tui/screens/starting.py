"""Starting, choosing and deleting runs, with what is in the way asked or told in a dialog."""

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from descent.common.errors import DescentError
from descent.common.numbers import size
from descent.common.text import clean
from descent.run import comparison
from descent.run.folder import RunFolder
from tui.base import ConsoleApp, OpenRun, RunsChanged
from tui.data.runs import RunStatus, glances_of
from tui.screens.dialogs import Ask

if TYPE_CHECKING:
    from engine.preset.loading import Preset


async def runs_to_compare(
    app: ConsoleApp, known: Sequence[RunStatus] | None, marked: Sequence[RunFolder], *, choose: bool
) -> list[RunFolder] | None:
    """Return the marked runs, or those that the user chooses where these are too few or `choose` is set.

    None where the user wants none, or was told why it can't be. known: all runs; None while they are being read.
    """
    if len(marked) < comparison.FEWEST or choose:
        return await _choose(app, known, marked)
    if len(marked) > comparison.MOST:
        app.tell(f"{comparison.MOST} runs can be compared at most; {len(marked)} are marked", trouble=True)
        return None
    return list(marked)


async def _choose(
    app: ConsoleApp, known: Sequence[RunStatus] | None, beginning: Sequence[RunFolder]
) -> list[RunFolder] | None:
    """Ask which runs to compare; `beginning` and what the first of it was forked from or into are marked already."""
    from tui.screens.choices import ChooseRuns

    if known is None:
        app.tell("the runs are still being read", seconds=3)
        return None
    runs = list(known)
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
    there = {run.folder.path for run in runs}
    return await app.push_screen_wait(ChooseRuns(runs, [path for path in marked if path in there]))


async def delete(app: ConsoleApp, folder: RunFolder) -> None:
    """Ask, delete the run's folder, and say so, or why not; unasked where it failed before its first step."""
    from descent.run import remove

    if not await asyncio.to_thread(remove.is_empty, folder) and not await _agreed(app, folder):
        return
    try:
        await asyncio.to_thread(remove.delete, folder)
    except DescentError as error:
        app.tell(str(error), trouble=True)
    else:
        app.tell(f"deleted {folder.id}")
    app.post_message(RunsChanged())


async def _agreed(app: ConsoleApp, folder: RunFolder) -> bool:
    saved = len(folder.checkpoints())
    text = f"{folder.path}\nwith its {saved} checkpoint{'' if saved == 1 else 's'}. This can't be undone."
    choices = [("n", "keep it", False), ("y", "delete it", True)]
    return bool(await app.push_screen_wait(Ask(f"delete the run {folder.id}?", text, choices)))


async def start(app: ConsoleApp, preset: str, overrides: Sequence[str]) -> None:
    """Start the run and open its console; where it can't start, say why and leave everything as it was."""
    from engine.launch import start as launch
    from engine.launch.options import Options
    from engine.preset.loading import load_preset

    if app.read_only:
        app.tell("read-only: no run is started from here", trouble=True)
        return
    try:
        loaded = await asyncio.to_thread(load_preset, preset, overrides)
        if not await _have_data(app, loaded):
            return
        allowed = await agreed_to(app, loaded)
        if allowed is None:
            return
        options = Options(None, app.runs_dir, app.data_root, allowed)
        folder = await asyncio.to_thread(launch.detach, preset, overrides, options, watched=True)
    except DescentError as error:
        await app.push_screen_wait(_trouble(str(error)))
    except OSError as error:  # no more processes, no more memory for one
        await app.push_screen_wait(_trouble(f"{error.strerror}: {error.filename or 'the training process'}"))
    else:
        app.post_message(RunsChanged())
        app.post_message(OpenRun(folder))


async def go_on(app: ConsoleApp, folder: RunFolder) -> None:
    """Go on with a run that was stopped, has failed or was lost, and open its console."""
    from engine.launch import start as launch
    from engine.launch.options import Options

    try:
        allowed = await agreed_to_run(app, folder)
        if allowed is None:
            return
        await asyncio.to_thread(launch.detach_resume, folder, Options(allow_code=allowed))
    except DescentError as error:
        await app.push_screen_wait(_trouble(str(error)))
    except OSError as error:
        await app.push_screen_wait(_trouble(f"{error.strerror}: {error.filename or 'the training process'}"))
    else:
        app.post_message(RunsChanged())
        app.post_message(OpenRun(folder))


async def fork(app: ConsoleApp, parent: RunFolder, step: int, overrides: Sequence[str]) -> RunFolder | None:
    """Start a new run from a checkpoint; None where the user does not want their own code to run.

    DescentError where it can't start.
    """
    from engine.launch.options import Options
    from engine.launch.start import detach_fork

    allowed = await agreed_to_fork(app, parent, step, overrides)
    if allowed is None:
        return None
    options = Options(None, app.runs_dir, app.data_root, allowed)
    return await asyncio.to_thread(detach_fork, parent, step, overrides, options)


async def agreed_to(app: ConsoleApp, preset: "Preset") -> bool | None:
    """Ask about the user's own code that the preset runs, where nobody has agreed to it yet.

    Whether it is to be allowed now; None where the user does not want it to run.
    """
    files = await asyncio.to_thread(_not_agreed, preset)
    if files and not await app.push_screen_wait(_consent(files)):
        return None
    return bool(files)


async def agreed_to_run(app: ConsoleApp, folder: RunFolder) -> bool | None:
    """The same for a run that is to go on. PresetError where its preset can't be read."""
    from engine.preset.loading import load_preset

    return await agreed_to(app, await asyncio.to_thread(load_preset, folder.preset))


async def agreed_to_fork(app: ConsoleApp, parent: RunFolder, step: int, overrides: Sequence[str]) -> bool | None:
    """The same for a fork from a checkpoint with settings changed. DescentError where there can be none."""
    from engine.launch import fork as launch_fork

    branch = await asyncio.to_thread(launch_fork.branch, parent, step, overrides)
    return await agreed_to(app, branch.preset)


async def _have_data(app: ConsoleApp, preset: "Preset") -> bool:
    """Whether the data are here, or are by now: nothing is downloaded without being asked."""
    from engine.preset import datasets
    from tui.screens.download import Download

    name, root = preset.data.name, datasets.data_root(app.data_root)
    known = {each.name: each for each in datasets.catalogue()}.get(name)
    if known is None or await asyncio.to_thread(datasets.is_there, name, root):
        return True
    text = (
        f"{known.title}. Looked in\n  {root / known.folder}\n"
        f"Where you have it already, name the folder that holds {known.folder.partition('/')[0]} as you begin:\n"
        f"  descent console {preset.name} --data-root FOLDER\n  export DESCENT_DATA=FOLDER; descent"
    )
    choices = [("d", f"download {size(known.download_bytes)} there, then start", True), ("n", "not now", False)]
    if not await app.push_screen_wait(Ask(f"{name} is not on this machine", text, choices)):
        return False
    fetched = await app.push_screen_wait(Download(known, root))
    return bool(fetched)


def _trouble(text: str) -> Ask[None]:
    return Ask("this can't be started", text, [("enter", "back", None)], trouble=True)


def _not_agreed(preset: "Preset") -> list[Path]:
    """The files of the user's own code that the preset runs and that nobody has agreed to yet."""
    import hashlib

    from engine.preset.consent import agreed

    files = {Path(spec.rpartition(":")[0]) for spec in preset.code.values()}
    # One that can't be read is told by the start itself.
    return sorted(f for f in files if f.is_file() and not agreed(hashlib.sha256(f.read_bytes()).hexdigest()))


def _consent(files: Sequence[Path]) -> Ask[bool]:
    names = "\n".join(f"  {clean(str(file))}" for file in files)
    text = f"It runs with all your rights. Read it first:\n{names}\nIt is not asked again until the file changes."
    return Ask("this preset runs your own code", text, [("n", "don't run it", False), ("y", "run it", True)])
