"""The learner's progress: one file in the user's state folder. One process at a time changes it, never by halves."""

import contextlib
import fcntl
import json
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from descent.common.errors import DescentError
from descent.common.files import json_safe, write_json
from descent.common.i18n import N_, _
from descent.common.paths import made_state_dir, state_dir
from descent.common.text import clean

FILE = "labs.json"
VERSION = 1
KEPT_ATTEMPTS = 50
LONGEST_WAIT = 10.0  # seconds for the lock; a process holds it only while it writes to the disk
_LOOK = 0.02

State = Literal["new", "started", "passed"]
# What could not be done with the file. `_KEPT_THERE` follows.
_NOT_READ = N_("{file} can't be read: {error}")
_NOT_WRITTEN = N_("{file} can't be written, and nothing was changed: {error}")
_NOT_LOCKED = N_("{file} can't be locked: {error}")
_NOT_RENAMED = N_("{file} is broken and can't be renamed: {error}")
_KEPT_THERE = N_("Your progress in the labs is kept there ($XDG_STATE_HOME names another folder).")
# Why a broken file was set aside, by the word in its new name.
_ASIDE = {
    "newer": N_(
        "{file} was written by a newer version of Descent; it is kept as {name}, and the labs start from scratch"
    ),
    "broken": N_("{file} was broken; it is kept as {name}, and the labs start from scratch"),
}


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class Outcome(_Part):
    """The result of one check."""

    id: str
    value: Any = None
    passed: bool


class Attempt(_Part):
    time: str
    passed: bool
    met: int
    of: int
    checks: tuple[Outcome, ...] = ()


class Record(_Part):
    """A learner's progress in one lab. Times are ISO 8601, in UTC."""

    started: str | None = None
    folder: str | None = None
    predictions: dict[str, Any] = {}
    missed: dict[str, Any] = {}  # results of the predictions that turned out otherwise, by id; known after a pass
    once_more: dict[str, Any] = {}  # answers to those when they were asked again; None: left unanswered
    files: dict[str, str] = {}  # SHA-256 of the files as `lab start` wrote them, by name
    deeds: tuple[str, ...] = ()  # "ran", "ran PART", "opened PICTURE": see engine.labs.format.Task
    hints: Annotated[int, Field(ge=0, le=3)] = 0  # the greatest level that was seen
    seen: dict[str, int] = {}  # levels of the hints that were seen, by the check's id; "": those of the whole lab
    attempts: tuple[Attempt, ...] = ()  # the latest
    count: int = 0  # of all attempts
    best: float | None = None  # greatest share of the checks met
    passed: str | None = None
    read: bool = False  # the explanation

    @property
    def state(self) -> State:
        if self.passed is not None:
            return "passed"
        return "started" if self.started is not None else "new"


class Progress(_Part):
    """A learner's progress in all labs. notes: what to tell the learner once; they are not kept."""

    version: Literal[1] = 1
    last: str | None = None
    student: str | None = None  # who works here: a name or a number, as hand-ins say it
    labs: dict[str, Record] = {}
    notes: Annotated[tuple[str, ...], Field(exclude=True)] = ()

    def of(self, lab_id: str) -> Record:
        """Return the record of a lab, an empty one for a lab that was not started."""
        return self.labs.get(lab_id, Record())


def load() -> Progress:
    """Return the progress. It is empty if there is no file, or if the file is broken, which is then renamed.

    Raises DescentError if the file exists and can't be read.
    """
    try:
        return _read()
    except _BrokenError:
        with _lock():
            return _whole()


def started(lab_id: str, folder: Path, files: Mapping[str, str] | None = None) -> Progress:
    """Record that the learner has the lab's files in `folder`. files: the SHA-256 of new ones, by name."""

    def change(record: Record) -> dict[str, Any]:
        place = {"started": record.started or _now(), "folder": str(folder.absolute())}
        return place if files is None else {**place, "files": dict(files)}

    return _change(lab_id, change)


def named(student: str) -> Progress:
    """Record who works here."""
    return _write(lambda progress: progress.model_copy(update={"student": student}))


def did(lab_id: str, *deeds: str) -> Progress:
    """Record what the learner has done: deeds of engine.labs.format.Task."""
    return _change(lab_id, lambda record: {"deeds": tuple(dict.fromkeys((*record.deeds, *deeds)))})


def predicted(lab_id: str, answers: Mapping[str, Any]) -> Progress:
    """Record predictions. An earlier one stays as it is."""
    return _change(lab_id, lambda record: {"predictions": {**answers, **record.predictions}})


def hinted(lab_id: str, level: int, check: str = "") -> Progress:
    """Record that the learner has seen the hint of that level. check: whose hint, if not the whole lab's."""

    def change(record: Record) -> dict[str, Any]:
        seen = {**record.seen, check: max(level, record.seen.get(check, 0))}
        return {"hints": max(level, record.hints), "seen": seen}

    return _change(lab_id, change)


