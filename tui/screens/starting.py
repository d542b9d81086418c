"""Starting, choosing and deleting runs. Questions and obstacles are shown in a dialog."""

import asyncio
import contextlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from descent.common.errors import DescentError
from descent.common.i18n import _, ngettext
from descent.common.numbers import size
from descent.common.text import clean
from descent.loop.folder import start_of
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

    Returns None where the user wants none, or was told why it is not possible. known: all runs; None while they are
    being read.
    """
    if len(marked) < comparison.FEWEST or choose:
        return await _choose(app, known, marked)
    if len(marked) > comparison.MOST:
        text = _("at most {most} runs can be compared; {marked} are marked", most=comparison.MOST, marked=len(marked))
        app.tell(text, trouble=True)
        return None
    return list(marked)


async def _choose(
    app: ConsoleApp, known: Sequence[RunStatus] | None, beginning: Sequence[RunFolder]
) -> list[RunFolder] | None:
    """Ask which runs to compare. `beginning` is marked at first, and the parent and forks of its first run."""
    from tui.screens.choices import ChooseRuns

    if known is None:
        app.tell(_("the runs are still being read"), seconds=3)
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
    # The likely ones come first, then those of the same preset, then the others as Home lists them.
    order = {path: place for place, path in enumerate(front)}
    presets = {run.preset for run in runs if run.folder.path in order and run.preset}
    runs.sort(key=lambda run: (order.get(run.folder.path, len(order)), run.preset not in presets))
    there = {run.folder.path for run in runs}
    return await app.push_screen_wait(ChooseRuns(runs, [path for path in marked if path in there]))


async def delete(app: ConsoleApp, folder: RunFolder) -> None:
    """Ask, delete the run's folder, and say what happened. A run without a first step is deleted without asking."""
    from descent.run import remove

    if not await asyncio.to_thread(remove.is_empty, folder) and not await _agreed(app, folder):
        return
    try:
        await asyncio.to_thread(remove.delete, folder)
    except DescentError as error:
        app.tell(str(error), trouble=True)
    else:
        app.tell(_("deleted {run}", run=folder.id))
    app.post_message(RunsChanged())


async def _agreed(app: ConsoleApp, folder: RunFolder) -> bool:
    saved = len(folder.checkpoints())
    text = ngettext(
        "{folder}\nwith its {count} checkpoint. This can't be undone.",
        "{folder}\nwith its {count} checkpoints. This can't be undone.",
        saved,
        folder=folder.path,
    )
    choices = [("n", _("keep it"), False), ("y", _("delete it"), True)]
    return bool(await app.push_screen_wait(Ask(_("delete the run {run}?", run=folder.id), text, choices)))


async def start(app: ConsoleApp, preset: str, overrides: Sequence[str]) -> None:
    """Start the run and open its console. Where it can't start, say why and change nothing."""
    from engine.launch import start as launch
    from engine.launch.options import Options
    from engine.preset.loading import load_preset

    if app.read_only:
        app.tell(_("read-only: no run is started from here"), trouble=True)
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
        await app.push_screen_wait(_trouble(_of_system(error)))
    else:
        app.post_message(RunsChanged())
        app.post_message(OpenRun(folder))


async def go_on(app: ConsoleApp, folder: RunFolder) -> None:
    """Resume a run that was stopped, has failed or was lost, and open its console."""
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
        await app.push_screen_wait(_trouble(_of_system(error)))
    else:
        app.post_message(RunsChanged())
        app.post_message(OpenRun(folder))


async def fork(app: ConsoleApp, parent: RunFolder, step: int, overrides: Sequence[str]) -> RunFolder | None:
    """Start a new run from a checkpoint; None where the user does not want their own code to run.

    Raises DescentError where it can't start.
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

    Returns whether to allow it now; None where the user does not want it to run.
    """
    files = await asyncio.to_thread(_not_agreed, preset)
    if files and not await app.push_screen_wait(_consent(files)):
        return None
    return bool(files)


async def agreed_to_run(app: ConsoleApp, folder: RunFolder) -> bool | None:
    """Ask the same about a run that goes on. Raises PresetError where its preset can't be read."""
    from engine.preset.loading import load_preset

    if start_of(folder) is not None:
        return False  # of a script of one's own there is nothing more to agree to
    return await agreed_to(app, await asyncio.to_thread(load_preset, folder.preset))


async def agreed_to_fork(app: ConsoleApp, parent: RunFolder, step: int, overrides: Sequence[str]) -> bool | None:
    """Ask the same about a fork with changed settings. Raises DescentError where there can be none."""
    from engine.launch import fork as launch_fork

    if start_of(parent) is not None:
        return False
    branch = await asyncio.to_thread(launch_fork.branch, parent, step, overrides)
    return await agreed_to(app, branch.preset)


async def _have_data(app: ConsoleApp, preset: "Preset") -> bool:
    """Return whether the data are on this machine, perhaps after a download. Nothing is downloaded without asking."""
    from engine.preset import datasets
    from tui.screens.download import Download

    name, root = preset.data.name, datasets.data_root(app.data_root)
    known = {each.name: each for each in datasets.catalogue()}.get(name)
    copied = getattr(preset.data, "source", "original") == "images"  # the worker says what is missing of a copy
    if known is None or copied or await asyncio.to_thread(datasets.is_there, name, root):
        return True
    looked = _("{dataset}. Looked in:", dataset=known.title)
    where = _("If you have it, give the folder that holds {folder}:", folder=known.folder.partition("/")[0])
    commands = (f"  descent console {preset.name} --data-root FOLDER", "  export DESCENT_DATA=FOLDER; descent")
    copy = datasets.copy_hint(name, root)
    text = "\n".join((looked, f"  {root / known.folder}", where, *commands, *([copy] if copy else [])))
    download = _("download {size} there, then start", size=size(known.download_bytes))
    choices = [("d", download, True), ("n", _("not now"), False)]
    if not await app.push_screen_wait(Ask(_("{dataset} is not on this machine", dataset=name), text, choices)):
        return False
    fetched = await app.push_screen_wait(Download(known, root))
    return bool(fetched)


def _of_system(error: OSError) -> str:
    return f"{error.strerror}: {error.filename or _('the training process')}"


def _trouble(text: str) -> Ask[None]:
    return Ask(_("this can't be started"), text, [("enter", _("back"), None)], trouble=True)


def _not_agreed(preset: "Preset") -> list[Path]:
    """The files of the user's own code that the preset runs and that nobody has agreed to yet."""
    from engine.preset import consent

    new: set[Path] = set()
    for spec in preset.code.values():
        with contextlib.suppress(OSError, DescentError):  # the start itself reports a file that can't be read
            new |= {*consent.to_agree_to(spec)}
    return sorted(new)


def _consent(files: Sequence[Path]) -> Ask[bool]:
    names = "\n".join(f"  {clean(str(file))}" for file in files)
    text = _(
        "It can do everything that you can do. Read it first:\n{files}\nDescent asks again when a file changes.",
        files=names,
    )
    choices = [("n", _("don't run it"), False), ("y", _("run it"), True)]
    return Ask(_("this preset runs your own code"), text, choices, careful=True)
