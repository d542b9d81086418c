"""Starts of training scripts: a loop of one's own, in this terminal or in a process of its own."""

import contextlib
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from descent import child
from descent.common import paths, settings
from descent.common.errors import DescentError, ExitCode
from descent.common.files import write_json
from descent.common.i18n import _
from descent.common.signals import Signals
from descent.common.stdio import complain
from descent.common.text import clean, did_you_mean, show
from descent.loop import relay
from descent.loop.folder import begins_anew, command_of, make, name_of, refuse_several_processes, start_of
from descent.loop.project import changes, check_there, moved
from descent.run import find
from descent.run.events import SCRIPT, Events
from descent.run.folder import RunFolder, create, new_id
from descent.run.live_settings import LOOP_KEYS, not_of_loop
from descent.run.lock import taken, worker_pid
from descent.run.progress import Ending
from descent.run.remove import free_id, is_empty
from descent.run.schema import EVENTS, LOOP_FILE, EventReader
from engine.launch import fork as launch_fork
from engine.launch.options import Options, Outcome
from engine.launch.spawn import wait_for_start


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
        scripts = [str(there) for there in path.parent.glob("*.py")]
        raise DescentError(_("{file}: no such file", file=show(source)) + did_you_mean(source, scripts))
    if resume_if_exists and options.run_id is None:
        raise DescentError(_("--resume-if-exists needs --id NAME, the run to go on with"))
    there = paths.runs_dir(options.runs_dir) / (options.run_id or "")
    if resume_if_exists and find.is_run(there) and not is_empty(RunFolder(there)):
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
        folder = make(name_of(path), options.run_id, options.runs_dir, begun)
        is_new = True
    try:
        here = {"script": source, "arguments": arguments}
        _start(folder, *command_of(folder, here), Path.cwd(), detached=detached)
    except (DescentError, OSError):
        if is_new:
            shutil.rmtree(folder.path, ignore_errors=True)
        raise
    return folder


def resume(folder: RunFolder, begun: Mapping[str, Any], options: Options, *, detached: bool) -> None:
    """Go on with a script's run by its own command line. Raises DescentError if its loop can't go on."""
    refuse_several_processes()
    _check_alone(folder, begun)
    _check_free(folder)
    _check_driven(folder)
    begun = _there(folder, "resume", begun, options)
    if options.folder is not None:
        write_json(folder.path / LOOP_FILE, dict(begun))
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
                "{run} was not started by `descent run`, so its arguments can't be changed; fork it without any. "
                "Settings are changed by --set KEY=VALUE",
                run=parent.id,
            )
        )
    changed, problems = settings.parse(edits)
    if problems:
        raise DescentError("\n".join(problems))
    _check_settings(parent, begun, [".".join(override.path) for override in changed])
    step, notes = launch_fork.checkpoint_to_fork(parent, at)
    start = dict(_there(parent, "fork", begun, options))
    if arguments is not None:
        start |= {
            "arguments": list(arguments),
            "command": [*begun["command"][: len(begun["command"]) - len(begun["arguments"])], *arguments],
        }
    keys = [".".join(override.path) for override in changed]
    keys += [_("arguments")] if start["arguments"] != begun["arguments"] else []

    origin = launch_fork.origin_of(parent, step, keys, notes) | {"edits": list(edits)}
    folder = _branched(parent, step, start, origin, options)
    try:
        _go_on(folder, start, detached=detached)
    except (DescentError, OSError):
        shutil.rmtree(folder.path, ignore_errors=True)
        raise
    return folder


def _check_settings(parent: RunFolder, begun: Mapping[str, Any], keys: Sequence[str]) -> None:
    """Raise DescentError for a setting that the parent did not have, unless its script may declare more by now."""
    allowed = [*LOOP_KEYS, *(str(told["name"]) for told in parent.facts().get("settings", ()))]
    unknown = next((key for key in keys if key not in allowed), None)
    if unknown is not None and not changes(begun):
        raise not_of_loop(unknown, allowed)


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


def replay(parent: RunFolder, begun: Mapping[str, Any], options: Options) -> int:
    """Train a script's run again from its first checkpoint, with every command at its step, and compare the two.

    begun: how it was started. What the script prints goes into the new run's output.log alone. Returns the exit code,
    which is 1 if the rows differ. Raises DescentError if the loop can't go on from that checkpoint.
    """
    refuse_several_processes()
    _check_driven(parent)
    _check_alone(parent, begun)
    begun = _there(parent, "replay", begun, options)
    step, notes = launch_fork.checkpoint_to_replay(parent)
    told = parent.last("exact") or {}
    if told.get("driver") == "script":
        raise DescentError(
            _(
                "{run}: only a loop over run.batches or run.steps can be replayed; this one goes on from run.step, "
                "without its random numbers and batches",
                run=parent.id,
            )
        )
    why_not = told.get("why_not", [])
    if step and why_not:
        raise DescentError(
            _(
                "{run}: its first checkpoint is of step {step:,}, and from there a replay would not be the same: "
                "{reasons}",
                run=parent.id,
                step=step,
                reasons="; ".join(map(str, why_not)),
            )
        )
    origin = launch_fork.origin_of(parent, step, (), notes) | {"replay": True, "edits": []}
    script = launch_fork.script_from(parent, step)
    folder = _branched(parent, step, begun, origin, options, script)
    if not options.quiet:
        options.tell(_("run {run}", run=folder.id))
    command, variables = command_of(folder, begun)
    with Signals() as signals:
        try:
            process = _spawn(folder, command, variables, Path(begun["folder"]))
        except OSError:
            shutil.rmtree(folder.path, ignore_errors=True)
            raise
        signals.on_first = process.terminate  # it saves, and ends after its step
        signals.on_second = process.kill
        code = process.wait()
    state = folder.state()
    if code or state not in ("finished", "stopped"):
        reason = (folder.last("state") or {}).get("reason")
        error = _("the replay has ended early: {reason}", reason=clean(str(reason or _why_ended(folder, code))))
        exit_code = code if code > 0 else ExitCode.CANNOT_GO_ON
        options.show(Outcome(folder, Ending(exit_code, state, error=error)))
        return exit_code
    differs = launch_fork.first_difference(parent, folder)
    saved = folder.checkpoints()
    ending = Ending(ExitCode.DONE, state, folder.checkpoint(saved[-1]) if saved else None)
    more, line = {"differs_at": differs}, launch_fork.said_of(parent, folder, differs)
    options.show(Outcome(folder, ending, more=more, line=line))
    return ExitCode.DONE if differs is None else ExitCode.CHECK_FAILED


