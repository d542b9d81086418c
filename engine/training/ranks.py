"""Several processes that train one run. Rank 0 is the run's worker, and the others do what it says.

They meet about ten times a second, and wherever an evaluation, an epoch's end or a checkpoint is due. Only there rank
0 follows commands, so all take effect at the same step everywhere: if settings or weights are others than those of
the last meeting, the others get the whole state. Between meetings they train without a word of rank 0. Members are
divided among the processes. One model is the same in all of them, and its batches are divided.
"""

import contextlib
import os
import signal
import subprocess
import sys
import time
import uuid
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

import torch.distributed as dist
from torch import Tensor
from torch._C._distributed_c10d import PrefixStore, Store, TCPStore

from descent import warm
from descent.common import job
from descent.common.errors import CannotGoOnError, ExitCode
from descent.common.i18n import _
from descent.loop.clock import Clock
from descent.loop.commands import CommandHandler
from descent.loop.ranks import Ranks
from descent.run.folder import RunFolder
from descent.warm import Process
from engine.preset.schema import EverySteps
from engine.training.evaluation import Evaluation
from engine.training.hung import HungExchange
from engine.training.members.parts import PartTrainState, WholeTrainState, members_of, together
from engine.training.members.train_state import MemberTrainState
from engine.training.protocols import AnyBatch, StepResult
from engine.training.shared_step import SharedStep
from engine.training.step import train_step
from engine.training.train_state import TrainState

PATIENCE = timedelta(minutes=30)  # for all to be there; loading PyTorch from a network disk may take minutes
_LOOK = 0.02  # seconds between looks at who is there
_P = ParamSpec("_P")
_T = TypeVar("_T")
Step = Callable[..., StepResult]  # called as train_step is
_has_sought = False
_HOST = "127.0.0.1"  # of processes that rank 0 starts itself


class Link:
    """The way between the processes of a run. Raises CannotGoOnError once one of them has ended."""

    def __init__(
        self, rank: int, size: int, store: Store | None = None, stop_wanted: Callable[[], bool] = lambda: False
    ) -> None:
        """Waits for all processes. store: where they meet; None for what torchrun's variables say.

        Raises StoppedError if `stop_wanted` says so before all are there.
        """
        global _has_sought  # noqa: PLW0603 - a process seeks the others once
        _has_sought = True
        self.rank, self.size = rank, size
        self._children: list[Process] = []
        self._hung: contextlib.AbstractContextManager[None] = contextlib.nullcontext()
        if store is None:
            store = _of_job(rank, size)
        elif sys.platform == "linux":
            os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")
        store = _agreed(store, rank, size, stop_wanted)
        dist.init_process_group("gloo", store=store, rank=rank, world_size=size, timeout=PATIENCE)
        self._ranks = Ranks()
        self.send = self._checked(self._ranks.send)
        self.receive = self._checked(self._ranks.receive)
        self.beat = self._checked(self._ranks.beat)
        self.add_up: Callable[[Tensor], None] = self._checked(self._ranks.add_up)
        self.gather: Callable[[Any], list[Any]] = self._checked(self._ranks.gather)
        self.steps_until_next = self._ranks.steps_until_next

    def watch(self, children: list[Process], hung: HungExchange) -> None:
        """Name one of the processes that this one has started, by its rank, when it has ended."""
        self._children, self._hung = children, hung

    def _checked(self, exchange: Callable[_P, _T]) -> Callable[_P, _T]:
        def checked(*args: _P.args, **kwargs: _P.kwargs) -> _T:
            try:
                with self._hung:
                    return exchange(*args, **kwargs)
            except RuntimeError as error:  # of torch.distributed: the other end has closed
                raise CannotGoOnError(_who_has_ended(self._children, self.size, error)) from None

        return checked


def _who_has_ended(children: Sequence[Process], size: int, error: RuntimeError) -> str:
    codes: dict[int, int] = {}
    for number, process in enumerate(children, 1):
        with contextlib.suppress(subprocess.TimeoutExpired):
            codes[number] = process.wait(2.0)
    # The others end by themselves, with this code, after the first one has.
    first = min(codes, key=lambda number: codes[number] == ExitCode.CANNOT_GO_ON, default=None)
    if first is None:
        text = str(error).strip().partition("\n")[0][:200]
        return _(
            "another of the {count} processes that train this run has ended ({reason}); the run goes on from its "
            "last checkpoint when it is started again",
            count=size,
            reason=text,
        )
    code = codes[first]
    how = signal.Signals(-code).name if code < 0 else _("exit code {code}", code=code)
    return _(
        "rank {rank} of the {count} processes that train this run has ended ({how}), and output.log may say why; "
        "`descent resume` goes on from the last checkpoint",
        rank=first,
        count=size,
        how=how,
    )


class StoppedError(Exception):
    """A signal asks this process to end while it waits for the others."""


