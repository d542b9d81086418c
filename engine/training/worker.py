"""The process that trains: its lock, a run's beginning and its end."""

import copy
import dataclasses
import errno
import os
import platform
import socket
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from engine.control import Queue, Server
from engine.errors import CannotGoOnError, DescentError, ExitCode
from engine.files import write_json
from engine.metrics import Layout, Metrics
from engine.places import version
from engine.preset import Preset, load_preset
from engine.progress import Display
from engine.run import Events, RunFolder, State, WorkerLock
from engine.signals import Signals
from engine.training import checkpoint, loop, losses, measure, models, optimizers, steering
from engine.training.code import user_code
from engine.training.data.batches import throw_away
from engine.training.session import Session
from engine.training.setup import Training, batch_size, build, choose_device
from engine.training.statistics import LayerStatistics
from engine.training.update import Update


@dataclass(frozen=True)
class Ending:
    """How this worker left the run. receipt: the checkpoint written last."""

    exit_code: int
    state: State
    receipt: Path | None = None
    error: str | None = None


def work(folder: RunFolder, name: str, data_root: Path, display: Display, signals: Signals) -> Ending:
    """Train the run in `folder` from its last checkpoint, or from the beginning, in this process.

    name: what the preset is called; the folder keeps it as preset.toml.
    DescentError where another worker has the run. What goes wrong later is the Ending's; a bug of ours is raised,
    once the run's log has it.
    """
    lock = WorkerLock(folder)
    events = Events(folder)
    events.state("starting", pid=os.getpid(), host=socket.gethostname())
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
        reason = {"reason": ending.error} if ending.error else {}
        events.state(ending.state, **reason)
    except OSError:
        pass  # a full disk; the lock's end says what the line can't
    server.stop()  # after the state: who asks next finds it in the file
    events.close()
    lock.release()
    return ending


def _train(
    folder: RunFolder, name: str, data_root: Path, display: Display, signals: Signals, events: Events, queue: Queue
) -> Ending:
    preset = dataclasses.replace(load_preset(folder.preset), name=name)
    if not preset.train.compile:
        optimizers.leave_compiler_out()
    facts = folder.facts()
    state, complaints = checkpoint.latest(folder)
    for complaint in complaints:
        instead = f"step {state['step']:,}" if state else "the beginning"
        _warn(events, display, f"checkpoint {complaint}: going on from {instead}")
    if facts:
        torch.set_num_threads(facts["threads"])
    device = choose_device(preset.train.device)
    if facts and preset.train.device == "auto" and facts["device"] != str(device):
        _warn(events, display, f"trained on {facts['device']} until now, from here on {device}: not bit-equal")
    run = build(preset, folder, data_root, device, fresh=state is None)
    for note in run.notes:
        _warn(events, display, note)
    if not facts:
        facts = _choose(run, preset, data_root)
        write_json(folder.path / "run.json", facts)
    run.measured = {key: facts[key] for key in ("threads", "statistics_every")}
    torch.set_num_threads(facts["threads"])
    run.statistics_every = facts["statistics_every"]
    display.say(_headline(run, facts))

    layout = Layout.load(folder.path)
    if layout is None:
        layout = _layout(run)
        layout.save(folder.path)
    seconds = 0.0
    if state is not None:
        steering.restore(run, state["edits"])
        seconds = run.restore(state)
        reached = len(Metrics(folder.path))
        again = f"; the steps up to {reached:,} are trained again, to the same end" if reached > run.step else ""
        display.say(f"resumed at step {run.step:,} of {run.total_steps:,}{again}")
    if state is not None or len(Metrics(folder.path).rows()):
        events.write("resumed", to=run.step, log=state["log"] if state is not None else 0)

    session = Session(run, folder, layout, events, display, seconds=seconds, queue=queue, stop_wanted=signals.wanted)
    try:
        if state is None:
            session.save()  # step 0: what a run began with is always there to go back to
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


def _end(run: Training, session: Session, signals: Signals) -> Ending:
    """Stopped before its last step, with a receipt, or finished."""
    interrupted = signals.received is not None and run.step < run.total_steps
    if interrupted or session.desk.stop == "now":
        code = 128 + signals.received if signals.received is not None else ExitCode.DONE
        return Ending(code, "stopped", session.save())
    if session.desk.stop == "discard":
        return Ending(ExitCode.DONE, "stopped")
    return Ending(ExitCode.DONE, "finished", session.finish())


