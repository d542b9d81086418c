"""The handle of a run: start one, attach to one, steer it, follow its events. Calls are awaited; sync.py blocks.

    run = await descent.start("digits-mlp", ["train.epochs=100"])
    async for event in run.events():
        if event["event"] == "evaluation" and event["loss"] > 1:
            await run.set("optimizer.lr=0.01")
    print(await run.wait())

Everything is read from the run folder. The worker only receives commands. It ends neither with the handle nor with
the program that holds it. Starting and forking call the `descent` command, so that the program loads no preset and no
schema.
"""

import asyncio
import json
import subprocess
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Coroutine, Iterator, Sequence
from pathlib import Path
from typing import Any, Generic, TypeVar

from descent import child, control
from descent.common import paths
from descent.common.errors import CannotGoOnError, DamagedError, DataMissingError, DescentError
from descent.common.i18n import _
from descent.common.settings import pair_of
from descent.common.text import clean, show
from descent.control import Answer, Giver
from descent.run import find
from descent.run.epochs import epochs_since
from descent.run.events import EventLog, Fold
from descent.run.folder import RunFolder
from descent.run.metrics import Metrics
from descent.run.results import result_of
from descent.run.scalars import Series
from descent.run.scalars import read as read_scalars
from descent.run.schema import EventReader
from descent.run.state import ALIVE, State, StateReader

_ERRORS: dict[int, type[DescentError]] = {int(kind.exit_code): kind for kind in (DataMissingError, CannotGoOnError)}
LOOK_EVERY = 0.1  # seconds between looks at the files
Reply = TypeVar("Reply")  # Answer, or what gives one to `await`


class _BatchSize(Fold):
    """The last change of the batch size, from which on the epochs have another length."""

    def begin(self) -> None:
        self.change: dict[str, Any] | None = None

    def add(self, event: dict[str, Any]) -> None:
        if event["event"] == "batch_size":
            self.change = event


