"""Starting and resuming runs in the foreground: from the words of a command line to an exit code."""

import json
import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from engine import commands, consent, datasets, library, output
from engine.errors import CannotGoOnError, DescentError, ExitCode
from engine.ids import check_id, new_id
from engine.preset import Preset, load_preset
from engine.progress import Display, number, time_taken
from engine.run import ALIVE, RunFolder, create, summary, worker_pid
from engine.signals import Signals
from engine.texts import clean

if TYPE_CHECKING:
    from types import ModuleType

    from engine.training.worker import Ending

_started: list["subprocess.Popen[bytes]"] = []
_LOG_LINES = 20  # of the user's own code's last words, where its run is removed


def run(
    source: str,
    overrides: Sequence[str],
    *,
    run_id: str | None,
    resume_if_exists: bool,
    runs_dir: Path | None,
    data_root: Path | None,
    device: str | None,
    download: bool,
    allow_code: bool,
    as_json: bool,
    quiet: bool,
) -> int:
    """Train a preset in this process; the exit code. DescentError where nothing could be started."""
    runs = library.runs_dir(runs_dir)
    if resume_if_exists and run_id is None:
        raise DescentError("--resume-if-exists needs --id NAME: the run to go on with")
    if run_id is not None:
        check_id(run_id)
    if run_id is not None and resume_if_exists and library.is_run(runs / run_id):
        return _resume(RunFolder(runs / run_id), data_root, allow_code, as_json=as_json, quiet=quiet)
    refuse_several_processes()
    preset = load_preset(source, [*overrides, *([f"train.device={device}"] if device else [])])
    root = _data_root(data_root)
    _have_data(preset, root, download=download)
    for note in preset.notes:
        _tell(f"descent: {note}", quiet=quiet)
    # Before there is a folder, and before torch is loaded: Ctrl-C then means already to save and stop.
    with Signals() as signals:
        folder, code = _create(preset, runs, run_id, allow_code=allow_code)
        return _foreground(folder, preset.name, root, signals, as_json=as_json, quiet=quiet, fresh=True, code=code)


def detach(
    source: str,
    overrides: Sequence[str] = (),
    *,
    run_id: str | None = None,
    runs_dir: Path | None = None,
    data_root: Path | None = None,
    allow_code: bool = False,
) -> RunFolder:
    """Train a preset in a process of its own, which outlives this one; its folder. DescentError where it can't start.

    What goes wrong later is in the run's events: follow its state.
    """
    if run_id is not None:
        check_id(run_id)
    refuse_several_processes()
    preset = load_preset(source, overrides)
    root = _data_root(data_root)
    _have_data(preset, root, download=False)
    folder, _ = _create(preset, library.runs_dir(runs_dir), run_id, allow_code=allow_code)
    # Not asyncio's subprocesses: on Python 3.12 and 3.13 they kill the child when their event loop closes. -P: a
    # random.py in the current folder is not the one that the worker means.
    command = [sys.executable, "-P", "-m", "engine.training.worker", str(folder.path), preset.name, str(root)]
    with open(folder.output, "ab") as log:
        started = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True, close_fds=True
        )
    _started.append(started)  # a Popen that is forgotten while its child lives warns; this one is meant to
    return folder


def resume(
    word: str,
    *,
    runs_dir: Path | None,
    data_root: Path | None,
    allow_code: bool,
    as_json: bool,
    quiet: bool,
) -> int:
    """Go on with a run from its last checkpoint, in this process; the exit code."""
    folder = RunFolder(library.find_run(word, library.runs_dir(runs_dir)))
    return _resume(folder, data_root, allow_code, as_json=as_json, quiet=quiet)


def _resume(folder: RunFolder, data_root: Path | None, allow_code: bool, *, as_json: bool, quiet: bool) -> int:
    refuse_several_processes()
    state = folder.state()
    pid = worker_pid(folder.path)
    if pid is not None and state == "paused":
        return commands.follow(folder, "resume", {}, as_json=as_json)
    if pid is not None:
        raise DescentError(f"{folder.id} is {state} already, in process {pid}; nothing was changed")
    if state in ALIVE and state != "starting":
        raise DescentError(f"{folder.id} is {state} on host {folder.host()}; resume it there, or stop it first")
    if state == "finished":
        _tell(f"{folder.id} is finished; nothing is left to train", quiet=quiet)
        _print_result(folder, None, as_json=as_json, quiet=quiet)
        return ExitCode.DONE
    preset = load_preset(folder.preset)
    for section, spec in _code_of(preset).items():
        consent.check_consent(spec, allow_code, key=f"{section}.code")
    facts = folder.facts()
    root = _data_root(data_root, Path(facts["data_root"]) if "data_root" in facts else None)
    _have_data(preset, root, download=False)
    library.note_start(folder.path)
    name = str(facts.get("preset", folder.id))
    with Signals() as signals:
        return _foreground(folder, name, root, signals, as_json=as_json, quiet=quiet)


def print_started(folder: RunFolder, *, as_json: bool) -> None:
    """The id of a run that was sent to the background."""
    if as_json:
        output.say(json.dumps({"run": folder.id, "dir": str(folder.path)}))
    else:
        output.say(folder.id)


def refuse_several_processes() -> None:
    """One process, one device: torchrun's copies would all write one run."""
    size = os.environ.get("WORLD_SIZE", "1")
    if size.isdigit() and int(size) > 1:
        raise DescentError(
            f"WORLD_SIZE = {size}: Descent trains in one process on one device; start it without torchrun"
        )


