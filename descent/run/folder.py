"""The run folder: what each file in it is, ids, and claiming a folder before torch is loaded."""

import errno
import json
import os
import random
import re
import shutil
import socket
import string
import time
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from descent.common.errors import DamagedError, DescentError
from descent.common.text import clean, show
from descent.run.events import EventLog, Events, still_valid
from descent.run.lock import WorkerLock
from descent.run.state import State, StateReader


@dataclass(frozen=True)
class RunFolder:
    """One run's folder, and its only truth."""

    path: Path

    @property
    def id(self) -> str:
        return self.path.name

    @property
    def preset(self) -> Path:
        return self.path / "preset.toml"

    @property
    def events_file(self) -> Path:
        return self.path / "events.jsonl"

    @property
    def output(self) -> Path:
        return self.path / "output.log"

    @property
    def checkpoint_folder(self) -> Path:
        return self.path / "checkpoints"

    def checkpoint(self, step: int) -> Path:
        return self.checkpoint_folder / f"step-{step}.pt"

    def checkpoints(self, events: Sequence[dict[str, Any]] | None = None) -> list[int]:
        """Steps of the checkpoints on the way to where the run stands, ascending.

        Those of a future that it went back from are on the disk as well, and do not count.
        events: those that are valid, of who has read them already: a long log is not read again.
        """
        events = self.events() if events is None else events
        written = {event["step"] for event in events if event.get("event") == "checkpoint"}
        origin = self.origin()
        if origin is not None:
            written.add(origin["step"])
        files = (file.stem.removeprefix("step-") for file in self.checkpoint_folder.glob("step-*.pt"))
        return sorted(int(step) for step in files if step.isdigit() and int(step) in written)

    def facts(self) -> dict[str, Any]:
        """run.json; empty for a run that has not got so far."""
        return self._stored("run.json") or {}

    def origin(self) -> dict[str, Any] | None:
        """parent.json of a fork: `run`, `dir` and `step` of its parent, `changed` keys, what was `measured`."""
        return self._stored("parent.json")

    def _stored(self, name: str) -> dict[str, Any] | None:
        """A file of JSON, which is written in one piece; None where there is none. DamagedError where it is none."""
        try:
            stored: dict[str, Any] = json.loads((self.path / name).read_text())
        except FileNotFoundError:
            return None
        except ValueError as error:
            raise DamagedError(f"{self.id}/{name} is damaged: {error}") from None
        return stored

    def events(self) -> list[dict[str, Any]]:
        """All that happened, less what a later resume or rewind has voided."""
        return [event for _, event in self.events_with_positions()]

    def events_with_positions(self) -> list[tuple[int, dict[str, Any]]]:
        """The same, each with the byte of events.jsonl that its line begins at."""
        log = EventLog(self)
        log.look()
        return log.with_positions()

    def events_until(self, step: int, log: int | None) -> list[dict[str, Any]]:
        """What would still count if the run went back to step `step`, where its log ended at byte `log`."""
        return [event for _, event in still_valid(self.events_with_positions(), to=step, log=log)]

    def state(self) -> State:
        """The last state written, unless the worker that wrote it is gone."""
        return StateReader(self).state()

    def host(self) -> str:
        """The machine that trained the run last; this one's name until it is known."""
        return StateReader(self).host()

    def last(self, event: str, **wanted: Any) -> dict[str, Any] | None:
        """The latest event of a kind."""
        fitting = (e for e in reversed(self.events()) if {**e, **wanted, "event": event} == e)
        return next(fitting, None)


class Claim:
    """The run's lock, and its log, which says first that a worker is starting. DescentError where another has it."""

    def __init__(self, folder: RunFolder) -> None:
        self.folder = folder
        self._lock = WorkerLock(folder)
        self.events = Events(folder)
        self.events.state("starting", pid=os.getpid(), host=socket.gethostname())
        self.events.write("stage", stage="torch")

    def release(self) -> None:
        self.events.close()
        self._lock.release()


LONGEST_ID = 100  # characters; a file name has room for 255 bytes, and an id in Korean takes three for each
_LONGEST_STEM = 60
_RESERVED = ("last",)  # a word for the latest run


def new_id(preset_name: str) -> str:
    """<preset>-<yymmdd>-<hhmmss>-<4 letters>, whatever characters the preset's name has."""
    words = re.sub(r"[\s/\\:*?\"'<>|$`&;]+", "-", clean(unicodedata.normalize("NFC", preset_name)))
    stem = _fitting(words, _LONGEST_STEM).strip("-.~") or "run"
    letters = "".join(random.SystemRandom().choices(string.ascii_lowercase, k=4))
    return f"{stem}-{time.strftime('%y%m%d-%H%M%S')}-{letters}"


def check_id(wanted: str) -> None:
    """DescentError where `wanted`, of --id, can't be a run's id."""
    if wanted in _RESERVED:
        raise DescentError(f"--id {wanted}: this word means the latest run; choose another id")
    if not wanted.strip() or wanted.startswith((".", "-", "~")) or "/" in wanted or clean(wanted) != wanted:
        raise DescentError(
            f"--id {show(wanted)}: an id is the name of a folder: printable, without '/', "
            "and not beginning with '.', '-' or '~'"
        )
    if _fitting(wanted, LONGEST_ID) != wanted:
        raise DescentError(f"--id {show(wanted)}: is too long; an id has at most {LONGEST_ID} characters")


def _fitting(text: str, longest: int) -> str:
    """The beginning of `text` that is at most `longest` characters and 2 · `longest` bytes long."""
    return text[:longest].encode()[: 2 * longest].decode(errors="ignore")


def create(
    runs: Path,
    run_id: str,
    preset_toml: str,
    code: Mapping[str, bytes],
    fill: Callable[[Path], None] | None = None,
) -> RunFolder:
    """A new run folder, readable by its owner alone, with the preset and the user's `code` files by name.

    fill: puts more into it before anybody can see it. DescentError where there is one of that id.
    """
    path = runs / run_id
    unfinished = runs / f".{run_id}.{os.getpid()}"
    try:
        runs.mkdir(parents=True, exist_ok=True)
        unfinished.mkdir(mode=0o700)
        (unfinished / "checkpoints").mkdir()
        (unfinished / "preset.toml").write_text(preset_toml, encoding="utf-8")
        if code:
            (unfinished / "code").mkdir()
        for name, content in code.items():
            (unfinished / "code" / name).write_bytes(content)
        if fill is not None:
            fill(unfinished)
        unfinished.rename(path)  # a crash before this line leaves no run, one after it a whole one
    except DescentError:
        shutil.rmtree(unfinished, ignore_errors=True)
        raise
    except OSError as error:
        shutil.rmtree(unfinished, ignore_errors=True)
        if runs.exists() and not runs.is_dir():
            raise DescentError(f"{runs} is not a folder; choose another place with --runs-dir") from None
        if error.errno in (errno.EEXIST, errno.ENOTEMPTY):
            raise DescentError(
                f"--id {run_id}: there is such a run in {runs}; choose another id, "
                f"or go on with that one: descent resume {run_id} (in a batch job: --resume-if-exists)"
            ) from None
        raise DescentError(
            f"can't make the run folder {path}: {error.strerror}; choose another place with --runs-dir"
        ) from None
    return RunFolder(path)


def failed_at_start(state: str, step: int, origin: Mapping[str, Any] | None) -> bool:
    """Whether a run failed before a step of its own was kept; `origin`: of a fork, where it began."""
    return state == "failed" and step <= (origin["step"] if origin is not None else 0)
