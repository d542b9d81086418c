"""Starting runs: a new one, one that goes on, a fork, a replay; in this process or in one of its own."""

import os
import shutil
import subprocess
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from descent import child, control
from descent.common import paths
from descent.common.errors import CannotGoOnError, DescentError, ExitCode
from descent.common.files import JsonLinesReader
from descent.common.signals import Signals
from descent.common.text import clean
from descent.run import find
from descent.run.folder import RunFolder, create, new_id
from descent.run.lock import worker_pid
from descent.run.state import ALIVE
from engine.launch import foreground, loading
from engine.launch import fork as launch_fork
from engine.launch.fork import Branch, branch, branch_to_replay, first_difference, said_of
from engine.launch.options import DEFAULT, Options, Outcome
from engine.preset import consent, datasets
from engine.preset.loading import Preset, load_preset

_NAMED = 3  # settings that a message names
_LOOK = 0.01  # seconds between looks at a worker that is starting
_started: list["subprocess.Popen[bytes]"] = []

# --- in this process ---


def run(source: str, overrides: Sequence[str], options: Options = DEFAULT, *, resume_if_exists: bool = False) -> int:
    """Train a preset in this process; the exit code. DescentError where nothing could be started."""
    runs = paths.runs_dir(options.runs_dir)
    if resume_if_exists:
        if options.run_id is None:
            raise DescentError("--resume-if-exists needs --id NAME: the run to go on with")
        if find.is_run(runs / options.run_id):
            folder = RunFolder(runs / options.run_id)
            _refuse_other_settings(folder, load_preset(source, overrides))
            return _resume(folder, options)
    refuse_several_processes()
    preset = load_preset(source, overrides)
    _refuse_unpredicted(preset)
    root = _data_root(options.data_root)
    _have_data(preset, root, download=options.download)
    _tell_notes(preset, options)
    # Before there is a folder, and before torch is loaded: Ctrl-C then means already to save and stop.
    with Signals() as signals:
        folder, code = _create(preset, runs, options)
        return foreground.train(folder, preset.name, root, signals, options, fresh=True, code=code)


def resume(word: str, options: Options = DEFAULT) -> int:
    """Go on with a run from its last checkpoint, in this process; the exit code."""
    return _resume(found(word, options.runs_dir), options)


def _resume(folder: RunFolder, options: Options) -> int:
    refuse_several_processes()
    if worker_pid(folder.path) is not None and folder.state() == "paused":
        options.show(Outcome(folder, answer=control.send(folder.path, "resume", timeout=None)))
        return ExitCode.DONE
    if folder.state() == "finished":
        options.show(Outcome(folder))
        return ExitCode.DONE
    name, root = _ready_to_resume(folder, options)
    with Signals() as signals:
        return foreground.train(folder, name, root, signals, options)


def fork(
    word: str, at: int | None, overrides: Sequence[str], options: Options = DEFAULT, *, member: int | None = None
) -> int:
    """Train a new run from a checkpoint of another, or of one member of it, in this process; the exit code."""
    return _train_branch(branch(found(word, options.runs_dir), at, overrides, member), options)


def replay(word: str, options: Options = DEFAULT) -> int:
    """Train a run once more from its first checkpoint, with every command at its step, and compare the two.

    The exit code; 1 where the rows differ.
    """
    return _train_branch(branch_to_replay(found(word, options.runs_dir)), options)


def _train_branch(branch: Branch, options: Options) -> int:
    refuse_several_processes()
    _tell_notes(branch.preset, options)
    folder, root = _create_branch(branch, options)
    differs: list[int | None] = []

    def compared() -> tuple[dict[str, Any], str]:
        differs.append(first_difference(branch.parent, folder))
        return {"differs_at": differs[0]}, said_of(branch.parent, differs[0])

    extra = compared if branch.is_replay else None
    with Signals() as signals:
        code = foreground.train(folder, branch.preset.name, root, signals, options, fresh=True, extra=extra)
    return ExitCode.CHECK_FAILED if code == ExitCode.DONE and differs and differs[0] is not None else code


# --- in a process of its own ---


