"""Starting and resuming runs in the foreground: from the words of a command line to an exit code."""

import contextlib
import json
import os
import random
import shutil
import string
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from engine import library
from engine.errors import DescentError, ExitCode
from engine.preset import Preset, load_preset
from engine.progress import Display, duration, number
from engine.run import ALIVE, RunFolder, create, summary, worker_pid
from engine.signals import Signals


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
    if run_id is not None and resume_if_exists and (runs / run_id / "preset.toml").exists():
        return resume(
            run_id,
            runs_dir=runs_dir,
            data_root=data_root,
            allow_code=allow_code,
            as_json=as_json,
            quiet=quiet,
        )
    refuse_several_processes()
    preset = load_preset(source, [*overrides, *([f"train.device={device}"] if device else [])])
    root = _data_root(data_root)
    _have_data(preset, root, download=download)
    folder = _create(preset, runs, run_id, allow_code=allow_code)
    for note in preset.notes:
        print(f"descent: {note}", file=sys.stderr)
    return _foreground(folder, preset.name, root, as_json=as_json, quiet=quiet, fresh=True)


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
    refuse_several_processes()
    folder = RunFolder(library.find_run(word, library.runs_dir(runs_dir)))
    state = folder.state()
    pid = worker_pid(folder.path)
    if pid is not None:
        raise DescentError(f"{folder.id} is {state} already, in process {pid}; nothing was changed")
    if state in ALIVE and state != "starting":
        raise DescentError(f"{folder.id} is {state} on host {folder.host()}; resume it there, or stop it first")
    if state == "finished":
        _say(f"{folder.id} is finished; nothing is left to train", quiet=quiet, as_json=as_json)
        _print_result(folder, None, as_json=as_json, quiet=quiet)
        return ExitCode.DONE
    preset = load_preset(folder.preset)
    for section, spec in _code_of(preset).items():
        library.check_consent(spec, allow_code, key=f"{section}.code")
    facts = folder.facts()
    root = _data_root(data_root, Path(facts["data_root"]) if "data_root" in facts else None)
    library.note_start(folder.path)
    name = str(facts.get("preset", folder.id))
    return _foreground(folder, name, root, as_json=as_json, quiet=quiet, fresh=False)


def refuse_several_processes() -> None:
    """One process, one device: torchrun's copies would all write one run."""
    size = os.environ.get("WORLD_SIZE", "1")
    if size.isdigit() and int(size) > 1:
        raise DescentError(
            f"WORLD_SIZE = {size}: Descent trains in one process on one device; start it without torchrun"
        )


def _data_root(given: Path | None, before: Path | None = None) -> Path:
    from engine import datasets

    return datasets.data_root(given if given is not None else before).resolve()


def _have_data(preset: Preset, root: Path, *, download: bool) -> None:
    """Fetch a downloadable set where that was asked for."""
    from engine import datasets

    name = preset.data.name
    if download and any(known.name == name for known in datasets.catalogue()):
        from engine.views import fetch

        fetch(name, root)


def _create(preset: Preset, runs: Path, run_id: str | None, *, allow_code: bool) -> RunFolder:
    """The run's folder, with its preset and a copy of the user's code that it names."""
    if run_id is not None and (
        not run_id.strip() or "/" in run_id or run_id.startswith((".", "-")) or not run_id.isprintable()
    ):
        raise DescentError(f"--id {run_id!r}: an id is a folder's name, without '/', not beginning with '.' or '-'")
    settings, contents = preset.settings, dict[str, bytes]()
    for section, spec in _code_of(preset).items():
        library.check_consent(spec, allow_code, key=f"{section}.code")
        file, _, name = spec.rpartition(":")
        content = Path(file).read_bytes()
        if contents.setdefault(Path(file).name, content) != content:
            raise DescentError(f"{section}.code: two different files are called {Path(file).name}; rename one")
        # The run keeps the code it was started with: a later edit of the file changes no run.
        kept = getattr(settings, section).model_copy(update={"code": f"code/{Path(file).name}:{name}"})
        settings = settings.model_copy(update={section: kept})
    folder = create(runs, run_id or new_id(preset.name), replace(preset, settings=settings).to_toml(), contents)
    library.note_start(folder.path)
    return folder