def answered_once_more(lab_id: str, prediction_id: str, answer: Any) -> Progress:
    """Record that a missed prediction was asked again, and the answer. The lab to go on with stays the same."""

    def change(progress: Progress) -> Progress:
        record = progress.of(lab_id)
        labs = {lab_id: record.model_copy(update={"once_more": {**record.once_more, prediction_id: answer}})}
        return progress.model_copy(update={"labs": {**progress.labs, **labs}})

    return _write(change)


def attempted(
    lab_id: str,
    *,
    passed: bool,
    met: int,
    of: int,
    checks: Sequence[Mapping[str, Any]],
    missed: Mapping[str, Any] | None = None,
) -> Progress:
    """Record an attempt.

    checks: id, value and passed of each. met, of: without bonus checks. missed: results of missed predictions, by id;
    they count if the lab is passed.
    """
    outcomes = tuple(Outcome(id=one["id"], value=json_safe(one.get("value")), passed=one["passed"]) for one in checks)
    attempt = Attempt(time=_now(), passed=passed, met=met, of=of, checks=outcomes)
    share = met / of if of else 1.0

    def change(record: Record) -> dict[str, Any]:
        return {
            "attempts": (*record.attempts, attempt)[-KEPT_ATTEMPTS:],
            "count": record.count + 1,
            "best": share if record.best is None else max(share, record.best),
            "passed": record.passed or (attempt.time if passed else None),
            "missed": json_safe(dict(missed)) if passed and missed is not None else record.missed,
        }

    return _change(lab_id, change)


def read(lab_id: str) -> Progress:
    """Record that the learner has read the explanation."""
    return _change(lab_id, lambda _: {"read": True})


def _change(lab_id: str, changes: Callable[[Record], dict[str, Any]]) -> Progress:
    def change(progress: Progress) -> Progress:
        record = progress.of(lab_id)
        labs = {**progress.labs, lab_id: record.model_copy(update=changes(record))}
        return progress.model_copy(update={"last": lab_id, "labs": labs})

    return _write(change)


def _write(change: Callable[[Progress], Progress]) -> Progress:
    """Change the file. Raises DescentError, and leaves the file as it was, if it can't be written."""
    with _lock():
        old = _whole()
        new = change(old)
        if new != old:
            with _explained(_NOT_WRITTEN):
                _remove_leftovers()
                write_json(_file(), new.model_dump(mode="json"))
        return new


# --- the file ---


class _BrokenError(Exception):
    """The file is not what this version writes. Its text is a key of `_ASIDE`."""


def _file() -> Path:
    return state_dir() / FILE


def stamp() -> int:
    """Return another number once the file is another: whoever shows the progress reads it again then."""
    try:
        return _file().stat().st_mtime_ns
    except OSError:
        return 0


def _read() -> Progress:
    try:
        with _explained(_NOT_READ):
            data = json.loads(_file().read_bytes())
        return Progress.model_validate(data)
    except FileNotFoundError:
        return Progress()
    except ValidationError as error:
        newer = isinstance(data, dict) and isinstance(data.get("version"), int) and data["version"] > VERSION
        raise _BrokenError("newer" if newer else "broken") from error
    except (ValueError, RecursionError) as error:
        raise _BrokenError("broken") from error


def _whole() -> Progress:
    """Return the progress. Rename a broken file, with a note. The caller holds the lock."""
    try:
        return _read()
    except _BrokenError as error:
        word = str(error)
        aside = next(path for n in range(1, 1000) if not (path := state_dir() / f"labs.{word}-{n}.json").exists())
        with _explained(_NOT_RENAMED):
            os.rename(_file(), aside)
        return Progress(notes=(_(_ASIDE[word], file=clean(str(_file())), name=aside.name),))


@contextlib.contextmanager
def _lock() -> Iterator[None]:
    with _explained(_NOT_LOCKED):
        descriptor = os.open(made_state_dir() / "labs.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        ends = time.monotonic() + LONGEST_WAIT
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > ends:
                    raise DescentError(
                        _(
                            "{file}: another descent has locked it for {seconds:g} s",
                            file=clean(str(_file())),
                            seconds=LONGEST_WAIT,
                        )
                    ) from None
                time.sleep(_LOOK)
        yield
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def _explained(sentence: str) -> Iterator[None]:
    """Turn an OSError into a message that names the file and what to do about it."""
    try:
        yield
    except FileNotFoundError:
        raise
    except OSError as error:
        failed = _(sentence, file=clean(str(_file())), error=error.strerror)
        raise DescentError(f"{failed}. {_(_KEPT_THERE)}") from None


def _remove_leftovers() -> None:
    """Remove files of writers that were killed. This process holds the lock, so no other one writes now."""
    for leftover in state_dir().glob(f".{FILE}.*.tmp"):
        leftover.unlink(missing_ok=True)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