def _choose(run: Training, preset: Preset, data_root: Path) -> dict[str, Any]:
    """Measure what is left open, and say all that a resume, or a reader, needs to know: run.json."""
    threads, every = preset.train.threads, preset.train.statistics_every
    with measure.undisturbed(run.device):
        trial = _trial(run, preset)
        if threads == "auto":
            on_cpu = run.device.type == "cpu"
            threads = measure.choose_threads(trial) if on_cpu else torch.get_num_threads()
        torch.set_num_threads(threads)
        if every == "auto":
            every = measure.choose_cadence(trial, run.device)
    data = run.dataset
    splits = {"train": data.train, "validation": data.validation, "test": data.test}
    return {
        "preset": preset.name,
        "versions": {"python": platform.python_version(), "torch": torch.__version__, "descent": version()},
        "started": round(time.time(), 3),
        "host": socket.gethostname(),
        "device": str(run.device),
        "device_name": _device_name(run.device),
        "threads": threads,
        "statistics_every": every,
        "data_root": str(data_root),
        "samples": {name: len(split.inputs) for name, split in splits.items() if split is not None},
        "task": data.task,
        "parameters": sum(p.numel() for p in run.model.parameters()),
        "steps_per_epoch": run.batches.per_epoch,
        "total_steps": run.total_steps,
        "parent": None,
    }


def _trial(run: Training, preset: Preset) -> measure.Step:
    """A training step on a copy of the model, for measuring. Learning rate 0: its weights stay in range."""
    model = copy.deepcopy(run.model)
    trained = [p for p in model.parameters() if p.requires_grad]
    optimizer = optimizers.build(preset.optimizer, trained, run.device)
    update = Update(optimizer, trained, clip_norm=run.update.clip_norm, device=run.device)
    statistics = LayerStatistics(model, models.layers(model))
    penalised = losses.penalised(model) if run.penalised else []
    copied = dataclasses.replace(
        run, model=model, forward=model, update=update, statistics=statistics, penalised=penalised
    )
    batch = throw_away(run.dataset.train, batch_size(preset, len(run.dataset.train.inputs)))

    def step(measured: bool) -> None:
        loop.train_step(copied, batch, 0.0, measured=measured)

    return step


def _layout(run: Training) -> Layout:
    layers = tuple({"name": name, "kind": models.describe(module)} for name, module in models.layers(run.model))
    member = {"member": 0, "seed": run.preset.train.seed, "values": {}}
    return Layout.of(accuracy=run.classifies, members=(member,), layers=layers)


def _headline(run: Training, facts: dict[str, Any]) -> str:
    threads = f", {_counted(facts['threads'], 'thread')}" if run.device.type == "cpu" else ""
    return (
        f"{facts['device_name']}{threads}; {facts['parameters']:,} parameters; "
        f"{facts['samples']['train']:,} training samples, {_counted(run.batches.per_epoch, 'step')} an epoch; "
        f"statistics every {_counted(facts['statistics_every'], 'step')}"
    )


def _counted(count: int, what: str) -> str:
    return f"{count:,} {what}{'' if count == 1 else 's'}"


def _device_name(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else "CPU"


def _warn(events: Events, display: Display, message: str) -> None:
    events.write("warning", message=message)
    display.say(message)


def main(folder: str, name: str, data_root: str) -> int:
    """A detached worker: no terminal, its output in the run's log already."""
    with Signals() as signals:
        return work(RunFolder(Path(folder)), name, Path(data_root), Display(name, None), signals).exit_code


def _known(error: Exception, folder: RunFolder) -> CannotGoOnError | None:
    """The machine's limits, as errors that say what to do; None for a bug of ours."""
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO):
        return checkpoint.cannot_write(error, folder, "the run's metrics")
    out_of_memory = isinstance(error, torch.OutOfMemoryError | MemoryError)
    if out_of_memory or "can't allocate memory" in str(error):
        train = load_preset(folder.preset).train
        return CannotGoOnError(
            f"out of memory with train.batch_size = {train.batch_size}; "
            f"halve it, or keep it and set train.accumulate = {2 * train.accumulate}"
        )
    return None


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