class Handle(ABC, Generic[Reply]):
    """The common part of both forms of Run, which differ in how a reply comes."""

    def __init__(self, folder: RunFolder, given_by: Giver = "program") -> None:
        """given_by: who gives the commands, for the run's log."""
        self.folder, self.given_by = folder, given_by
        self._states = StateReader(folder.path)

    @property
    def id(self) -> str:
        """Return the run's name, that of its folder."""
        return self.folder.id

    @property
    def state(self) -> State:
        """Return "starting", "running", "paused", "finished", "stopped", "failed", or "lost" for a killed worker."""
        return self._states.state()

    def metrics(self) -> Metrics:
        """Return the numbers of every step so far, as float32 arrays. Call it again for later steps."""
        return Metrics(self.folder.path)

    def scalars(self) -> dict[str, Series]:
        """Return what a loop has given by name so far: `steps` (int64) and `values` (float32) of each name."""
        return read_scalars(self.folder.path)

    def summary(self) -> dict[str, Any]:
        """Return the last line of `descent run --json`, with the `reason` of the last state, if it has one.

        `metrics` has means over the data: `train_loss`, `val_loss`, `val_accuracy` (0 to 1) … `seconds` is time spent
        training.
        """
        return {**result_of(self.folder).to_json(), "reason": (self.folder.last("state") or {}).get("reason")}

    def _repr_html_(self) -> str:
        """Return what a notebook shows of the run: its state, result and curves."""
        from descent.run.notebook import html_of

        return html_of(self.folder)

    def __repr__(self) -> str:
        return f"<{type(self).__module__.removesuffix('.handle')}.Run {self.id}: {self.state}>"

    @abstractmethod
    def command(self, command: str, **arguments: Any) -> Reply:
        """Give any command by its name in the socket's protocol, with its arguments."""

    def pause(self) -> Reply:
        """Pause the run before its next step. The worker keeps everything in memory."""
        return self.command("pause")

    def resume(self) -> Reply:
        """Go on with a paused run."""
        return self.command("resume")

    def step(self, steps: int = 1) -> Reply:
        """Train a paused run for that many steps. The answer comes when they are done."""
        return self.command("step", steps=steps)

    def set(self, *edits: str, **values: object) -> Reply:
        """Change settings of the live run: "optimizer.lr=0.01", or lr_scale=0.5 for a name without a point.

        The answer's `set` has their values. Raises DescentError, before anything is sent, for what is no setting.
        """
        kinds = (bool, int, float, str, list, tuple)
        wrong: list[object] = [edit for edit in edits if not isinstance(edit, str) or pair_of(edit) is None]
        wrong += [value for value in values.values() if not isinstance(value, kinds)]
        if wrong or not (edits or values):
            raise DescentError(
                _(
                    'set({given}): give each setting as a text "KEY=VALUE", such as "optimizer.lr=0.01", or as '
                    "NAME=VALUE with a number, a truth value, a text or a list, such as lr_scale=0.5",
                    given=", ".join(show(one) if isinstance(one, str) else clean(repr(one)) for one in wrong),
                )
            )
        named = [f"{name}={json.dumps(value)}" for name, value in values.items()]
        return self.command("set", edits=[*edits, *named])

    def checkpoint(self) -> Reply:
        """Save a checkpoint now. The answer's `checkpoint` is its path."""
        return self.command("checkpoint")

    def evaluate(self) -> Reply:
        """Evaluate on the validation split now. The answer has `val_loss`, and of classes `val_accuracy` (0 to 1)."""
        return self.command("evaluate")

    def picture(self, kind: str, **options: Any) -> Reply:
        """Draw the model as it is now, into the .npz file that the answer calls `picture`.

        `descent picture RUN` lists the kinds.
        """
        return self.command("picture", kind=kind, options=options)

    def extend(self, *, epochs: int = 0, steps: int = 0) -> Reply:
        """Train that much longer. The answer's `total_steps` is the step at which the run ends now."""
        return self.command("extend", epochs=epochs, steps=steps)

    def action(self, name: str) -> Reply:
        """Call a function that a loop of one's own has declared by run.action(name, function)."""
        return self.command("action", name=name)

    def rewind(self, to: int | None = None) -> Reply:
        """Go back to the checkpoint of step `to`, or without it to the last one before this step."""
        return self.command("rewind", to=to)

    def stop(self, how: str = "now") -> Reply:
        """End the run: "now" saves it first, "epoch" saves it at the end of the epoch, "discard" does not save it."""
        return self.command("stop", how=how)

    def _news(self) -> Iterator[list[dict[str, Any]]]:
        """Yield the new events of each look, until the run has ended."""
        reader = EventReader(self.folder.path)
        is_live = True
        while is_live:
            is_live = self.state in ALIVE  # asked first, so that the last events before the end are read too
            yield reader.read()

    def _until_step(self, step: int) -> Iterator[None]:
        """Yield at each look, until the run has made `step` updates or has ended."""
        metrics = Metrics(self.folder.path)
        while True:
            is_live = self.state in ALIVE
            if metrics.layout is None:
                metrics = Metrics(self.folder.path)
            if len(metrics) >= step or not is_live:
                return
            yield

    def _until_epoch(self, epoch: float) -> Iterator[None]:
        """Yield at each look, until so many epochs have passed or the run has ended. Not every epoch has an event."""
        log, size = EventLog(self.folder.path), _BatchSize()
        while True:
            is_live = self.state in ALIVE
            log.look()
            size.take(log, log.voided)
            epochs = epochs_since(size.change, self.folder.facts())
            if not is_live or (epochs is not None and epochs.at(len(self.metrics())) >= epoch):
                return
            yield

    def _until_event(self, kinds: Sequence[str], found: list[dict[str, Any]]) -> Iterator[None]:
        """Yield at each look, until an event of one of these kinds is `found`, or the run has ended."""
        log = EventReader(self.folder.path)
        log.read()
        while not found:
            is_live = self.state in ALIVE
            found += [event for event in log.read() if event["event"] in kinds][:1]
            if not is_live:
                return
            yield

    def _fork_words(
        self, at: int | None, overrides: Sequence[str], run_id: str | None, member: int | None
    ) -> list[str]:
        words = ["fork", str(self.folder.path), *options(run_id=run_id, overrides=overrides)]
        words += [] if at is None else ["--at", str(at)]
        return words + ([] if member is None else ["--member", str(member)])

    def _revive_words(self, allow_code: bool) -> list[str]:
        return ["resume", str(self.folder.path), *options(allow_code=allow_code)]


class Run(Handle[Coroutine[Any, Any, Answer]]):
    """A run, live or ended.

    A command returns the worker's answer once it has taken effect: a dict with the `step` (updates done so far) at
    which it did, and what the command's own docstring names. It raises RefusedError, with the reason, when the worker
    can't follow, NotRunningError when nobody trains the run, and CannotGoOnError when the worker dies before it
    answers.
    """

    async def command(self, command: str, **arguments: Any) -> Answer:
        """Give any command by its name in the socket's protocol, with its arguments."""
        return await control.ask(self.folder.path, command, arguments, self.given_by)

    async def fork(
        self,
        at: int | None = None,
        overrides: Sequence[str] = (),
        run_id: str | None = None,
        *,
        member: int | None = None,
    ) -> "Run":
        """Start a new run from the checkpoint of step `at` (the last, for None), with other settings.

        member: the one of several that goes on alone. Raises DescentError when there is no such checkpoint.
        """
        forked = await asyncio.to_thread(started, self._fork_words(at, overrides, run_id, member))
        return Run(forked, self.given_by)

    async def revive(self, *, allow_code: bool = False) -> None:
        """Go on with a run that was stopped, has failed or was lost, from its last checkpoint.

        allow_code: agree to run the code file that its preset names. Raises DescentError when it can't go on.
        """
        await asyncio.to_thread(started, self._revive_words(allow_code))

    async def events(self) -> AsyncIterator[dict[str, Any]]:
        """Yield all events so far, then new ones, until the run has ended."""
        for news in self._news():
            for event in news:
                yield event
            await asyncio.sleep(LOOK_EVERY)

    async def wait_for_step(self, step: int) -> int:
        """Wait until the run has made `step` updates, and return how many it has made: fewer if it has ended."""
        for _look in self._until_step(step):
            await asyncio.sleep(LOOK_EVERY)
        return len(self.metrics())

    async def wait_for_epoch(self, epoch: float) -> int:
        """Wait until so many passes over the data are made or the run has ended, and return the steps so far."""
        for _look in self._until_epoch(epoch):
            await asyncio.sleep(LOOK_EVERY)
        return len(self.metrics())

    async def wait_for(self, *kinds: str) -> dict[str, Any] | None:
        """Wait for the next event of one of these kinds, such as "evaluation", "anomaly", "collapse" or "checkpoint".

        Returns the event, or None when the run has ended before. Events before the call do not count; `events` misses
        none.
        """
        found: list[dict[str, Any]] = []
        for _look in self._until_event(kinds, found):
            await asyncio.sleep(LOOK_EVERY)
        return found[0] if found else None

    async def wait(self) -> State:
        """Wait for the end of the run and return its state."""
        while (state := self.state) in ALIVE:
            await asyncio.sleep(LOOK_EVERY)
        return state


