"""The beginning of a run in the process that trains, and its end with that process."""

import atexit
import os
import signal
import sys
import threading
import traceback
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

from descent.common import job, paths
from descent.common.errors import DescentError
from descent.common.i18n import _
from descent.common.signals import Signals
from descent.common.text import clean, shorten
from descent.loop import again, relay
from descent.loop.folder import CONTINUED, is_typed, make, name_of_process, start_of, start_of_process
from descent.loop.follower import Follower
from descent.loop.watched import Loop
from descent.run import find
from descent.run.folder import Claim, RunFolder, check_id
from descent.run.remove import is_empty

_LONGEST_REASON = 300

_current: Loop | None = None
_ends_with_process = False
_launched = False  # whether `descent run` has made the current run, and no script has asked for it yet


def init(
    name: str | None = None,
    *,
    config: Mapping[str, Any] | object | None = None,
    id: str | None = None,  # noqa: A002 - as others have it
    runs_dir: str | Path | None = None,
    keep: int = 3,
    statistics_every: int | None = None,
    best: Mapping[str, Any] | None = None,
) -> Loop:
    """Begin a run of this script's own training loop, or go on with the run `id` if there is one.

    name: what it is called in lists, by default the script's name. config: the script's settings, a mapping or an
    argparse.Namespace, shown to people and compared. runs_dir: the folder of all runs, else $DESCENT_RUNS or ./runs.
    keep: the latest checkpoints to keep. statistics_every: steps between statistics of the layers; by default as
    often as takes 2% of the time. best: {"metric": "f1", "mode": "max"} keeps the checkpoint of the best evaluation
    on the validation split by that metric, and names it at the end.

    Raises DescentError if another process trains that run, or if it is a preset's.
    """
    global _launched  # noqa: PLW0603
    _end_with_process()
    settings = dict(config) if isinstance(config, Mapping) else dict(vars(config)) if config is not None else {}
    if _current is not None and _launched:
        _launched = False
        if name is not None:
            _current.name = name
        _current.configure(settings, best)
        return _current
    if _current is not None:
        _current.finish()
    script = name_of_process()
    if job.rank() > 0:
        return _follow(name or script)
    is_announced = CONTINUED in os.environ  # by the command that goes on with it
    folder = _folder(name or script, id, None if runs_dir is None else Path(runs_dir))
    run = begin(Claim(folder), name or script, keep=keep, statistics_every=statistics_every)
    run.configure(settings, best)
    if not is_announced:
        say(_("run {run}; in another terminal: descent attach {run}", run=folder.id))
    return run


def begin(claim: Claim, name: str, *, keep: int, statistics_every: int | None, launched: bool = False) -> Loop:
    """Let this process train the run of a folder that it has claimed."""
    global _current, _launched  # noqa: PLW0603 - a process trains one run at a time
    _end_with_process()
    _current = Loop(claim, name, keep=keep, statistics_every=statistics_every, signals=_signals())
    _launched = launched
    return _current


def _follow(name: str) -> Loop:
    """Return the run in a process that follows rank 0."""
    global _current  # noqa: PLW0603
    _current = Follower(name, _signals())
    return _current


def _folder(name: str, run_id: str | None, runs_dir: Path | None) -> RunFolder:
    continued = os.environ.pop(CONTINUED, None)  # not for the processes that this one starts
    if continued is not None:
        return RunFolder(Path(continued))
    if run_id is not None:
        check_id(run_id)
        there = paths.runs_dir(runs_dir) / run_id
        if find.is_run(there) and not is_empty(RunFolder(there)):
            folder = RunFolder(there)
            if start_of(folder) is None:
                raise DescentError(
                    _(
                        "{run} is a run of a preset; choose another id, or continue it: descent resume {run}",
                        run=run_id,
                    )
                )
            _refuse_replacing(folder)
            find.note_start(folder.path)
            return folder
    return make(name, run_id, runs_dir, start_of_process())


