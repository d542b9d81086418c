"""Starts of training scripts: a loop of one's own, in this terminal or in a process of its own."""

import os
import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from descent import child
from descent.common import paths, settings
from descent.common.errors import DescentError
from descent.common.files import write_json
from descent.common.i18n import _
from descent.common.text import show
from descent.loop.folder import make, refuse_several_processes, start_of
from descent.run import find
from descent.run.folder import RunFolder, create, new_id
from descent.run.lock import worker_pid
from descent.run.schema import LOOP_FILE, EventReader
from engine.launch import fork as launch_fork
from engine.launch.options import Options
from engine.launch.spawn import wait_for_start

_CONTINUED = "DESCENT_LOOP"  # as descent.loop.start has it, which loads PyTorch


def is_script(source: str) -> bool:
    """Return whether this is a file of Python and no preset."""
    return source.endswith(".py")


def run(
    source: str, arguments: Sequence[str], options: Options, *, resume_if_exists: bool, detached: bool
) -> RunFolder:
    """Start a script as a run of its own. Without `detached` this process becomes the script's.

    Raises DescentError if it can't start.
    """
    refuse_several_processes()
    path = Path(source)
    if not path.is_file():
        raise DescentError(_("{file}: no such file", file=show(source)))
    if resume_if_exists and options.run_id is None:
        raise DescentError(_("--resume-if-exists needs --id NAME, the run to go on with"))
    there = paths.runs_dir(options.runs_dir) / (options.run_id or "")
    if resume_if_exists and find.is_run(there):
        folder = RunFolder(there)
        begun = start_of(folder)
        if begun is None or begun.get("script") is None or Path(begun["script"]).name != path.name:
            raise DescentError(_("--resume-if-exists: {run} is no run of {file}; take another --id",
                                 run=folder.id, file=path.name))  # fmt: skip
        if begun["arguments"] != list(arguments):
            raise DescentError(
                _(
                    "--resume-if-exists: {run} was started with the arguments: {given}; take another --id, or "
                    "give the same ones",
                    run=folder.id,
                    given=" ".join(begun["arguments"]) or _("none"),
                )
            )
        _check_free(folder)
        find.note_start(folder.path)
        is_new = False
    else:
        begun = {
            "script": str(path.absolute()),
            "arguments": list(arguments),
            "command": [sys.executable, source, *arguments],
            "folder": str(Path.cwd()),
        }
        folder = make(path.stem, options.run_id, options.runs_dir, begun)
        is_new = True
    try:
        _start(folder, _command(folder, source, arguments), {}, Path.cwd(), detached=detached)
    except (DescentError, OSError):
        if is_new:
            shutil.rmtree(folder.path, ignore_errors=True)
        raise
    return folder


def resume(folder: RunFolder, begun: Mapping[str, Any], *, detached: bool) -> None:
    """Go on with a script's run by its own command line. Raises DescentError if its loop can't go on."""
    refuse_several_processes()
    _check_alone(folder, begun)
    _check_driven(folder)
    _check_free(folder)
    find.note_start(folder.path)
    _go_on(folder, begun, detached=detached)


