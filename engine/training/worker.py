"""The process that trains: its lock, a run's beginning and its end."""

import errno
from dataclasses import dataclass
from pathlib import Path

import torch

from descent.common.errors import CannotGoOnError, DescentError, ExitCode
from descent.common.signals import Signals
from descent.control import Queue, Server
from descent.run.events import Events
from descent.run.folder import Claim, RunFolder
from descent.run.progress import Display
from descent.run.state import State
from engine.preset.loading import load_preset
from engine.training import checkpoint, loop
from engine.training.resume import open_run
from engine.training.session import Session
from engine.training.train_state import TrainState
from engine.training.user_code import user_code


@dataclass(frozen=True)
class Ending:
    """How this worker left the run. receipt: the checkpoint written last. cpu_seconds: as Clock counts them."""

    exit_code: int
    state: State
    receipt: Path | None = None
    error: str | None = None
    cpu_seconds: float | None = None


def work(claim: Claim, name: str, data_root: Path, display: Display, signals: Signals) -> Ending:
    """Train the claimed run from its last checkpoint, or from the beginning, in this process; then let go of it.

    name: what the preset is called; the folder keeps it as preset.toml. What goes wrong is the Ending's; a bug of
    ours is raised, once the run's log has it.
    """
    folder, events = claim.folder, claim.events
    queue = Queue()
    server = Server(folder.path, queue)
    try:
        server.start()
        with user_code(str(folder.path / "code")):  # an error in it names its line, and is no bug of ours
            ending = _train(folder, name, data_root, display, signals, events, queue)
    except DescentError as error:
        ending = Ending(error.exit_code, "failed", error=str(error))
    except Exception as error:
        known = _known(error, folder)
        if known is None:
            server.stop()
            events.state("failed", reason=f"a bug of Descent: {type(error).__name__}: {error}")
            raise
        ending = Ending(known.exit_code, "failed", error=str(known))
    try:
        further = {"reason": ending.error, "cpu_seconds": ending.cpu_seconds}
        events.state(ending.state, **{key: value for key, value in further.items() if value is not None})
    except OSError:
        pass  # a full disk; the lock's end says what the line can't
    server.stop()  # after the state: who asks next finds it in the file
    claim.release()
    return ending


def _train(
    folder: RunFolder, name: str, data_root: Path, display: Display, signals: Signals, events: Events, queue: Queue
) -> Ending:
    opened = open_run(folder, name, data_root, display, events)
    run = opened.run
    session = Session(
        run,
        folder,
        opened.layout,
        events,
        display,
        seconds=opened.seconds,
        queue=queue,
        stop_wanted=signals.wanted,
    )
    try:
        if opened.begins:
            session.note_epochs()
            session.save()  # what a run began with is always there to go back to
        session.note_plan()
        events.state("running", step=run.step)
        display.watch(session.progress)
        with session.clock.running():
            loop.train(run, session)
        ending = _end(run, session, signals)
        session.desk.say_stopped(str(ending.receipt) if ending.receipt else None)
        return ending
    finally:
        session.close()


def _end(run: TrainState, session: Session, signals: Signals) -> Ending:
    """Stopped before its last step, with a receipt, or finished."""
    interrupted = signals.received is not None and run.step < run.total_steps
    if interrupted or session.desk.stop == "now":
        code = 128 + signals.received if signals.received is not None else ExitCode.DONE
        return Ending(code, "stopped", session.save() or session.last_receipt())
    if session.desk.stop == "discard":
        return Ending(ExitCode.DONE, "stopped")
    receipt = session.finish() or session.last_receipt()
    return Ending(ExitCode.DONE, "finished", receipt, cpu_seconds=round(session.clock.cpu_seconds(), 4))


def _known(error: Exception, folder: RunFolder) -> CannotGoOnError | None:
    """The machine's limits, as errors that say what to do; None for a bug of ours."""
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO):
        if error.filename is not None and not Path(error.filename).absolute().is_relative_to(folder.path.absolute()):
            return CannotGoOnError(f"{error.filename}: {error.strerror}")  # data, or what somebody's own code writes
        return checkpoint.cannot_write(error, folder, "the run's metrics")
    out_of_memory = isinstance(error, torch.OutOfMemoryError | MemoryError)
    if out_of_memory or "can't allocate memory" in str(error):
        stage = folder.last("stage")
        if stage is not None and stage["stage"] == "data" and not folder.last("state", state="running"):
            return CannotGoOnError(
                "out of memory before the first batch: the model or its data are too large for this machine; "
                "take a smaller model, or fewer samples with data.size"
            )
        train = load_preset(folder.preset).train
        return CannotGoOnError(
            f"out of memory with train.batch_size = {train.batch_size}; "
            f"halve it, or keep it and set train.accumulate = {2 * train.accumulate}"
        )
    return None
