"""Starts of runs: a new run, a resumed one, a fork or a replay, in this process or in one of its own."""

import shutil
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from descent import control, warm
from descent.common import job, paths
from descent.common.errors import DescentError, ExitCode, PresetError
from descent.common.files import write_json
from descent.common.i18n import _
from descent.common.signals import Signals
from descent.loop.folder import start_of
from descent.run import find
from descent.run.folder import RunFolder, create, new_id
from descent.run.lock import worker_pid
from descent.run.remove import free_id
from descent.run.schema import EventReader
from descent.run.state import ALIVE
from engine.launch import foreground, loading, script
from engine.launch import fork as launch_fork
from engine.launch.fork import Branch, branch, branch_to_replay, first_difference, said_of
from engine.launch.options import DEFAULT, Options, Outcome
from engine.launch.spawn import wait_for_start
from engine.preset import code_copy, consent, datasets, schema
from engine.preset.loading import Preset, load_preset

_NAMED = 3  # settings that a message names at most

# --- in this process ---


def run(source: str, overrides: Sequence[str], options: Options = DEFAULT, *, resume_if_exists: bool = False) -> int:
    """Train a preset in this process. Returns the exit code. Raises DescentError if nothing could be started."""
    return _in_job(lambda: _run(source, overrides, options, resume_if_exists=resume_if_exists))


def _run(source: str, overrides: Sequence[str], options: Options, *, resume_if_exists: bool) -> int:
    runs = paths.runs_dir(options.runs_dir)
    if resume_if_exists:
        if options.run_id is None:
            raise DescentError(_("--resume-if-exists needs --id NAME, the run to go on with"))
        if find.is_run(runs / options.run_id):
            folder = RunFolder(runs / options.run_id)
            wanted = load_preset(source, overrides)
            _refuse_other_settings(folder, wanted)
            return _resume(folder, replace(options, ranks=wanted.train.ranks))
    preset = load_preset(source, overrides)
    _refuse_unpredicted(preset)
    root = _data_root(options.data_root)
    _have_data(preset, root, download=options.download)
    _have_weights(preset, runs)
    _tell_notes(preset, options)
    # Begun before the folder is made and torch is loaded, so that Ctrl-C already means to save and stop.
    with Signals() as signals:
        folder, code = _create(preset, runs, options)
        return foreground.train(folder, preset.name, root, signals, options, fresh=True, code=code)


def resume(word: str, options: Options = DEFAULT) -> int:
    """Go on with a run from its last checkpoint, in this process. Returns the exit code."""
    return _in_job(lambda: _resume(found(word, options.runs_dir), options))


def _in_job(train: Callable[[], int]) -> int:
    """Train as rank 0 of torchrun or srun, or follow it as another process of theirs. Alone, train.

    Returns the exit code.
    """
    job.take_from_slurm()
    if job.size() == 1:
        return train()
    job.check()
    from engine.launch import rank

    if job.rank() > 0:
        return rank.follow_in_job()
    try:
        return train()
    finally:
        rank.release_job()


def _resume(folder: RunFolder, options: Options) -> int:
    if worker_pid(folder.path) is not None and folder.state() == "paused":
        options.show(Outcome(folder, answer=control.send(folder.path, "resume", None, None, "shell")))
        return ExitCode.DONE
    if folder.state() == "finished":
        options.show(Outcome(folder))
        return ExitCode.DONE
    if (begun := start_of(folder)) is not None:
        script.resume(folder, begun, options, detached=False)
    _refuse_folder(folder, options)
    name, root = _ready_to_resume(folder, options)
    with Signals() as signals:
        return foreground.train(folder, name, root, signals, options)


def fork(
    word: str,
    at: int | None,
    overrides: Sequence[str],
    options: Options = DEFAULT,
    *,
    member: int | None = None,
    arguments: Sequence[str] | None = None,
) -> int:
    """Train a new run from a checkpoint of another, or of one member of it, in this process.

    arguments: of a script, if they are to be others. Returns the exit code.
    """
    return _in_job(lambda: _fork(found(word, options.runs_dir), at, overrides, options, member, arguments))