def new_id(preset_name: str) -> str:
    """<preset>-<yymmdd>-<hhmmss>-<4 letters>"""
    letters = "".join(random.SystemRandom().choices(string.ascii_lowercase, k=4))
    return f"{preset_name}-{time.strftime('%y%m%d-%H%M%S')}-{letters}"


def _code_of(preset: Preset) -> dict[str, str]:
    """The "file.py:name" of each section that names the user's own code."""
    sections: dict[str, Any] = {"data": preset.data, "model": preset.model, "loss": preset.loss}
    return {key: section.code for key, section in sections.items() if section.name == "code"}


def _foreground(folder: RunFolder, name: str, root: Path, *, as_json: bool, quiet: bool, fresh: bool) -> int:
    signals = Signals()  # before torch is loaded: Ctrl-C then already means: save and stop
    with _output_to(folder.output) as (out, err):
        display = Display(name, None if quiet else (err if as_json else out))
        display.say(f"run {folder.id}")
        display.start()
        try:
            from engine.training import worker  # torch: a second or more, with the display already up

            ending = worker.work(folder, name, root, display, signals)
        finally:
            display.finish()
    if ending.error is not None:
        if fresh and not folder.checkpoints():
            shutil.rmtree(folder.path, ignore_errors=True)  # it never began: leave the id free for the next try
            _fail(ending.error, ending.exit_code, as_json=as_json)
            return ending.exit_code
        _complain(ending.error)
    _print_result(folder, ending, as_json=as_json, quiet=quiet)
    return ending.exit_code


@contextlib.contextmanager
def _output_to(log: Path) -> Iterator[tuple[int, int]]:
    """Send descriptors 1 and 2 to `log` for the time inside; yields duplicates of what they were.

    Whatever libraries and user code print is kept there, and can neither tear the display nor block on it.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    kept = os.dup(1), os.dup(2)
    file = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.dup2(file, 1)
    os.dup2(file, 2)
    os.close(file)
    try:
        yield kept
    finally:
        with contextlib.suppress(OSError):
            sys.stdout.flush()
            sys.stderr.flush()
        os.dup2(kept[0], 1)
        os.dup2(kept[1], 2)
        os.close(kept[0])
        os.close(kept[1])


def _print_result(folder: RunFolder, ending: Any, *, as_json: bool, quiet: bool) -> None:
    """The receipt, or the one JSON object. A terminal that is gone changes nothing."""
    result = summary(folder, ending.state if ending is not None else None)
    if ending is not None and ending.error is not None:
        result["error"] = ending.error
    with contextlib.suppress(OSError):
        if as_json:
            print(json.dumps(result), flush=True)
        elif not quiet or result["state"] != "finished":
            reached = "  ".join(f"{key} {number(value)}" for key, value in result["metrics"].items())
            trained = f"{result['state']} at step {result['step']:,} after {duration(result['seconds'])} of training"
            print(f"{trained}   {reached}")
            if ending is not None and ending.receipt is not None:
                print(f"checkpoint {ending.receipt}")
            if result["state"] in ("stopped", "failed"):
                print(f"go on with: descent resume {folder.id}")
            sys.stdout.flush()


def _fail(error: str, exit_code: int, *, as_json: bool) -> None:
    _complain(error)
    if as_json:
        print(json.dumps({"error": error, "exit_code": int(exit_code)}), flush=True)


def _complain(error: str) -> None:
    with contextlib.suppress(OSError):
        print(f"descent: {error}", file=sys.stderr, flush=True)


def _say(line: str, *, quiet: bool, as_json: bool) -> None:
    if not quiet:
        print(line, file=sys.stderr if as_json else sys.stdout)
