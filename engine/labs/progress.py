"""How far the learner is: one file in the user's state, changed by one process at a time, never half written."""

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
from descent.common.paths import made_state_dir, state_dir
from descent.common.text import clean

FILE = "labs.json"
VERSION = 1
KEPT_ATTEMPTS = 50
LONGEST_WAIT = 10.0  # seconds for the lock, which nobody holds longer than a write to the disk
_LOOK = 0.02

State = Literal["new", "started", "passed"]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class Outcome(_Part):
    """What became of one check."""

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
    """One lab of one learner. Times are ISO 8601, in UTC."""

    started: str | None = None
    folder: str | None = None
    predictions: dict[str, Any] = {}
    hints: Annotated[int, Field(ge=0, le=3)] = 0
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
    """All labs of one learner. `notes` are what to tell once, and are not kept."""

    version: Literal[1] = 1
    last: str | None = None
    labs: dict[str, Record] = {}
    notes: Annotated[tuple[str, ...], Field(exclude=True)] = ()

    def of(self, lab_id: str) -> Record:
        """The record of a lab; an empty one where nothing was done yet."""
        return self.labs.get(lab_id, Record())


def load() -> Progress:
    """What is kept; a fresh one where nothing is, or where the file is broken, which is then moved aside.

    DescentError where the file is there and can't be read.
    """
    try:
        return _read()
    except _BrokenError:
        with _lock():
            return _whole()


def started(lab_id: str, folder: Path) -> Progress:
    """The learner has the lab's files in `folder`."""
    return _change(lab_id, lambda record: {"started": record.started or _now(), "folder": str(folder.absolute())})


def predicted(lab_id: str, answers: Mapping[str, Any]) -> Progress:
    """Keep predictions. One that was made before stays as it is."""
    return _change(lab_id, lambda record: {"predictions": {**answers, **record.predictions}})


def hinted(lab_id: str, level: int) -> Progress:
    """The learner has seen the hint of that level."""
    return _change(lab_id, lambda record: {"hints": max(level, record.hints)})


def attempted(lab_id: str, *, passed: bool, met: int, of: int, checks: Sequence[Mapping[str, Any]]) -> Progress:
    """The lab was graded. checks: id, value and passed of each; `met` and `of` leave the bonus out."""
    outcomes = tuple(Outcome(id=one["id"], value=json_safe(one.get("value")), passed=one["passed"]) for one in checks)
    attempt = Attempt(time=_now(), passed=passed, met=met, of=of, checks=outcomes)
    share = met / of if of else 1.0

    def change(record: Record) -> dict[str, Any]:
        return {
            "attempts": (*record.attempts, attempt)[-KEPT_ATTEMPTS:],
            "count": record.count + 1,
            "best": share if record.best is None else max(share, record.best),
            "passed": record.passed or (attempt.time if passed else None),
        }

    return _change(lab_id, change)


def read(lab_id: str) -> Progress:
    """The learner has read the explanation and goes on."""
    return _change(lab_id, lambda _: {"read": True})


def _change(lab_id: str, changes: Callable[[Record], dict[str, Any]]) -> Progress:
    def change(progress: Progress) -> Progress:
        record = progress.of(lab_id)
        labs = {**progress.labs, lab_id: record.model_copy(update=changes(record))}
        return progress.model_copy(update={"last": lab_id, "labs": labs})

    return _write(change)


def _write(change: Callable[[Progress], Progress]) -> Progress:
    """Change the file. DescentError where it can't be written; the file is then as it was."""
    with _lock():
        old = _whole()
        new = change(old)
        if new != old:
            with _told("written; nothing was changed"):
                _remove_leftovers()
                write_json(_file(), new.model_dump(mode="json"))
        return new


# --- the file ---


class _BrokenError(Exception):
    """The file is there and is not what this version writes."""


def _file() -> Path:
    return state_dir() / FILE


def _read() -> Progress:
    try:
        with _told("read"):
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
    """What is kept; what is broken is moved aside, and that is noted. Only under the lock."""
    try:
        return _read()
    except _BrokenError as error:
        word = str(error)
        aside = next(path for n in range(1, 1000) if not (path := state_dir() / f"labs.{word}-{n}.json").exists())
        with _told("moved aside"):
            os.rename(_file(), aside)
        why = "was written by a newer version of Descent" if word == "newer" else "was broken"
        return Progress(notes=(f"{clean(str(_file()))} {why}; it is kept as {aside.name}, and labs begin anew",))


@contextlib.contextmanager
def _lock() -> Iterator[None]:
    with _told("locked"):
        descriptor = os.open(made_state_dir() / "labs.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        ends = time.monotonic() + LONGEST_WAIT
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > ends:
                    raise DescentError(f"{clean(str(_file()))}: another descent has held it for 10 s") from None
                time.sleep(_LOOK)
        yield
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def _told(what: str) -> Iterator[None]:
    """An OSError as a message that says which file, and what to do about it."""
    try:
        yield
    except FileNotFoundError:
        raise
    except OSError as error:
        raise DescentError(
            f"{clean(str(_file()))} can't be {what}: {error.strerror}; your progress in the labs is kept there "
            "($XDG_STATE_HOME names another folder)"
        ) from None


def _remove_leftovers() -> None:
    """Files of writers that were killed; nobody writes beside us, we hold the lock."""
    for leftover in state_dir().glob(f".{FILE}.*.tmp"):
        leftover.unlink(missing_ok=True)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