def detach(
    source: str, overrides: Sequence[str] = (), options: Options = DEFAULT, *, watched: bool = False
) -> RunFolder:
    """Train a preset in a process of its own, which outlives this one; its folder. DescentError where it can't start.

    watched: from a console, where a person can answer: a loss that is not finite pauses the run, unless the preset
    says otherwise. What goes wrong later is in the run's events: follow its state.
    """
    refuse_several_processes()
    preset = load_preset(source, overrides)
    _refuse_unpredicted(preset)
    if watched and "on_nan" not in preset.train.model_fields_set:
        preset = preset.changed(['train.on_nan="pause"'])
    root = _data_root(options.data_root)
    _have_data(preset, root, download=options.download)
    folder, _ = _create(preset, paths.runs_dir(options.runs_dir), options)
    return _begin(folder, preset.name, root)


def detach_resume(folder: RunFolder, options: Options = DEFAULT) -> None:
    """Go on with a run that has ended or was lost, in a process of its own. DescentError where it can't."""
    refuse_several_processes()
    if folder.state() == "finished":
        raise DescentError(f"{folder.id} is finished; nothing is left to train")
    name, root = _ready_to_resume(folder, options)
    _spawn(folder, name, root)


def detach_fork(
    parent: RunFolder,
    at: int | None = None,
    overrides: Sequence[str] = (),
    options: Options = DEFAULT,
    *,
    member: int | None = None,
) -> RunFolder:
    """Train a new run from the checkpoint of step `at` of another (its last, for None), in a process of its own.

    member: of several, the one that goes on alone.
    """
    refuse_several_processes()
    branch = launch_fork.branch(parent, at, overrides, member)
    folder, root = _create_branch(branch, options)
    return _begin(folder, branch.preset.name, root)


def _begin(folder: RunFolder, name: str, root: Path) -> RunFolder:
    """A new run's worker; where there can be none, no folder stays."""
    try:
        _spawn(folder, name, root)
    except (DescentError, OSError):
        shutil.rmtree(folder.path, ignore_errors=True)
        raise
    return folder


def _spawn(folder: RunFolder, name: str, root: Path) -> None:
    # Not asyncio's subprocesses: on Python 3.12 and 3.13 they kill the child when their event loop closes. -P: a
    # random.py in the current folder is not the one that the worker means.
    command = child.command("engine.launch.background", str(folder.path), name, str(root))
    log = JsonLinesReader(folder.path / "events.jsonl")
    log.read()
    with open(folder.output, "ab") as out:
        started = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=out, stderr=out, start_new_session=True, close_fds=True
        )
    _started.append(started)  # a Popen that is forgotten while its child lives warns; this one is meant to
    while True:
        ended = started.poll() is not None  # asked first: what it wrote before its end is read once more
        if any(event.get("pid") == started.pid for event in log.read()):
            return  # it says so before it loads torch
        if ended:
            said = [clean(line) for line in folder.output.read_text(errors="replace").splitlines() if line.strip()]
            raise CannotGoOnError(f"{folder.id}: its worker ended at once: {said[-1] if said else 'without a word'}")
        time.sleep(_LOOK)


# --- what both need ---


def _tell_notes(preset: Preset, options: Options) -> None:
    if not options.quiet:
        for note in preset.notes:
            options.tell(f"descent: {note}")


def found(word: str, runs_dir: Path | None) -> RunFolder:
    """The run that `word` names: an id, a part of one, a path, or `last`."""
    return RunFolder(find.find_run(word, paths.runs_dir(runs_dir)))


def refuse_several_processes() -> None:
    """One process, one device: torchrun's copies would all write one run."""
    size = os.environ.get("WORLD_SIZE", "1")
    if size.isdigit() and int(size) > 1:
        raise DescentError(
            f"WORLD_SIZE = {size}: Descent trains in one process on one device; start it without torchrun"
        )


def _refuse_other_settings(folder: RunFolder, wanted: Preset) -> None:
    """DescentError where a run that is to go on is not the one asked for: a job would report another's result."""
    asked, kept = (_by_meaning(preset) for preset in (wanted, load_preset(folder.preset)))
    if "on_nan" not in wanted.train.model_fields_set and kept["train.on_nan"] == "pause":
        asked["train.on_nan"] = "pause"  # by the console, which is there to ask
    differ = [
        f"{key} = {kept.get(key, 'unset')}, not {asked.get(key, 'unset')}"
        for key in asked | kept
        if asked.get(key) != kept.get(key)
    ]
    if differ:
        more = f", and {len(differ) - _NAMED} more" if len(differ) > _NAMED else ""
        raise DescentError(
            f"--resume-if-exists: {folder.id} was started with {', '.join(differ[:_NAMED])}{more}; "
            f"take another --id, or go on with that run as it is: descent resume {folder.id}"
        )