def _why_ended(folder: RunFolder, code: int) -> str:
    """Return the last line that a script has printed, or its exit code if it has printed none."""
    said = [line for line in folder.output.read_text(errors="replace").splitlines() if line.strip()]
    return said[-1] if said else _("exit code {code}", code=code)


def _branched(
    parent: RunFolder,
    step: int,
    start: Mapping[str, Any],
    origin: Mapping[str, Any],
    options: Options,
    script: Sequence[dict[str, Any]] | None = None,
) -> RunFolder:
    """Make the folder of a run that goes on from another's checkpoint. script: the commands of a replay."""

    def fill(folder: Path) -> None:
        stored = launch_fork.rows_before(parent, step)
        launch_fork.copy_past(stored, folder, step)
        launch_fork.copy_checkpoints(parent, folder, [step])
        launch_fork.write_lines(folder / EVENTS, launch_fork.shared_events(parent, step))
        if script is not None:
            launch_fork.write_lines(folder / SCRIPT, script)
        write_json(folder / LOOP_FILE, dict(start))
        write_json(folder / "parent.json", dict(origin))

    name = str(parent.facts().get("preset", parent.id))
    runs = paths.runs_dir(options.runs_dir) if options.runs_dir is not None else parent.path.parent
    free_id(runs, options.run_id)
    folder = create(runs, options.run_id or new_id(name), parent.preset.read_text(), {}, fill)
    find.note_start(folder.path)
    return folder


def _there(folder: RunFolder, command: str, begun: Mapping[str, Any], options: Options) -> Mapping[str, Any]:
    """Return how a script is started, from where it lies now. Raises DescentError if it is gone."""
    start = begun if options.folder is None else moved(begun, options.folder)
    check_there(folder.id, command, start)
    return start


def _check_driven(folder: RunFolder) -> None:
    """Raise DescentError if a loop can't go on from a checkpoint."""
    told = folder.last("exact") or {}
    if not told.get("driver"):
        why = told.get("refused", {}).get("fork") or begins_anew()
        raise DescentError(f"{folder.id}: {clean(str(why))}")


def _go_on(folder: RunFolder, begun: Mapping[str, Any], *, detached: bool) -> None:
    """Start the script of a run that has a checkpoint."""
    command, variables = command_of(folder, begun)
    _start(folder, command, variables, Path(begun["folder"]), detached=detached)


def _check_free(folder: RunFolder) -> None:
    if worker_pid(folder.path) is not None:
        raise taken(folder.path)


def _start(
    folder: RunFolder, command: Sequence[str], variables: Mapping[str, str], cwd: Path, *, detached: bool
) -> None:
    """Start a command. Without `detached` it takes this process's place: its keyboard, signals and exit code."""
    if not detached:
        complain(_("run {run}; in another terminal: descent attach {run}", run=folder.id))
        environment = {**os.environ, **variables}
        _announce(folder)
        sys.stdout.flush()
        sys.stderr.flush()
        os.chdir(cwd)
        environment |= relay.begin(folder.output)
        os.execve(command[0], list(command), environment)
    log = EventReader(folder.path)
    log.read()
    try:
        wait_for_start(_spawn(folder, command, variables, cwd), folder, log)
    except (DescentError, OSError) as error:
        with contextlib.suppress(OSError):
            Events(folder.path).state("failed", reason=clean(str(error)))
        raise


def _announce(folder: RunFolder) -> None:
    """Tell that this process waits for a script to take its run, or becomes it: its imports may take minutes."""
    events = Events(folder.path)
    events.awaited(os.getpid())
    events.close()


def _spawn(
    folder: RunFolder, command: Sequence[str], variables: Mapping[str, str], cwd: Path
) -> "subprocess.Popen[bytes]":
    """Start a command in a session of its own. What it prints is in the run's log at once."""
    environment = {**os.environ, **variables, "PYTHONUNBUFFERED": "1"}
    _announce(folder)
    with open(folder.output, "ab") as out:
        return child.start(command, stdout=out, stderr=out, cwd=cwd, env=environment)
