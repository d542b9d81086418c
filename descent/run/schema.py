"""What the files of a run folder hold, and the one way to read them. Anybody may have written them.

A file that holds anything else raises DamagedError, which names the run, the file, the place in it, and what to do.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, NoReturn

from descent.common.errors import DamagedError
from descent.common.files import JsonLinesReader, open_regular, read_regular
from descent.common.i18n import N_, _
from descent.common.text import clean, shorten, show, why_unreadable

EVENTS = "events.jsonl"
LARGEST = 1 << 26  # bytes of a file of JSON; that of a thousand members has some hundred thousand
_LARGEST_NUMBER = 1 << 53


def damaged_file(run: Path, file: str, what: str) -> DamagedError:
    """Return the error for a file of the run in the folder `run`. what: what is wrong with it, as a clause."""
    return DamagedError(
        _(
            "run {run}: {file} is damaged: {what}; restore this file, or delete the run: descent rm {run}",
            run=clean(run.name),
            file=clean(file),
            what=shorten(clean(what), 200),
        )
    )


class Stored(dict[str, Any]):
    """An object of a file of a run. A key that it lacks is a damage of the file, unless `get` asks for it."""

    def __init__(self, values: Mapping[str, Any], run: Path, file: str) -> None:
        super().__init__(values)
        self._run, self._file = run, file

    def __missing__(self, key: str) -> NoReturn:
        raise damaged_file(self._run, self._file, _("{key} is missing", key=key))


# --- shapes ---


@dataclass(frozen=True)
class Kind:
    """A value without parts. what: how a message calls it."""

    what: str
    fits: Callable[[Any], bool]


@dataclass(frozen=True)
class ListOf:
    """A list of values of one shape. least: how many it has at least."""

    item: "Shape"
    least: int = 0


@dataclass(frozen=True)
class Record:
    """An object. Keys that are named nowhere may hold anything."""

    required: Mapping[str, "Shape"] = field(default_factory=dict)
    optional: Mapping[str, "Shape"] = field(default_factory=dict)


Shape = Kind | ListOf | Record

TEXT = Kind(N_("a text"), lambda value: type(value) is str)
TABLE = Kind(N_("an object"), lambda value: type(value) is dict)
COUNT = Kind(N_("a whole number, 0 or more"), lambda value: type(value) is int and 0 <= value <= _LARGEST_NUMBER)
NUMBER = Kind(
    N_("a number"),
    lambda value: type(value) is float or (type(value) is int and abs(value) <= _LARGEST_NUMBER),
)
TRUTH = Kind(N_("true or false"), lambda value: type(value) is bool)
ANYTHING = Kind(N_("a value"), lambda value: True)
TIME = Kind(
    N_("a time in seconds since 1970"),
    lambda value: type(value) in (int, float) and 0 <= value < 1e11,
)


def or_null(kind: Kind) -> Kind:
    return Kind(kind.what, lambda value: value is None or kind.fits(value))


def one_of(*words: str) -> Kind:
    return Kind(" | ".join(words), lambda value: value in words)


RUN = Record(
    required={"started": TIME},
    optional={
        "preset": TEXT,
        "host": TEXT,
        "device": TEXT,
        "device_name": TEXT,
        "threads": COUNT,  # of each process
        "processes": COUNT,  # that train it together; none is written for one
        "statistics_every": COUNT,
        "is_chosen": TRUTH,  # whether a loop of one's own has chosen that number by measuring its first steps
        "data_root": TEXT,
        "samples": Record(optional={"train": COUNT, "validation": COUNT, "test": COUNT}),
        "task": TEXT,
        "input_shape": ListOf(COUNT),
        "parameters": COUNT,
        "steps_per_epoch": COUNT,
        "batch_size": or_null(COUNT),
        "last_batch": or_null(COUNT),
        "total_steps": COUNT,
        "way": TEXT,
        "settings": ListOf(Record({"name": TEXT}, {"minimum": or_null(NUMBER), "maximum": or_null(NUMBER)})),
        "actions": ListOf(TEXT),
    },
)
PARENT = Record(
    required={"run": TEXT, "dir": TEXT, "step": COUNT},
    optional={"changed": ListOf(TEXT), "measured": TABLE, "member": COUNT},
)
LOOP_FILE = "loop.json"  # how a loop of one's own was started; a preset's run has none
LOOP = Record(
    required={"command": ListOf(TEXT), "folder": TEXT, "arguments": ListOf(TEXT)},
    optional={
        **dict.fromkeys(("script", "file", "commit", "digest"), or_null(TEXT)),
        "environment": TABLE,
        "processes": COUNT,
        "is_typed_in": TRUTH,
    },
)
_MODEL = Record({"seed": COUNT, "values": TABLE}, {"member": COUNT, "fold": or_null(COUNT)})
LAYOUT = Record(
    required={
        "columns": ListOf(TEXT, least=1),
        "members": ListOf(
            Record({"seed": COUNT, "values": TABLE}, {"member": COUNT, "fold": or_null(COUNT)}), least=1
        ),
        "layers": ListOf(Record({"name": TEXT, "kind": TEXT})),
    }
)
CHECKPOINT = Record(optional={"step": COUNT, "epoch": COUNT, "edits": ListOf(TEXT), "log": or_null(COUNT)})
NO_VALUES = frozenset({"time", "event", "step", "split", "member"})  # of an evaluation, what no metric is called
_ARGUMENTS = Record(optional={"edits": ListOf(TEXT)})
# A line of replay.jsonl.
SCRIPT = Record({"step": COUNT, "command": TEXT, "arguments": _ARGUMENTS}, {"given_by": TEXT})
_STATE = Record({"state": one_of("starting", "running", "paused", "finished", "stopped", "failed", "lost")})
_MEMBER = Record({"state": one_of("diverged", "stopped early"), "member": COUNT})
_OF_KIND = {"state": _STATE, "member": _MEMBER}
# A key means the same in all kinds of events, so that one look at each key is enough.
EVENT = Record(
    required={"event": TEXT},
    optional={
        **dict.fromkeys(
            ("step", "to", "epoch", "per_epoch", "total_steps", "size", "last_batch", "since", "pid"), COUNT
        ),
        **dict.fromkeys(("member", "log", "best", "checkpoint"), or_null(COUNT)),
        **dict.fromkeys(("loss", "accuracy", "train_loss", "score", "lr", "lr_scale", "plateau"), or_null(NUMBER)),
        **dict.fromkeys(("balanced_accuracy", "f1", "r2", "rmse"), or_null(NUMBER)),
        **dict.fromkeys(("start", "lowest", "update_ratio", "cpu_seconds"), or_null(NUMBER)),
        **dict.fromkeys(("split", "command", "host", "stage", "file", "message", "what", "by", "began"), TEXT),
        "given_by": TEXT,
        **dict.fromkeys(("reason", "layer", "kind"), or_null(TEXT)),
        "time": TIME,
        "steps": ListOf(COUNT),
        "at": ListOf(COUNT),
        "rates": ListOf(NUMBER),
        "members": ListOf(COUNT),
        "values": TABLE,
        "pace": TABLE,
        "arguments": _ARGUMENTS,
    },
)


class ShapeError(Exception):
    """What is wrong with a file or a value in it: "layers[2].name must be a text, not 3"."""


def _check(shape: Shape, value: Any, where: str = "") -> None:
    """Raise ShapeError for the first thing that is wrong with a value. where: its place, for the message."""
    match shape:
        case Kind():
            if not shape.fits(value):
                raise _wrong(where, _(shape.what), value)
        case ListOf():
            if type(value) is not list or len(value) < shape.least:
                raise _wrong(where, _("a list that is not empty") if shape.least else _("a list"), value)
            for index, item in enumerate(value):
                _check(shape.item, item, f"{where}[{index}]")
        case Record():
            if not isinstance(value, dict):
                raise _wrong(where, _("an object"), value)
            place = f"{where}." if where else ""
            for key in shape.required:
                if key not in value:
                    raise ShapeError(_("{key} is missing", key=place + key))
            for key, inner in value.items():
                of_key = shape.optional.get(key) or shape.required.get(key)
                if of_key is not None:
                    _check(of_key, inner, place + key)


def _wrong(where: str, what: str, given: Any) -> ShapeError:
    shown = "null" if given is None else show(given)
    if not where:
        return ShapeError(_("it must hold {what}, not {given}", what=what, given=shown))
    return ShapeError(_("{key} must be {what}, not {given}", key=where, what=what, given=shown))


# --- reading ---


def read_object(file: Path, shape: Record, most: int = LARGEST, *, follow: bool = True) -> dict[str, Any]:
    """Return the object that a file of at most `most` bytes holds. follow: whether it may be a link.

    Raises FileNotFoundError, and ShapeError for everything else that is wrong with it.
    """
    try:
        found: dict[str, Any] = json.loads(read_regular(file, most, follow=follow))
        _check(shape, found)
    except FileNotFoundError:
        raise
    except RecursionError:
        raise ShapeError(_("lists are nested too deep")) from None
    except (OSError, ValueError) as error:
        raise ShapeError(why_unreadable(error)) from None
    return found


def read_stored(run: Path, file: str, shape: Record) -> Stored | None:
    """Return an object that a file of the run holds, or None if there is no such file. Raises DamagedError."""
    try:
        return Stored(read_object(run / file, shape), run, file)
    except FileNotFoundError:
        return None
    except ShapeError as error:
        raise damaged_file(run, file, str(error)) from None


def read_facts(run: Path) -> Stored:
    """Return run.json of the run in the folder `run`, empty before it is written. Raises DamagedError."""
    return read_stored(run, "run.json", RUN) or Stored({}, run, "run.json")


class EventReader(JsonLinesReader):
    """A reader of events.jsonl, or of a file like it. Raises DamagedError for an object that is not of this shape."""

    def __init__(self, run: Path, file: str = EVENTS, shape: Record = EVENT) -> None:
        super().__init__(run / file)
        self._run, self._file, self._shape = run, file, shape

    def _open(self) -> IO[bytes]:
        try:
            return open_regular(self._path)
        except FileNotFoundError:
            raise
        except OSError as error:
            raise damaged_file(self._run, self._file, why_unreadable(error)) from None

    def _object(self, line: bytes) -> dict[str, Any] | None:
        found = super()._object(line)
        if found is None:
            return None
        try:
            _check(self._shape, found)
            if found.get("event") in _OF_KIND:
                _check(_OF_KIND[found["event"]], found)
        except ShapeError as error:
            raise damaged_file(self._run, self._file, str(error)) from None
        return Stored(found, self._run, self._file)