def _fork(
    parent: RunFolder,
    at: int | None,
    overrides: Sequence[str],
    options: Options,
    member: int | None,
    arguments: Sequence[str] | None,
) -> int:
    if (begun := start_of(parent)) is not None:
        _refuse_member(parent, member)
        script.fork(parent, begun, at, overrides, arguments, options, detached=False)
    _refuse_arguments(parent, arguments)
    _refuse_folder(parent, options)
    return _train_branch(branch(parent, at, overrides, member), options)


def _refuse_member(parent: RunFolder, member: int | None) -> None:
    if member is not None:
        raise DescentError(
            _("--member {member}: {run} has one model; fork it without --member", member=member, run=parent.id)
        )


def _refuse_arguments(parent: RunFolder, arguments: Sequence[str] | None) -> None:
    if arguments:
        raise DescentError(
            _(
                "{given}: {run} is a run of a preset, which is changed by --set; only a script takes arguments",
                given=" ".join(arguments),
                run=parent.id,
            )
        )


def _refuse_folder(folder: RunFolder, options: Options) -> None:
    if options.folder is not None:
        raise DescentError(
            _("--folder: {run} is a run of a preset; only a script is started from a folder", run=folder.id)
        )


def replay(word: str, options: Options = DEFAULT) -> int:
    """Train a run again from its first checkpoint, with every command at its step, and compare the two.

    Returns the exit code, which is 1 if the rows differ.
    """
    return _in_job(lambda: _replay(found(word, options.runs_dir), options))


def _replay(parent: RunFolder, options: Options) -> int:
    if (begun := start_of(parent)) is not None:
        return script.replay(parent, begun, options)
    _refuse_folder(parent, options)
    return _train_branch(branch_to_replay(parent), options)


def _train_branch(branch: Branch, options: Options) -> int:
    _tell_notes(branch.preset, options)
    folder, root = _create_branch(branch, options)
    differs: list[int | None] = []

    def compared() -> tuple[dict[str, Any], str]:
        differs.append(first_difference(branch.parent, folder))
        return {"differs_at": differs[0]}, said_of(branch.parent, folder, differs[0])

    extra = compared if branch.is_replay else None
    with Signals() as signals:
        code = foreground.train(folder, branch.preset.name, root, signals, options, fresh=True, extra=extra)
    return ExitCode.CHECK_FAILED if code == ExitCode.DONE and differs and differs[0] is not None else code


# --- in a process of its own ---


def detach(
    source: str, overrides: Sequence[str] = (), options: Options = DEFAULT, *, watched: bool = False
) -> RunFolder:
    """Train a preset in a process of its own, which outlives this one. Returns its folder.

    watched: whether a person watches in a console. Then a loss that is not finite pauses the run, unless the preset
    says otherwise. Raises DescentError if the run can't start. Later errors are in the run's events and state.
    """
    refuse_several_processes()
    preset = load_preset(source, overrides)
    _refuse_unpredicted(preset)
    if watched and "on_nan" not in preset.train.model_fields_set:
        preset = preset.changed(['train.on_nan="pause"'])
    root = _data_root(options.data_root)
    _have_data(preset, root, download=options.download)
    _have_weights(preset, paths.runs_dir(options.runs_dir))
    folder = _create(preset, paths.runs_dir(options.runs_dir), options)[0]
    return _begin(folder, preset.name, root)


def detach_resume(folder: RunFolder, options: Options = DEFAULT) -> None:
    """Go on with a run that has ended or was lost, in a process of its own. Raises DescentError if it can't."""
    refuse_several_processes()
    if folder.state() == "finished":
        raise DescentError(_finished(folder))
    if (begun := start_of(folder)) is not None:
        script.resume(folder, begun, options, detached=True)
        return
    _refuse_folder(folder, options)
    name, root = _ready_to_resume(folder, options)
    _spawn(folder, name, root, options.ranks)


def _finished(folder: RunFolder) -> str:
    return _("{run} is finished; nothing is left to train", run=folder.id)


