"""The process that trains: its lock, and the beginning and end of a run."""

import contextlib
import errno
import sys
from pathlib import Path

from descent.common.errors import CannotGoOnError, DescentError, ExitCode
from descent.common.i18n import _, ngettext
from descent.common.signals import Signals
from descent.common.text import clean, shorten
from descent.control import Queue, Server
from descent.loop import checkpoint
from descent.loop import device as devices
from descent.run.events import Events
from descent.run.folder import Claim, RunFolder
from descent.run.progress import Display, Ending
from engine.preset import schema
from engine.preset.loading import load_preset
from engine.training import arithmetic, loop
from engine.training.ranks import Leader, Others, StoppedError
from engine.training.resume import Opened, open_run
from engine.training.session import Session
from engine.training.train_state import TrainState
from engine.training.user_code import is_out_of_memory, user_code

_PRINTED = 120  # characters of a line that the user's code printed


def work(
    claim: Claim,
    name: str,
    data_root: Path,
    display: Display,
    signals: Signals,
    *,
    listens: bool = True,
    ranks: int | None = None,
) -> Ending:
    """Train the claimed run from its last checkpoint, or from the beginning, in this process. Then release it.

    name: of the preset, which the folder keeps as preset.toml. listens: whether the run takes commands. ranks: how
    many processes train it, where the preset says another number. Errors are in the Ending. A bug of Descent is
    raised, once it is in the run's log.
    """
    folder, events = claim.folder, claim.events
    queue = Queue()
    server = Server(folder.path, queue) if listens else None
    try:
        if server is not None:
            server.start()
        with user_code(str(folder.path / "code")):  # an error in it names its line, and is not a bug of Descent
            others = Others(ranks or load_preset(folder.preset).train.ranks)
            ending = _train(folder, name, data_root, display, signals, events, queue, others)
    except DescentError as error:
        error = _gone(folder) or error
        ending = Ending(error.exit_code, "failed", error=str(error))
    except Exception as error:
        known = _gone(folder) or _known(error, folder)
        if known is None:
            if server is not None:
                server.stop()
            text = _("this is a bug in Descent: {kind}: {error}", kind=type(error).__name__, error=error)
            events.state("failed", reason=text)
            raise
        ending = Ending(known.exit_code, "failed", error=str(known))
    try:
        further = {"reason": ending.error, "cpu_seconds": ending.cpu_seconds}
        events.state(ending.state, **{key: value for key, value in further.items() if value is not None})
    except OSError:
        pass  # the disk is full; readers see the end by the lock
    if server is not None:
        server.stop()  # after the state is written, so that the next client finds it in the file
    claim.release()
    return ending


def _train(
    folder: RunFolder,
    name: str,
    data_root: Path,
    display: Display,
    signals: Signals,
    events: Events,
    queue: Queue,
    others: Others,
) -> Ending:
    leader: Leader | None = None
    in_order = False
    try:
        others.start()
        printed = _Printed(folder, events, display)
        opened = open_run(folder, name, data_root, display, events, others.size)
        if others.size > 1:
            leader = Leader(others.meet(signals.wanted), opened.run, folder, data_root)
        ending = _train_opened(folder, opened, display, signals, events, queue, printed, leader)
        in_order = True
        return ending
    except StoppedError:
        return Ending(128 + (signals.received or 0), "stopped")
    finally:
        others.end(orderly=in_order)


def _train_opened(
    folder: RunFolder,
    opened: Opened,
    display: Display,
    signals: Signals,
    events: Events,
    queue: Queue,
    printed: "_Printed",
    leader: Leader | None,
) -> Ending:
    run = opened.run if leader is None else leader.run
    printed.tell(run)
    session = Session(
        run,
        folder,
        opened.layout,
        events,
        display,
        seconds=opened.seconds,
        queue=queue,
        again=opened.again,
        stop_wanted=signals.wanted,
        watched=opened.watched,
        leader=leader,
    )
    failed = False
    try:
        if opened.begins:
            session.note_epochs()
            session.save()  # so that every run can go back to its beginning
        else:
            session.catch_up()
        session.note_plan()
        session.pictures.begin()
        events.state("running", step=run.step)
        display.watch(session.progress)
        with session.clock.running():
            loop.train(run, session)
        ending = _end(run, session, signals)
        session.commands.say_stopped(str(ending.receipt) if ending.receipt else None)
        return ending
    except Exception as error:
        if devices.failure(error) is not None:
            failed = True  # what is left on the device is lost, and each further call of it would fail too
        raise
    finally:
        with contextlib.suppress(*([Exception] if failed else [])):
            session.close()
        printed.tell(run)