def _of_job(rank: int, size: int) -> Store:
    """Return the store of torchrun's agent, or else rank 0's own, where the variables say that it is."""
    has_agent = os.environ.get("TORCHELASTIC_USE_AGENT_STORE") == "True"
    return TCPStore(
        os.environ["MASTER_ADDR"],
        int(os.environ["MASTER_PORT"]),
        size,
        is_master=rank == 0 and not has_agent,
        wait_for_workers=False,
        timeout=PATIENCE,
    )


def _agreed(store: Store, rank: int, size: int, stop_wanted: Callable[[], bool]) -> Store:
    """Wait until all processes are there. Returns a part of the store that is theirs alone.

    torchrun keeps its store when it starts all processes again, and with it the addresses of those that have ended.
    So rank 0 names the part, each process leaves a word of its own, and rank 0 repeats the words that it has found.
    """
    mine, end = uuid.uuid4().hex, time.monotonic() + PATIENCE.total_seconds()
    if rank == 0:
        store.set("lead", mine)
    while time.monotonic() < end:
        lead = mine if rank == 0 else store.get("lead").decode()
        words = [f"{lead}/{other}" for other in range(1, size)]
        if rank > 0:
            store.set(f"{lead}/{rank}", mine)
        elif store.check(words):
            store.set(lead, " ".join(store.get(word).decode() for word in words))
        if store.check([lead]) and (rank == 0 or mine in store.get(lead).decode().split()):
            return PrefixStore(lead, store)
        if stop_wanted():
            raise StoppedError
        time.sleep(_LOOK)
    raise RuntimeError(_("not all are there after {minutes} minutes", minutes=PATIENCE.seconds // 60))


class Others:
    """The other processes of a run, on rank 0: started here, or by torchrun or srun, which have started this one."""

    def __init__(self, size: int) -> None:
        self.size = job.size() if job.size() > 1 else size
        self._store: TCPStore | None = None
        self._children: list[Process] = []
        self._link: Link | None = None
        self._hung: HungExchange | None = None

    def start(self) -> None:
        """Start them, if nobody else has. They may load PyTorch while this process opens the run."""
        if self.size == 1 or job.size() > 1:
            return
        self._store = TCPStore(_HOST, 0, self.size, is_master=True, wait_for_workers=False, timeout=PATIENCE)
        for rank in range(1, self.size):
            words = (str(self._store.port), str(rank), str(self.size))
            self._children.append(warm.start("engine.launch.rank", *words))

    def meet(self, stop_wanted: Callable[[], bool]) -> Link:
        """Wait until all are there. Raises StoppedError if `stop_wanted` says so before."""

        def given_up() -> bool:
            if any(process.poll() is not None for process in self._children):
                raise CannotGoOnError(_who_has_ended(self._children, self.size, RuntimeError()))
            return stop_wanted()

        try:
            self._link = Link(0, self.size, self._store, given_up)
        except (RuntimeError, ValueError) as error:  # of torch.distributed
            raise CannotGoOnError(
                _("the {count} processes of this run did not find each other: {error}", count=self.size, error=error)
            ) from None
        self._hung = HungExchange(self._children)
        self._link.watch(self._children, self._hung)
        return self._link

    def end(self, *, orderly: bool) -> None:
        """Let them end. orderly: whether they wait for what this process says."""
        if self._link is not None and orderly:
            with contextlib.suppress(CannotGoOnError):
                self._link.send({"do": "end"})
        for process in self._children:
            if not orderly or self._link is None:
                process.kill()
            try:
                process.wait(10.0)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        if self._hung is not None:
            self._hung.close()
        part()


class Leader:
    """Trains a run as rank 0, which leads the other processes."""

    def __init__(self, link: Link, run: TrainState, folder: RunFolder, data_root: Path) -> None:
        self._link = link
        self._part: PartTrainState | None = None
        self._done: deque[StepResult] = deque()
        way = None
        if isinstance(run, MemberTrainState):
            way = run.stack.path
            self._part = PartTrainState.of(run, members_of(0, link.size))
            run = WholeTrainState.of(run, fetch=self._fetch, evaluate_parts=self._evaluate)
        else:
            run.shared = SharedStep(0, link.size, link.add_up)
        self.run = run
        self._until, self._handed_out = run.step, ""
        opening = {"folder": str(folder.path.absolute()), "name": run.preset.name, "data_root": str(data_root)}
        link.send(opening | {"way": way, "measured": run.measured})

    def follow(self, commands: CommandHandler, clock: Clock) -> None:
        """Let the meetings be where these commands need them."""
        self._commands, self._clock = commands, clock

    @property
    def is_under_way(self) -> bool:
        """Whether the others train towards a later step, so that nothing can be changed now."""
        return self.run.step < self._until

    def attended(self, stop_wanted: Callable[[], bool]) -> Callable[[], bool]:
        """Return `stop_wanted`, which gives the others a sign of life while they wait for this process."""

        def asked() -> bool:
            self._link.beat()
            return stop_wanted()

        return asked

    def begin(self) -> None:
        """Let all train until the next meeting."""
        self._hand_out()
        self._until = self._next_meeting()
        self._link.send({"do": "train", "until": self._until})
        if self._part is not None:
            mine = self._part.train(self._until, self._clock.seconds)
            self._done.extend(together(self._link.gather(mine)))
            assert isinstance(self.run, WholeTrainState)
            self.run.is_behind = True

    def step(self, run: TrainState, batch: AnyBatch, lr: float | Tensor, *, measured: bool) -> StepResult:
        """Return what a step has come to, which all have taken already, or take it with the others, for one model."""
        return self._done.popleft() if self._done else train_step(run, batch, lr, measured=measured)

    def _next_meeting(self) -> int:
        run, train = self.run, self.run.preset.train
        steps = 1 if self._commands.is_stepping else self._link.steps_until_next(run.step)
        last = [run.step + steps, run.total_steps, run.step + run.batches.per_epoch - run.batches.index]
        due = [
            every.steps for every in (train.evaluate_every, train.checkpoint_every) if isinstance(every, EverySteps)
        ]
        last += [(run.step // every + 1) * every for every in due]
        if (scripted := self._commands.next_scripted) is not None:
            last.append(max(run.step + 1, scripted))
        return min(last)

    def _hand_out(self) -> None:
        """Give the others the run's state, if it is another one than they have come to by themselves."""
        if self._settings() == self._handed_out:
            return
        self._link.send({"do": "take", "state": self.run.capture(0.0) | {"best_weights": None}})
        if self._part is not None:
            assert isinstance(self.run, MemberTrainState)
            self._part.take(self.run)
        self._handed_out = self._settings()

    def _settings(self) -> str:
        """Return all that the steps depend on, but for what they change themselves."""
        run = self.run
        plateaus = [run.plateau]
        if isinstance(run, MemberTrainState):
            plateaus = [standing.plateau for standing in run.standings]
        scales = [None if plateau is None else plateau.scale for plateau in plateaus]
        fixed = (run.restored, run.edits, run.total_steps, run.pace.state(), run.batches.size)
        return repr((*fixed, run.batches.augment is None, scales, run.ended()))

    def _fetch(self) -> list[dict[str, Any]]:
        assert self._part is not None
        self._link.send({"do": "give"})
        return self._link.gather(self._part.given())

    def _evaluate(self, split: str) -> list[list[Evaluation]]:
        assert self._part is not None
        self._hand_out()
        self._link.send({"do": "evaluate", "split": split})
        return self._link.gather(self._part.evaluate(split))


def join(port: int | None, rank: int, size: int) -> Link:
    """Return the way to rank 0, as one of the others. port: here; None for what torchrun's variables say."""
    try:
        store = None if port is None else TCPStore(_HOST, port, size, is_master=False, timeout=PATIENCE)
        return Link(rank, size, store)
    except RuntimeError as error:  # of torch.distributed
        raise CannotGoOnError(_("rank 0 can't be found: {error}", error=error)) from None


def part() -> None:
    """End the threads of this process's group. At the interpreter's end C++ aborts while they run."""
    if dist.is_initialized():
        with contextlib.suppress(RuntimeError):
            dist.destroy_process_group()


def release() -> None:
    """Let the others of torchrun or srun end, on rank 0, if there was nothing to train together."""
    if not _has_sought:
        with contextlib.suppress(RuntimeError, CannotGoOnError):
            Link(0, job.size()).send({"do": "end"})
        part()


def messages(link: Link) -> Iterator[dict[str, Any]]:
    """Yield what rank 0 says, until it ends the training."""
    while (message := link.receive()).get("do") != "end":
        if message:  # else it is a sign of life
            yield message


def follow(link: Link, run: TrainState) -> None:
    """Do what rank 0 says, as one of the others."""
    from engine.training import live_edits

    part = PartTrainState.of(run, members_of(link.rank, link.size)) if isinstance(run, MemberTrainState) else None
    if part is None:
        run.shared = SharedStep(link.rank, link.size, link.add_up)
    for message in messages(link):
        match message["do"]:
            case "take":
                live_edits.restore(run, message["state"]["edits"])
                run.restore(message["state"])
                if part is not None:
                    assert isinstance(run, MemberTrainState)
                    part.take(run)
            case "train" if part is not None:
                link.gather(part.train(message["until"], lambda: 0.0))
            case "train":
                while run.step < message["until"]:
                    train_step(run, run.batches.next(), run.learning_rate(), measured=False)
                    run.step += 1
                    run.batches.epoch_is_over()
            case "give" if part is not None:
                link.gather(part.given())
            case "evaluate" if part is not None:
                link.gather(part.evaluate(message["split"]))
            case other:
                raise AssertionError(f"rank 0 says {other}")