def _data_root(given: Path | None, before: Path | None = None) -> Path:
    return datasets.data_root(given if given is not None else before).resolve()


def _have_data(preset: Preset, root: Path, *, download: bool) -> None:
    """DataMissingError, before torch is loaded, where a downloadable set is not here; or fetch it, if asked to."""
    name = preset.data.name
    if all(known.name != name for known in datasets.catalogue()):
        return
    if download and not datasets.is_there(name, root):
        from engine.views import download as fetch

        fetch(name, root)
    datasets.require(name, root)


def _create(preset: Preset, runs: Path, run_id: str | None, *, allow_code: bool) -> tuple[RunFolder, dict[str, str]]:
    """The run's folder, with its preset and a copy of the user's code that it names; and where that came from."""
    settings, contents, originals = preset.settings, dict[str, bytes](), dict[str, str]()
    for section, spec in _code_of(preset).items():
        content = consent.agreed_content(spec, allow_code, key=f"{section}.code")
        file, _, name = spec.rpartition(":")
        kept = f"code/{Path(file).name}"
        if contents.setdefault(Path(file).name, content) != content:
            raise DescentError(f"{section}.code: two different files are called {Path(file).name}; rename one")
        # The run keeps the code it was started with: a later edit of the file changes no run.
        changed = getattr(settings, section).model_copy(update={"code": f"{kept}:{name}"})
        settings = settings.model_copy(update={section: changed})
        originals[kept] = file
    folder = create(runs, run_id or new_id(preset.name), replace(preset, settings=settings).to_toml(), contents)
    library.note_start(folder.path)
    return folder, {str(folder.path / kept): file for kept, file in originals.items()}


def _code_of(preset: Preset) -> dict[str, str]:
    """The "file.py:name" of each section that names the user's own code."""
    sections: dict[str, Any] = {"data": preset.data, "model": preset.model, "loss": preset.loss}
    return {key: section.code for key, section in sections.items() if section.name == "code"}


def _foreground(
    folder: RunFolder,
    name: str,
    root: Path,
    signals: Signals,
    *,
    as_json: bool,
    quiet: bool,
    fresh: bool = False,
    code: Mapping[str, str] | None = None,
) -> int:
    """Train in this process, under a display; the exit code. code: where the run's copies of code came from."""
    with output.sent_to(folder.output) as (out, err):
        display = Display(name, None if quiet else (err if as_json else out))
        signals.on_first = display.say_stopping
        signals.on_second = display.give_terminal_back
        display.say(f"run {folder.id}")
        display.start()
        try:
            worker = _worker()  # torch: a second or more, with the display already up
            ending: Ending = worker.work(folder, name, root, display, signals)
        except CannotGoOnError:
            if fresh:
                shutil.rmtree(folder.path, ignore_errors=True)
            raise
        finally:
            is_read = display.finish()
            signals.give_back()
    error = ending.error
    if error is not None:
        # An error in the user's code names the run's copy; the file that the user wrote is elsewhere.
        for copied, original in (code or {}).items():
            error = error.replace(copied, original)
        if fresh and _remove_unbegun(folder, code=bool(code)):
            failed = DescentError(error)
            failed.exit_code = ExitCode(ending.exit_code)
            raise failed
        output.complain(error, patient=is_read)
    ending = replace(ending, error=error)
    _print_result(folder, ending, as_json=as_json, quiet=quiet or not (as_json or is_read))
    return ending.exit_code


def _worker() -> "ModuleType":
    try:
        from engine.training import worker
    except ImportError as error:
        raise CannotGoOnError(f"PyTorch can't be loaded: {error}; `descent doctor` says more") from None
    return worker


def _remove_unbegun(folder: RunFolder, *, code: bool) -> bool:
    """Remove a run that failed before its first step was kept, so that its id is free for the next try."""
    if summary(folder, "failed")["step"]:
        return False
    if code:  # what the user's code printed is wanted, and its log goes with the folder
        printed = folder.output.read_text(encoding="utf-8", errors="replace").splitlines()
        for line in printed[-_LOG_LINES:]:
            output.say(f"  | {clean(line)}", sys.stderr)
    shutil.rmtree(folder.path, ignore_errors=True)
    return True


def _print_result(folder: RunFolder, ending: "Ending | None", *, as_json: bool, quiet: bool) -> None:
    """The receipt, or the one JSON object."""
    result = summary(folder, ending.state if ending is not None else None)
    if ending is not None and ending.error is not None:
        result["error"] = ending.error
    if as_json:
        output.say(json.dumps(result))
    elif not quiet:
        for line in _receipt(folder, result, ending):
            output.say(line)


def _receipt(folder: RunFolder, result: dict[str, Any], ending: "Ending | None") -> list[str]:
    lines = [f"{result['state']} at step {result['step']:,} after {time_taken(result['seconds'])} of training"]
    if result["metrics"]:
        lines.append("  ".join(f"{key} {number(value)}" for key, value in result["metrics"].items()))
    if ending is not None and ending.receipt is not None:
        lines.append(f"checkpoint {clean(str(ending.receipt))}")
    if result["state"] == "failed" and ending is not None and ending.exit_code == ExitCode.NON_FINITE:
        lines.append("a resumed run would come to the same step; start one with a lower rate: --set optimizer.lr=…")
    elif result["state"] in ("stopped", "failed"):
        lines.append(f"go on with: descent resume {shlex.quote(folder.id)}")
    return lines


def _tell(line: str, *, quiet: bool) -> None:
    """What is worth knowing and no result: never on stdout, which may be carrying JSON."""
    if not quiet:
        output.say(line, sys.stderr)