def _refuse_replacing(folder: RunFolder) -> None:
    """Raise DescentError if a run is finished, and its loop, which begins anew, would write over what it came to."""
    told = folder.last("exact") or {}
    if told.get("driver") == "" and told.get("library") == "" and folder.state() == "finished":
        raise DescentError(
            _(
                "{run} is finished, and the loop of this script begins anew whenever it is started, so the numbers "
                "of {run} would be lost. Choose another id, or delete that run first: descent rm {run}. A loop over "
                "run.batches or run.steps would go on instead",
                run=folder.id,
            )
        )


def _end_with_process() -> None:
    """End the current run with this process, however that ends, as far as Python can tell."""
    global _ends_with_process  # noqa: PLW0603
    if _ends_with_process:
        return
    _ends_with_process = True
    before = sys.excepthook

    def failed(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        if is_typed():  # the process goes on, and so can the run
            before(kind, error, trace)
            return
        last_words = fail(error)
        if isinstance(error, DescentError):
            say(with_place(error))
        else:
            before(kind, error, trace)
        say(last_words)

    sys.excepthook = failed
    again.start_at_exit()  # the last of all
    relay.settle_at_exit()
    atexit.register(end_current)
    os.register_at_fork(after_in_child=lambda: None if _current is None else _current.leave())


def _signals() -> Signals | None:
    """Return handlers of the system's signals, unless the process has its own or runs in a notebook."""
    is_default = (
        signal.getsignal(signal.SIGINT) is signal.default_int_handler
        and signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    )
    if threading.current_thread() is not threading.main_thread() or not is_default or "ipykernel" in sys.modules:
        return None
    signals = Signals()

    def tell() -> None:
        if signals.received == signal.SIGINT and not (_current is not None and _current.is_stepping):
            signals.forget()
            raise KeyboardInterrupt  # as without Descent: no step may ever come
        if _current is not None and _current.is_driven:
            text = _("stopping after this step, with a checkpoint; once more stops at once, without saving")
        else:
            text = _("stopping before the next step, with a checkpoint; if none comes, once more ends the script")
        os.write(2, f"descent: {text}\n".encode())

    def insist() -> None:
        if signals.received == signal.SIGINT and _current is not None and _current.is_in_script:
            signals.on_second = lambda: None  # a third one ends the process, whatever the script does about this one
            raise KeyboardInterrupt

    signals.on_first, signals.on_second = tell, insist
    return signals


def end_current() -> None:
    """End the current run, if there is one. The end of the process does."""
    if _current is not None:
        _current.finish()


def fail(error: BaseException) -> str:
    """End the current run because the script has raised an error. Returns what to say once that has been shown."""
    if _current is None:
        return ""
    if isinstance(error, KeyboardInterrupt):
        return _current.interrupt()
    last_words = _current.why_not_written(error)
    reason = shorten(clean(str(error)), _LONGEST_REASON)
    fail_for(reason if isinstance(error, DescentError) else f"{type(error).__name__}: {reason}".removesuffix(": "))
    return last_words


def with_place(error: DescentError) -> str:
    """Return an error of ours with the line of the script that met it, in the place of a traceback."""
    ours = Path(__file__).parents[1]
    lines = [(Path(frame.filename), frame.lineno) for frame in traceback.extract_tb(error.__traceback__)]
    lines = [
        (file, line)
        for file, line in lines
        if file.is_file() and not file.is_relative_to(ours) and "site-packages" not in file.parts
    ]
    return f"{lines[-1][0].name}:{lines[-1][1]}: {error}" if lines else str(error)


def say(text: str) -> None:
    """Print something about the run, unless it is empty, on stderr."""
    if text:
        print(f"descent: {text}", file=sys.stderr)


def fail_for(reason: str) -> None:
    """End the current run as failed. reason: in words."""
    if _current is not None:
        _current.end("failed", reason=reason)