class _Printed:
    """What the user's own code has printed, and warnings that it caused. They are in output.log, where few look."""

    def __init__(self, folder: RunFolder, events: Events, display: Display) -> None:
        self._log, self._events, self._display = folder.output, events, display
        self._seen = self._size()

    def _size(self) -> int:
        with contextlib.suppress(OSError, ValueError):
            sys.stdout.flush()
        return self._log.stat().st_size if self._log.exists() else 0

    def tell(self, run: TrainState) -> None:
        """Tell how many lines have come since the last time, and what the first one says."""
        if not run.preset.code or self._size() <= self._seen:
            return
        count, first = 0, b""
        with self._log.open("rb") as log:
            log.seek(self._seen)
            for line in log:
                count, first = count + 1, first or line.strip()
            self._seen = log.tell()
        text = ngettext(
            "your code printed {count:,} line into output.log: {first}",
            "your code printed {count:,} lines into output.log, the first of them: {first}",
            count,
            first=shorten(clean(first.decode(errors="replace")), _PRINTED),
        )
        self._events.write("warning", message=text)
        self._display.say(text)


def _end(run: TrainState, session: Session, signals: Signals) -> Ending:
    """End the run: stopped before its last step, with a checkpoint, or finished."""
    interrupted = signals.received is not None and run.step < run.total_steps
    if interrupted or session.commands.stop == "now":
        code = 128 + signals.received if signals.received is not None else ExitCode.DONE
        return Ending(code, "stopped", session.save() or session.last_receipt())
    if session.commands.stop == "discard":
        return Ending(ExitCode.DONE, "stopped")
    receipt = session.finish() or session.last_receipt()
    return Ending(ExitCode.DONE, "finished", receipt, cpu_seconds=round(session.clock.cpu_seconds(), 4))


def _smaller(train: schema.Train) -> str:
    """Return the message for a training that ran out of memory."""
    if train.batch_size == "full":
        return _(
            'out of memory with train.batch_size = "full", which takes all samples at once; set a number, such as 256'
        )
    return _(
        "out of memory with train.batch_size = {size}; halve it, or keep it and set train.accumulate = {parts}",
        size=train.batch_size,
        parts=2 * train.accumulate,
    )


def _gone(folder: RunFolder) -> CannotGoOnError | None:
    """Return the error for a folder that somebody moved or deleted while the run trained, or None if it is there."""
    if folder.preset.exists():
        return None
    return CannotGoOnError(
        _(
            "{folder} is gone: it was moved or deleted while the run trained. Stop a run before you move it; where "
            "it is now, `descent resume PATH` continues it from its last checkpoint",
            folder=folder.path,
        )
    )


def _unwritable(error: OSError, folder: RunFolder) -> CannotGoOnError:
    """Return the error for a file that can't be written, of the run or another one."""
    if error.filename is None:
        return checkpoint.cannot_write(error, folder, _("the run's metrics"))
    file, own = Path(error.filename).absolute(), folder.path.absolute()
    if file.is_relative_to(own):
        return checkpoint.cannot_write(error, folder, str(file.relative_to(own)))
    # The file is one of the data, or one that the user's own code writes.
    return CannotGoOnError(f"{error.filename}: {error.strerror}")


def _failed_device(reason: str, folder: RunFolder) -> CannotGoOnError:
    """Return the error for a GPU that failed while the run trained."""
    saved = folder.checkpoints()
    if "device-side assert" in reason:
        reason += "; " + _("an index is out of range, such as a class number: --device cpu names the line")
    if not saved:
        return CannotGoOnError(
            _(
                "the GPU failed ({reason}) before the first checkpoint; `descent doctor` tries the GPU, and --device "
                "cpu trains without it",
                reason=reason,
            )
        )
    return CannotGoOnError(
        _(
            "the GPU failed ({reason}). The last whole checkpoint is of step {step:,}: once `descent doctor` finds "
            "the GPU well, `descent resume {run}` goes on from there",
            reason=reason,
            step=max(saved),
            run=folder.id,
        )
    )


def _known(error: Exception, folder: RunFolder) -> CannotGoOnError | None:
    """Return the error for a limit of the machine, which says what to do, or None for a bug of Descent."""
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO):
        return _unwritable(error, folder)
    if is_out_of_memory(error):
        stage = folder.last("stage")
        if stage is not None and stage["stage"] == "data" and not folder.last("state", state="running"):
            return CannotGoOnError(
                _(
                    "out of memory before the first batch: the model or its data are too large for this machine; "
                    "take a smaller model, or fewer samples with data.size"
                )
            )
        return CannotGoOnError(_smaller(load_preset(folder.preset).train))
    return _of_torch(error, folder)


def _of_torch(error: Exception, folder: RunFolder) -> CannotGoOnError | None:
    """Return the error for what PyTorch can't do here, or None."""
    if arithmetic.has_no_repeatable_form(error):
        return CannotGoOnError(
            _(
                "train.deterministic = true: {operation} has no repeatable form on this device; leave "
                "train.deterministic out, or train on the CPU",
                operation=str(error).strip().split()[0],
            )
        )
    if (reason := devices.failure(error)) is not None:
        return _failed_device(reason, folder)
    if type(error).__module__.startswith(("torch._dynamo", "torch._inductor")):
        reason = shorten(clean(next(iter(str(error).strip().splitlines()), type(error).__name__)), 200)
        return CannotGoOnError(
            _(
                "train.compile = true: PyTorch could not compile the model ({reason}). That needs a working C++ "
                "compiler, such as g++; without one, leave train.compile out",
                reason=reason,
            )
        )
    return None