def detach_fork(
    parent: RunFolder,
    at: int | None = None,
    overrides: Sequence[str] = (),
    options: Options = DEFAULT,
    *,
    member: int | None = None,
    arguments: Sequence[str] | None = None,
) -> RunFolder:
    """Train a new run from the checkpoint of step `at` of another (None: its last), in a process of its own.

    member: of several, the one that goes on alone. arguments: of a script, if they are to be others.
    """
    refuse_several_processes()
    if (begun := start_of(parent)) is not None:
        _refuse_member(parent, member)
        return script.fork(parent, begun, at, overrides, arguments, options, detached=True)
    _refuse_arguments(parent, arguments)
    _refuse_folder(parent, options)
    branch = launch_fork.branch(parent, at, overrides, member)
    folder, root = _create_branch(branch, options)
    return _begin(folder, branch.preset.name, root)


def _begin(folder: RunFolder, name: str, root: Path) -> RunFolder:
    """Start the worker of a new run. If it can't start, the folder is removed."""
    try:
        _spawn(folder, name, root)
    except (DescentError, OSError):
        shutil.rmtree(folder.path, ignore_errors=True)
        raise
    return folder


def _spawn(folder: RunFolder, name: str, root: Path, ranks: int | None = None) -> None:
    # asyncio's subprocesses are not used: on Python 3.12 and 3.13 they kill the child when their event loop closes.
    # With -P, the worker does not import a random.py, say, from the current folder.
    words = (str(folder.path), name, str(root), str(ranks or 0), *consent.agreed_for_now())
    log = EventReader(folder.path)
    log.read()
    with open(folder.output, "ab") as out:
        started = warm.start("engine.launch.background", *words, stdout=out, stderr=out)
    wait_for_start(started, folder, log)


# --- for both ---


def _tell_notes(preset: Preset, options: Options) -> None:
    if not options.quiet:
        for note in preset.notes:
            options.tell(f"descent: {note}")


def found(word: str, runs_dir: Path | None) -> RunFolder:
    """Return the run that `word` names: an id, a part of one, a path, or `last`."""
    return RunFolder(find.find_run(word, paths.runs_dir(runs_dir)))


def refuse_several_processes() -> None:
    """Raise DescentError under torchrun, each of whose processes would start a run in the background."""
    job.take_from_slurm()
    if (size := job.size()) > 1:
        raise DescentError(
            _(
                "WORLD_SIZE = {size}: each of these processes would begin a run in the background; start one without "
                "torchrun or srun, and let --ranks {size} start the others",
                size=size,
            )
        )


def _refuse_other_settings(folder: RunFolder, wanted: Preset) -> None:
    """Raise DescentError if the run to go on with has other settings. A job would report another run's result."""
    asked, kept = (_by_meaning(preset) for preset in (wanted, load_preset(folder.preset)))
    if "on_nan" not in wanted.train.model_fields_set and kept["train.on_nan"] == "pause":
        asked["train.on_nan"] = "pause"  # the console has set it
    differ = [
        _("{key} = {kept}, not {asked}", key=key, kept=kept.get(key, _("unset")), asked=asked.get(key, _("unset")))
        for key in asked | kept
        if asked.get(key) != kept.get(key)
    ]
    if differ:
        settings = ", ".join(differ[:_NAMED])
        if len(differ) > _NAMED:
            settings = _("{settings}, and {count} more", settings=settings, count=len(differ) - _NAMED)
        raise DescentError(
            _(
                "--resume-if-exists: {run} was started with {settings}; take another --id, or go on with that run as "
                "it is: descent resume {run}",
                run=folder.id,
                settings=settings,
            )
        )


def _by_meaning(preset: Preset) -> dict[str, Any]:
    """Return the settings that are trained, by dotted keys, without titles.

    The run's copy of the user's code counts as that code.
    """
    settings = {key: value for key, value in preset.flat().items() if "." in key and key != "train.ranks"}
    return settings | {f"{section}.code": Path(spec).name for section, spec in preset.code.items()}


def _refuse_unpredicted(preset: Preset) -> None:
    """Raise DescentError, with the command to make them, if predictions of the preset's lab are missing."""
    if preset.settings.lab is not None:
        from engine.labs import flow

        flow.check_start(preset.settings.lab)


def _have_weights(preset: Preset, runs: Path) -> None:
    """Raise PresetError if the run that `model.from` names is not there. The worker would load the data first."""
    source = preset.model.from_run
    if source is not None and not Path(source).is_file():
        try:
            find.find_weights(source, runs)
        except DescentError as error:
            raise PresetError(f"model.from: {error}") from None