def fork(
    parent: RunFolder,
    begun: Mapping[str, Any],
    at: int | None,
    edits: Sequence[str],
    arguments: Sequence[str] | None,
    options: Options,
    *,
    detached: bool,
) -> RunFolder:
    """Train a new run of a script from a checkpoint of another: None for its last one.

    begun: how the parent was started. edits: "key=value" texts, which the new run follows before its first step.
    arguments: of the script, if they are to be others. Raises DescentError if it can't start.
    """
    refuse_several_processes()
    _check_alone(parent, begun)
    _check_driven(parent)
    if arguments is not None and begun.get("script") is None:
        raise DescentError(
            _(
                "{run} was not started by `descent run`, so its arguments can't be changed; fork it without any",
                run=parent.id,
            )
        )
    changed, problems = settings.parse(edits)
    if problems:
        raise DescentError("\n".join(problems))
    step, notes = launch_fork.checkpoint_to_fork(parent, at)
    start = dict(begun)
    if arguments is not None:
        start |= {
            "arguments": list(arguments),
            "command": [*begun["command"][: len(begun["command"]) - len(begun["arguments"])], *arguments],
        }
    keys = [".".join(override.path) for override in changed]
    keys += [_("arguments")] if start["arguments"] != begun["arguments"] else []

    def fill(folder: Path) -> None:
        stored = launch_fork.rows_before(parent, step)
        launch_fork.copy_past(stored, folder, step)
        launch_fork.copy_checkpoints(parent, folder, [step])
        launch_fork.write_lines(folder / "events.jsonl", launch_fork.shared_events(parent, step))
        write_json(folder / LOOP_FILE, start)
        origin = launch_fork.origin_of(parent, step, keys, notes)
        write_json(folder / "parent.json", origin | {"edits": list(edits)})

    name = str(parent.facts().get("preset", parent.id))
    runs = paths.runs_dir(options.runs_dir) if options.runs_dir is not None else parent.path.parent
    folder = create(runs, options.run_id or new_id(name), parent.preset.read_text(), {}, fill)
    find.note_start(folder.path)
    try:
        _go_on(folder, start, detached=detached)
    except (DescentError, OSError):
        shutil.rmtree(folder.path, ignore_errors=True)
        raise
    return folder


def _check_alone(folder: RunFolder, begun: Mapping[str, Any]) -> None:
    """Raise DescentError if a run trains in several processes, of which this command would start one."""
    if begun.get("processes", 1) > 1:
        raise DescentError(
            _(
                "{run} trains in {count} processes, which Descent does not start; start it again by torchrun, with "
                "the same id",
                run=folder.id,
                count=begun["processes"],
            )
        )


def _check_driven(folder: RunFolder) -> None:
    """Raise DescentError if a loop can't go on from a checkpoint."""
    if not (folder.last("exact") or {}).get("driver"):
        raise DescentError(
            _(
                "{run}: nothing drives the loop of this script, so it can't go on from a checkpoint; written over "
                "run.batches or run.steps it could",
                run=folder.id,
            )
        )


def _go_on(folder: RunFolder, begun: Mapping[str, Any], *, detached: bool) -> None:
    """Start the script of a run that has a checkpoint."""
    if begun.get("script") is None:
        _start(folder, begun["command"], {_CONTINUED: str(folder.path)}, Path(begun["folder"]), detached=detached)
    else:
        command = _command(folder, begun["script"], begun["arguments"])
        _start(folder, command, {}, Path(begun["folder"]), detached=detached)


def _check_free(folder: RunFolder) -> None:
    pid = worker_pid(folder.path)
    if pid is not None:
        raise DescentError(
            _("{run} is training already, in process {pid}; nothing was changed", run=folder.id, pid=pid)
        )


def _command(folder: RunFolder, script: str, arguments: Sequence[str]) -> list[str]:
    return [sys.executable, "-P", "-m", "descent.loop.script", str(folder.path), script, *arguments]


def _start(
    folder: RunFolder, command: Sequence[str], variables: Mapping[str, str], cwd: Path, *, detached: bool
) -> None:
    """Start a command. Without `detached` it takes this process's place: its terminal, signals and exit code."""
    environment = {**os.environ, **variables}
    if not detached:
        sys.stdout.flush()
        sys.stderr.flush()
        os.chdir(cwd)
        os.execve(command[0], list(command), environment)
    log = EventReader(folder.path)
    log.read()
    environment["PYTHONUNBUFFERED"] = "1"  # what the script prints is in the log at once
    with open(folder.output, "ab") as out:
        process = child.start(command, stdout=out, stderr=out, cwd=cwd, env=environment)
    wait_for_start(process, folder, log)