def _by_meaning(preset: Preset) -> dict[str, Any]:
    """What is trained, by dotted keys: without titles; the run's copy of the user's code is that code."""
    settings = {key: value for key, value in preset.flat().items() if "." in key}
    return settings | {f"{section}.code": Path(spec).name for section, spec in preset.code.items()}


def _refuse_unpredicted(preset: Preset) -> None:
    """DescentError, with the command that makes them, where the predictions of the preset's lab are missing."""
    if preset.settings.lab is not None:
        from engine.labs import flow

        flow.check_start(preset.settings.lab)


def _ready_to_resume(folder: RunFolder, options: Options) -> tuple[str, Path]:
    """The preset's name and the data's root of a run that can go on here. DescentError where it can't."""
    state, pid = folder.state(), worker_pid(folder.path)
    if pid is not None:
        raise DescentError(f"{folder.id} is {state} already, in process {pid}; nothing was changed")
    if state in ALIVE and state != "starting":
        raise DescentError(f"{folder.id} is {state} on host {folder.host()}; resume it there, or stop it first")
    preset = load_preset(folder.preset)
    for section, spec in preset.code.items():
        consent.check_consent(spec, options.allow_code, key=f"{section}.code")
    root = _data_root(options.data_root, _stored_root(folder))
    _have_data(preset, root, download=False)
    find.note_start(folder.path)
    return str(folder.facts().get("preset", folder.id)), root


def _create_branch(branch: launch_fork.Branch, options: Options) -> tuple[RunFolder, Path]:
    """The folder of a fork, beside its parent unless another place is given, and the root of its data."""
    root = _data_root(options.data_root, _stored_root(branch.parent))
    _have_data(branch.preset, root, download=False)
    runs = paths.runs_dir(options.runs_dir) if options.runs_dir is not None else branch.parent.path.parent
    folder, _ = _create(branch.preset, runs, options, branch)
    return folder, root


def _data_root(given: Path | None, before: Path | None = None) -> Path:
    return datasets.data_root(given if given is not None else before).resolve()


def _stored_root(folder: RunFolder) -> Path | None:
    """Where the run's data were when it began."""
    root = folder.facts().get("data_root")
    return None if root is None else Path(root)


def _have_data(preset: Preset, root: Path, *, download: bool) -> None:
    """DataMissingError, before torch is loaded, where a downloadable set is not here; or fetch it, if asked to.

    The system begins to read what is here: PyTorch takes longer to load.
    """
    name, path = preset.data.name, getattr(preset.data, "path", None)
    if all(known.name != name for known in datasets.catalogue()):
        loading.read_ahead([Path(path)] if path else [])
        return
    if download and not datasets.is_there(name, root):
        from engine.launch.download import download as fetch

        fetch(name, root)
    datasets.require(name, root)
    loading.read_ahead(datasets.files(name, root))


def _create(
    preset: Preset, runs: Path, options: Options, branch: launch_fork.Branch | None = None
) -> tuple[RunFolder, dict[str, str]]:
    """The run's folder, with its preset and a copy of the user's code that it names; and where that came from."""
    settings, contents, originals = preset.settings, dict[str, bytes](), dict[str, str]()
    for section, spec in preset.code.items():
        content = consent.agreed_content(spec, options.allow_code, key=f"{section}.code")
        file, _, name = spec.rpartition(":")
        kept = f"code/{Path(file).name}"
        if contents.setdefault(Path(file).name, content) != content:
            raise DescentError(f"{section}.code: two different files are called {Path(file).name}; rename one")
        # The run keeps the code it was started with: a later edit of the file changes no run.
        changed = getattr(settings, section).model_copy(update={"code": f"{kept}:{name}"})
        settings = settings.model_copy(update={section: changed})
        originals[kept] = file
    fill = branch.fill if branch is not None else None
    toml = replace(preset, settings=settings).to_toml()
    folder = create(runs, options.run_id or new_id(preset.name), toml, contents, fill)
    find.note_start(folder.path)
    return folder, {str(folder.path / kept): file for kept, file in originals.items()}
