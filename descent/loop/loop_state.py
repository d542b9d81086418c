"""What a run of a loop of one's own consists of: its checkpoints, its facts and its end."""

import os
import sys
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import nn

from descent.common.errors import DescentError
from descent.common.files import write_json
from descent.common.i18n import _
from descent.common.signals import Signals
from descent.control import Queue, Server
from descent.loop import checkpoint
from descent.loop import device as devices
from descent.loop.actions import Actions
from descent.loop.best import BestEvaluation
from descent.loop.checkpoint import CheckpointManager, State
from descent.loop.clock import Clock
from descent.loop.commands import CommandHandler
from descent.loop.driver import Driver
from descent.loop.edits import LiveEdits
from descent.loop.folder import facts_of_process
from descent.loop.foresight import Foresight
from descent.loop.hooks import BackwardLosses, Rates
from descent.loop.kept import Kept
from descent.loop.ranks import Ranks
from descent.loop.rows import StepRows
from descent.loop.samples import SampleRecorder
from descent.run.folder import Claim, RunFolder
from descent.run.metrics import Metrics
from descent.run.state import State as RunState

CHECKPOINT_SHARE = 50  # times as long as the last write took, until the next one


class LoopState:
    """What a run of a loop consists of."""

    _handler: CommandHandler
    _losses: BackwardLosses

    def __init__(
        self, claim: Claim, name: str, *, keep: int, statistics_every: int | None, signals: Signals | None
    ) -> None:
        """name: what the run is called in lists. statistics_every: None to measure what statistics cost.

        signals: handlers of the system's signals, unless the process has its own.
        """
        self.folder: RunFolder = claim.folder
        self.name = name
        self._claim, self._events, self._pid = claim, claim.events, os.getpid()
        self._queue = Queue()
        self._server = Server(self.folder.path, self._queue)
        self._signals = signals
        measured = {**(self.folder.origin() or {}).get("measured", {}), **self.folder.facts()}
        every = statistics_every or measured.get("statistics_every")
        self._rows = StepRows(self.folder, every, self.warn, self._tell_nonfinite)
        self._rows.is_chosen = self._rows.is_chosen or (statistics_every is None and bool(measured.get("is_chosen")))
        self._keeper = CheckpointManager(self.folder, self._events, self._rows.flush, keep, CHECKPOINT_SHARE)
        self._samples = SampleRecorder(self.folder, self._events)
        self._kept, self._rates, self._driver = Kept(), Rates(), Driver()
        self._edits = LiveEdits(self._rates)
        self._actions = Actions()
        self._foresight = Foresight()
        self._evaluations: list[Callable[[], Mapping[str, Any]]] = []
        self._config: dict[str, Any] = {}
        self._best = BestEvaluation()
        self._model: nn.Module | None = None
        self._optimizers: list[torch.optim.Optimizer] = []
        self._others: weakref.WeakSet[torch.optim.Optimizer] = weakref.WeakSet()  # they step, too, unwatched
        self._named: weakref.WeakKeyDictionary[torch.optim.Optimizer, str]  # of further ones: what a loss is called
        self._named = weakref.WeakKeyDictionary()
        self._of_main: set[str] = set()  # keys that were changed, before another optimizer was met
        self._device = torch.device("cpu")
        self._saved: State | None = None  # the checkpoint that the run goes on from
        self._step = 0
        self._shapes: dict[str, tuple[int, ...]] = {}  # of weights and buffers, as of the first checkpoint
        self._began = self._over = self._through = False
        self._is_finished = False  # before this process, and nothing is left to train: so it stays
        self._is_in_turn = self._save_wanted = self._is_updating = False
        self._at_work = 0  # while commands are followed or a checkpoint is written
        self._asked = False  # whether the script has asked at which step to begin
        self._went_back = self._told_exact = self._told_not_saved = False
        self._exact: dict[str, Any] = {}  # what was told about that
        self._ranks: Ranks | None = None  # the other processes of this training, if it has several
        self._attended = -1  # the step after which commands were followed last
        self._exit = ExitStack()
        self.clock = Clock(self._device, 0.0)

    @property
    def id(self) -> str:
        return self.folder.id

    @property
    def is_over(self) -> bool:
        return self._over

    @property
    def is_stepping(self) -> bool:
        """Whether steps are being made, so that one comes after which commands are followed."""
        return self._began and not self._over and not self._through

    @property
    def is_driven(self) -> bool:
        return bool(self._driver.kind)

    @property
    def is_in_script(self) -> bool:
        """Whether the script's own code runs, not ours between two steps."""
        return not self._over and not self._at_work

    @contextmanager
    def _own_work(self) -> Iterator[None]:
        self._at_work += 1
        try:
            yield
        finally:
            self._at_work -= 1

    def __repr__(self) -> str:
        return f"<descent.Loop {self.id}: step {self._step:,}>"

    def _repr_html_(self) -> str:
        """Return what a notebook shows of the run: its state, result and curves so far."""
        from descent.run.notebook import html_of

        if self._began and not self._over:
            self.drain()
        return html_of(self.folder)

    def warn(self, message: str) -> None:
        """Tell of something that a person should know, in the log and on stderr."""
        self._events.write("warning", message=message)
        print(f"descent: {message}", file=sys.stderr)

    def drain(self) -> None:
        """Write the rows of all steps so far into the file."""
        self._rows.drain()

    def _tell_nonfinite(self, step: int) -> None:
        saved = [at for at in self._keeper.steps() if at <= step]
        self._events.write("anomaly", step=step, what="loss", checkpoint=saved[-1] if saved else None)

    # --- checkpoints ---

    def _find_place(self) -> tuple[State | None, int, float]:
        """Return the checkpoint that the run goes on from, its step and its seconds."""
        saved, step, seconds = None, 0, 0.0
        if self._driver.library:
            step, seconds = self._place_in_rows(self._driver.begins_at)
        else:
            saved, complaints = checkpoint.latest(self.folder)
            for complaint in complaints:
                self.warn(_("checkpoint {problem}", problem=complaint))
        if saved is not None:
            step, seconds = saved["step"], saved["seconds"]
        if self._ranks is not None:
            folder = str(self.folder.path.absolute())
            self._ranks.send({"folder": folder, "is_saved": saved is not None, "step": step})
        return saved, step, seconds

    def _place_in_rows(self, updates: int) -> tuple[int, float]:
        """Return the step and the seconds at which a run goes on whose library says how many updates it has made."""
        stored = Metrics(self.folder.path)
        step = min(updates, len(stored))
        if step < updates:
            self.warn(
                _(
                    "{library} goes on after {updates:,} updates, of which this run has {rows:,}; its steps are "
                    "counted from there",
                    library=self._driver.library,
                    updates=updates,
                    rows=step,
                )
            )
        return step, float(stored.column("time")[step - 1]) if step else 0.0

    @property
    def _is_forked(self) -> bool:
        """Whether the run goes on from a checkpoint of its parent."""
        return self._saved is not None and self._saved["run"] != self.id

    def save(self, *, wanted: bool = False) -> Path | None:
        """Write a checkpoint of all that is tracked, and return its file.

        In the body of a loop that `steps` or `batches` drive, it is written when the turn is through and its update
        is made; then None is returned. None too, unsaved, if a weight is not finite.
        wanted: a person asked for it, so it is kept beside the latest ones.
        Raises DescentError if the model has other weights than at the first checkpoint.
        """
        assert self._model is not None
        if self._is_in_turn:
            self._save_wanted = True
            return None
        self._save_wanted = False
        with self._own_work(), self.clock.stopped():
            self._rows.flush()
            weights = self._model.state_dict()
            self._refuse_new_weights(checkpoint.shapes(weights))
            if checkpoint.not_finite(weights):
                if not self._told_not_saved:
                    self._told_not_saved = True
                    self.warn(_("step {step:,} was not saved: a weight is not finite", step=self._step))
                return None
            return self._keeper.save(self._capture(), wanted=wanted)

    def _refuse_new_weights(self, shapes: dict[str, tuple[int, ...]]) -> None:
        """Raise DescentError for a weight or a buffer that has come, gone or changed its shape in training."""
        known = self._shapes = self._shapes or shapes
        changed = next((name for name in [*shapes, *known] if shapes.get(name) != known.get(name)), None)
        if changed is None:
            return
        raise DescentError(
            _(
                "the model is another one than at the beginning: {weight} has the shape {given} at step {step:,}, "
                "and had {wanted}. Nothing could go on from a checkpoint of it, so none is written. Make all weights "
                "and buffers before run.watch(model, …); to train a larger model, begin another run with it",
                weight=changed,
                given=shapes.get(changed) or (_("none") if changed not in shapes else "()"),
                step=self._step,
                wanted=known.get(changed) or (_("none") if changed not in known else "()"),
            )
        )

    def _capture(self) -> State:
        loop = self._driver.state()
        return {
            "run": self.id,
            "step": self._step,
            "seconds": self.clock.seconds(),
            "objects": self._kept.states(),
            "random": self._kept.randomness(self._device),
            "loop": loop,
            **self._edits.state(),
            "epoch": 0 if loop is None else loop["epoch"],
            "metrics": {},
            "best": self._best.state(),
            "log": self._events.size(),
        }

    def _restore(self, state: State) -> None:
        """Go to a checkpoint. Raises DescentError if it does not fit; then nothing has changed."""
        self._kept.restore(state["objects"], state["step"])
        self._restore_random(state)
        self._driver.restore(state["loop"])
        self._best.restore(state["best"])
        self._step = state["step"]
        self._edits.restore(state)
        self.clock.set(state["seconds"])
        self._rows.begin_anew()
        self._samples.forget()
        self._foresight.forget()

    def _restore_random(self, state: State) -> None:
        self._kept.restore_randomness(state["random"], self._device)

    # --- facts, and the end ---

    def _write_facts(self) -> None:
        """Write run.json: as soon as a model is watched, when the loop begins, and when the cadence is chosen.

        What a run has chosen it keeps.
        """
        before = self.folder.facts()
        if "statistics_every" in before:
            return
        assert self._model is not None
        chosen = {"statistics_every": self._rows.every, "is_chosen": self._rows.is_chosen}
        facts = facts_of_process(self.name) | {
            "device": str(self._device),
            "device_name": devices.name(self._device),
            "threads": torch.get_num_threads(),
            "samples": {"validation": 0} if self._evaluations else {},
            "settings": self._edits.declared(),
            "actions": self._actions.names(),
            "parameters": sum(parameter.numel() for parameter in self._model.parameters()),
            **self._length(),
            **(chosen if self._began and self._rows.every is not None else {}),
        }
        facts["started"] = before.get("started", facts["started"])
        write_json(self.folder.path / "run.json", facts)

    def _length(self) -> dict[str, int]:
        """Return the steps of the loop and of an epoch, as far as they are known."""
        known = {"total_steps": self._driver.total_steps(), "steps_per_epoch": self._driver.steps_per_epoch()}
        return {name: steps for name, steps in known.items() if steps is not None}

    def _correct_length(self) -> None:
        """After the first step, whose turns are known only now, write how long the loop is, if that was not so."""
        facts, length = self.folder.facts(), self._length()
        if facts and self._driver.turns_a_step > 1 and facts | length != facts:
            write_json(self.folder.path / "run.json", facts | length)
            self._events.write("length", step=self._step, total_steps=self._driver.total_steps())

    def end(self, state: RunState, *, reason: str | None = None, receipt: Path | None = None) -> None:
        """Write what is left and release the run. Called again it does nothing."""
        if self._over or os.getpid() != self._pid:
            return
        try:
            if self._began:
                self._rows.end(self._step)
                self._rows.every = self._rows.every or 1  # it ends before that was chosen
                self._write_facts()
                if self._save_wanted and state != "failed":  # the script has left its loop in the body of a turn
                    self._is_in_turn = False
                    self.save()
            self._rows.flush()
            if state == "finished" and self._rows.untrained is not None:
                self._rows.untrained.end()
        finally:
            self._over = True
            self._losses.end()
            self._exit.close()
            self._rows.close()
            saved = self._keeper.steps()
            last = receipt or (self.folder.checkpoint(saved[-1]) if saved else None)
            self._handler.say_stopped(None if last is None else str(last))
            self._tell_best(saved)
            self._tell_end(state, reason)
            self._server.stop()
            self._claim.release()
            if self._signals is not None:
                self._signals.give_back()

    def _tell_end(self, state: RunState, reason: str | None) -> None:
        if self._is_finished:
            state, reason = "finished", None
        if state == "starting":  # anew, in this same process
            self._events.awaited(os.getpid())
        else:
            self._events.state(state, **({} if reason is None else {"reason": reason}))

    def _tell_best(self, saved: Sequence[int]) -> None:
        """Write which checkpoint is of the best evaluation. saved: the steps of those that there are."""
        if self._best.is_missed and self._began:
            names = {"metric": (self._best.by or {})["metric"]}
            self.warn(
                _("best: no evaluation on the validation split had a {metric}, so no model is the best", **names)
            )
        elif self._best.step in saved:
            self._events.write("best", step=self._step, steps=[self._best.step])

    def leave(self) -> None:
        """In a process that was forked from this one: nothing here is its own."""
        self._over = True
        if self._signals is not None:
            self._signals.give_back()