async def start(
    preset: str | Path,
    overrides: Sequence[str] = (),
    *,
    run_id: str | None = None,
    runs_dir: Path | None = None,
    data_root: Path | None = None,
    allow_code: bool = False,
) -> Run:
    """Start a run in a process of its own.

    preset: a shipped preset's name, or a .toml file. overrides: changed settings, each as "optimizer.lr=0.01".
    run_id: the run's name. runs_dir: the folder of all runs, else $DESCENT_RUNS or ./runs. data_root: the folder of
    downloaded data, else $DESCENT_DATA. allow_code: agree to run the code file that the preset names.

    Raises DescentError when the preset is wrong, and DataMissingError (a kind of it) when data have to be downloaded
    first. Later errors end the run: `wait` returns "failed", and `summary` has the reason.
    """
    given = options(run_id, runs_dir, data_root, allow_code=allow_code, overrides=overrides)
    return Run(await asyncio.to_thread(started, ["run", str(preset), *given]))


async def runs(*, live: bool = False, runs_dir: Path | None = None) -> list[Run]:
    """Return the runs of this user, the latest first. live: only those that a worker trains now.

    runs_dir: those of this folder alone.
    """
    return [Run(folder) for folder in await asyncio.to_thread(known, live, runs_dir)]


async def attach(word: str, runs_dir: Path | None = None) -> Run:
    """Return the handle of an existing run: an id, its beginning or its last four letters, a path, or `last`.

    Raises DescentError when there is no such run.
    """
    return Run(found(word, runs_dir))


# --- what both forms need --------------------------------------------------------------------------------


def found(word: str, runs_dir: Path | None) -> RunFolder:
    """Return the folder of the run that `word` names. Raises DescentError when there is none."""
    return RunFolder(find.find_run(word, paths.runs_dir(runs_dir)))


def known(live: bool, runs_dir: Path | None) -> list[RunFolder]:
    """Return the folders that `runs` is made of. A run whose files are damaged is not live."""
    return [RunFolder(place) for place in find.runs_of(runs_dir) if not live or _is_live(place)]


def _is_live(place: Path) -> bool:
    try:
        return RunFolder(place).state() in ALIVE
    except DamagedError:
        return False


def options(
    run_id: str | None = None,
    runs_dir: Path | None = None,
    data_root: Path | None = None,
    *,
    allow_code: bool = False,
    overrides: Sequence[str] = (),
) -> list[str]:
    """Return these arguments as options of the command line."""
    named = (("--id", run_id), ("--runs-dir", runs_dir), ("--data-root", data_root))
    words = [word for option, value in named if value is not None for word in (option, str(value))]
    words += ["--allow-code"] if allow_code else []
    return words + [word for text in overrides for word in ("--set", text)]


def started(words: Sequence[str]) -> RunFolder:
    """Call `descent WORDS --detach --json` and return the folder of the run that it starts.

    Raises DescentError, or the subclass for the exit code, with the command's own message.
    """
    command = child.command("descent", *words, "--detach", "--json")
    done = subprocess.run(
        command, stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace", check=False
    )
    try:
        answer = json.loads(done.stdout.splitlines()[-1])
    except (IndexError, ValueError):
        raise CannotGoOnError(
            _(
                "{command} ended without an answer: {error}",
                command=f"descent {words[0]}",
                error=clean(done.stderr.strip()),
            )
        ) from None
    if "error" in answer:
        error = answer["error"]
        raise _ERRORS.get(done.returncode, DescentError)("\n".join(error) if isinstance(error, list) else error)
    return RunFolder(Path(answer["dir"]))