def _ready_to_resume(folder: RunFolder, options: Options) -> tuple[str, Path]:
    """Return the preset's name and the data's root of a run that can go on here. Raises DescentError if it can't."""
    state, pid = folder.state(), worker_pid(folder.path)
    if pid is not None:
        raise DescentError(
            _("{run} is already {state}, in process {pid}; nothing was changed", run=folder.id, state=state, pid=pid)
        )
    if state in ALIVE and state != "starting":
        raise DescentError(
            _(
                "{run} is {state} on host {host}; resume it there, or stop it first",
                run=folder.id,
                state=state,
                host=folder.host(),
            )
        )
    preset = load_preset(folder.preset)
    for section, spec in preset.code.items():
        consent.check_consent(spec, options.allow_code, key=f"{section}.code")
    folder.check_writable()
    root = _data_root(options.data_root, _stored_root(folder))
    _have_data(preset, root, download=False)
    find.note_start(folder.path)
    return str(folder.facts().get("preset", folder.id)), root


def _create_branch(branch: launch_fork.Branch, options: Options) -> tuple[RunFolder, Path]:
    """Make the folder of a fork, beside its parent unless another place is given. Returns it and its data's root."""
    root = _data_root(options.data_root, _stored_root(branch.parent))
    _have_data(branch.preset, root, download=False)
    runs = paths.runs_dir(options.runs_dir) if options.runs_dir is not None else branch.parent.path.parent
    folder = _create(branch.preset, runs, options, branch)[0]
    return folder, root


def _data_root(given: Path | None, before: Path | None = None) -> Path:
    return datasets.data_root(given if given is not None else before).resolve()


def _stored_root(folder: RunFolder) -> Path | None:
    """Return the root of the run's data when it began."""
    root = folder.facts().get("data_root")
    return None if root is None else Path(root)


def _have_data(preset: Preset, root: Path, *, download: bool) -> None:
    """Raise DataMissingError if a downloadable data set is missing, or download it. Called before torch is loaded.

    The system begins to read the files, because PyTorch takes longer to load.
    """
    name, path = preset.data.name, getattr(preset.data, "path", None)
    if all(known.name != name for known in datasets.catalogue()):
        loading.read_ahead([Path(path)] if path else [])
        return
    if isinstance(preset.data, schema.DownloadedData) and preset.data.source == "images":
        loading.read_ahead([datasets.require_images(name, root)])
        return
    if download and not datasets.is_there(name, root):
        from engine.launch.download import download as fetch

        fetch(name, root)
    datasets.require(name, root)
    loading.read_ahead(datasets.files(name, root))


def _create(
    preset: Preset, runs: Path, options: Options, branch: launch_fork.Branch | None = None
) -> tuple[RunFolder, dict[str, str]]:
    """Make the run's folder, with its preset and a copy of the user's code that it names.

    Returns the folder, and the user's file of each copy.
    """
    settings, contents, originals = preset.settings, dict[str, bytes](), dict[str, str]()
    begun: dict[str, str] = {}
    for section, spec in preset.code.items():
        project = consent.agreed_project(spec, options.allow_code, key=f"{section}.code")
        for file, content in project.files.items():
            if contents.setdefault(file, content) != content:
                raise DescentError(
                    _("{key}: two different files are called {file}; rename one", key=f"{section}.code", file=file)
                )
        # The run keeps the code that it was started with, so a later edit of the files does not change it.
        kept = f"{code_copy.FOLDER}/{project.entry}:{spec.rpartition(':')[2]}"
        changed = getattr(settings, section).model_copy(update={"code": kept})
        settings = settings.model_copy(update={section: changed})
        originals |= {f"{code_copy.FOLDER}/{file}": str(project.root / file) for file in project.files}
        begun |= code_copy.origins(project)

    def fill(unfinished: Path) -> None:
        if contents:
            write_json(unfinished / code_copy.FILE, code_copy.noted(contents, begun))
        if branch is not None:
            branch.fill(unfinished)

    toml = replace(preset, settings=settings).to_toml()
    free_id(runs, options.run_id)
    folder = create(runs, options.run_id or new_id(preset.name), toml, contents, fill)
    find.note_start(folder.path)
    return folder, {str(folder.path / kept): file for kept, file in originals.items()}
