"""The async handle of a run: start one, attach to one, steer it, follow what happens.

    run = await descent.start("digits-mlp", ["train.epochs=100"])
    async for event in run.events():
        if event["event"] == "evaluation" and event["loss"] > 1:
            await run.set("optimizer.lr=0.01")
    print(await run.wait())

Everything is read from the run folder. The worker is asked for nothing but to follow commands, and ends neither with
the handle nor with the program that holds it. Starting and forking call the `descent` command, so that the program
loads no preset and no schema.
"""

import asyncio
import json
import subprocess
import sys
from collections.abc import AsyncIterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from descent import control
from descent.common import paths
from descent.common.errors import CannotGoOnError, DataMissingError, DescentError
from descent.common.files import JsonLinesReader
from descent.common.text import clean
from descent.control import Answer
from descent.run import find
from descent.run.folder import RunFolder
from descent.run.metrics import Metrics
from descent.run.results import result_of
from descent.run.state import ALIVE, State, StateReader

_ERRORS: dict[int, type[DescentError]] = {int(kind.exit_code): kind for kind in (DataMissingError, CannotGoOnError)}
LOOK_EVERY = 0.1  # seconds between looks at the files


class Run:
    """A run, live or ended. Commands return the worker's answer, with the `step` at which they took effect.

    Each raises RefusedError, with the reason, where the worker can't follow, and NotRunningError where there is none.
    """

    def __init__(self, folder: RunFolder) -> None:
        self.folder = folder
        self._states = StateReader(folder)

    @property
    def id(self) -> str:
        return self.folder.id

    @property
    def state(self) -> State:
        return self._states.state()

    def metrics(self) -> Metrics:
        """The rows as they are now."""
        return Metrics(self.folder.path)

    def summary(self) -> dict[str, Any]:
        """What the last line of `descent run --json` says, and the `reason` of the last state, if it has one."""
        return {**result_of(self.folder).to_json(), "reason": (self.folder.last("state") or {}).get("reason")}

    def __repr__(self) -> str:
        return f"<descent.Run {self.id}: {self.state}>"

    async def command(self, command: str, **arguments: Any) -> Answer:
        """Any command of the wire, by its name."""
        return await control.ask(self.folder.path, command, arguments)

    async def pause(self) -> Answer:
        return await self.command("pause")

    async def resume(self) -> Answer:
        """Go on with a paused run."""
        return await self.command("resume")

    async def step(self, steps: int = 1) -> Answer:
        """Train a paused run for so many steps; answered when they are done."""
        return await self.command("step", steps=steps)

    async def set(self, *edits: str) -> Answer:
        """Change live settings, each as "optimizer.lr=0.01"."""
        return await self.command("set", edits=list(edits))

    async def checkpoint(self) -> Answer:
        """Save now; the answer's `checkpoint` is the path."""
        return await self.command("checkpoint")

    async def evaluate(self) -> Answer:
        """Loss and accuracy on the validation split, now: `val_loss`, `val_accuracy`."""
        return await self.command("evaluate")

    async def picture(self, kind: str, **options: Any) -> Answer:
        """Draw the model as it is now; the answer's `picture` is the file. `descent picture RUN` lists the kinds."""
        return await self.command("picture", kind=kind, options=options)

    async def fork(
        self,
        at: int | None = None,
        overrides: Sequence[str] = (),
        run_id: str | None = None,
        *,
        member: int | None = None,
    ) -> "Run":
        """Start a new run from the checkpoint of step `at` (the last, for None), with other settings.

        member: of several, the one that goes on alone.
        """
        words = ["fork", str(self.folder.path), *_options(run_id=run_id, overrides=overrides)]
        words += [] if at is None else ["--at", str(at)]
        words += [] if member is None else ["--member", str(member)]
        return Run(await _started(words))

    async def revive(self, *, allow_code: bool = False) -> None:
        """Go on with a run that was stopped, has failed or was lost, from its last checkpoint."""
        await _started(["resume", str(self.folder.path), *_options(allow_code=allow_code)])

    async def extend(self, *, epochs: int = 0, steps: int = 0) -> Answer:
        """Train that much longer."""
        return await self.command("extend", epochs=epochs, steps=steps)

    async def rewind(self, to: int | None = None) -> Answer:
        """Go back to the checkpoint of step `to`, or to the last one before this step."""
        return await self.command("rewind", to=to)

    async def stop(self, how: str = "now") -> Answer:
        """End the run: `now` (saved), at the end of the `epoch` (saved), or `discard` (unsaved)."""
        return await self.command("stop", how=how)

    async def events(self) -> AsyncIterator[dict[str, Any]]:
        """All that happened so far, then what happens, until the run has ended."""
        reader = JsonLinesReader(self.folder.path / "events.jsonl")
        while True:
            ended = self.state not in ALIVE  # asked first: what was written before the end is read once more
            for event in reader.read():
                yield event
            if ended:
                return
            await asyncio.sleep(LOOK_EVERY)

    async def wait(self) -> State:
        """The state the run has ended in."""
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

    DescentError where the preset is wrong, or a set that is downloaded is not here. What its worker finds wrong later
    ends the run, as in a file of one's own: `wait` gives "failed", and `summary` the reason.
    """
    given = _options(run_id, runs_dir, data_root, allow_code=allow_code, overrides=overrides)
    return Run(await _started(["run", str(preset), *given]))


async def attach(word: str, runs_dir: Path | None = None) -> Run:
    """The handle of a run that is there: an id, its beginning or its last four letters, a path, or `last`."""
    return Run(RunFolder(find.find_run(word, paths.runs_dir(runs_dir))))


def _options(
    run_id: str | None = None,
    runs_dir: Path | None = None,
    data_root: Path | None = None,
    *,
    allow_code: bool = False,
    overrides: Sequence[str] = (),
) -> list[str]:
    """Return the options of the command line that say the same."""
    named = (("--id", run_id), ("--runs-dir", runs_dir), ("--data-root", data_root))
    words = [word for option, value in named if value is not None for word in (option, str(value))]
    words += ["--allow-code"] if allow_code else []
    return words + [word for text in overrides for word in ("--set", text)]


async def _started(words: Sequence[str]) -> RunFolder:
    """Call `descent WORDS --detach --json` and return the folder of the run that it starts.

    DescentError, or the kind of it that the exit code stands for, with the text of the command's own message.
    """
    command = [sys.executable, "-P", "-m", "descent", *words, "--detach", "--json"]
    run = partial(subprocess.run, stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace")
    done = await asyncio.to_thread(run, command, check=False)
    try:
        answer = json.loads(done.stdout.splitlines()[-1])
    except (IndexError, ValueError):
        raise CannotGoOnError(f"descent {words[0]} ended without an answer: {clean(done.stderr.strip())}") from None
    if "error" in answer:
        error = answer["error"]
        raise _ERRORS.get(done.returncode, DescentError)("\n".join(error) if isinstance(error, list) else error)
    return RunFolder(Path(answer["dir"]))
