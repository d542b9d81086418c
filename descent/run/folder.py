"""The run folder: its files, ids, and claiming a folder before torch is loaded."""

import errno
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

from descent.common.errors import CannotGoOnError, DescentError
from descent.common.files import DISK_FULL, open_regular, remove_leftovers
from descent.common.i18n import _
from descent.common.text import clean, show
from descent.run.events import Events, still_valid, valid_events
from descent.run.lock import WorkerLock
from descent.run.schema import CHECKPOINT, EVENTS, PARENT, damaged_file, read_facts, read_stored
from descent.run.state import State, StateReader

LONGEST_ID = 100  # characters; a file name has room for 255 bytes, and an id in Korean takes three for each
_LONGEST_STEM = 60
_RESERVED = ("last",)  # the word for the latest run
_READ_WHOLE = 64 << 20  # bytes of a checkpoint that is read to its end to know whether it is damaged


@dataclass(frozen=True)
class RunFolder:
    """One run's folder, from which all about the run is read."""

    path: Path

    @property
    def id(self) -> str:
        return self.path.name

    @property
    def preset(self) -> Path:
        return self.path / "preset.toml"

    @property
    def events_file(self) -> Path:
        return self.path / EVENTS

    @property
    def output(self) -> Path:
        return self.path / "output.log"

    @property
    def checkpoint_folder(self) -> Path:
        return self.path / "checkpoints"

    def checkpoint(self, step: int) -> Path:
        return self.checkpoint_folder / f"step-{step}.pt"

    def checkpoints(self, events: Sequence[dict[str, Any]] | None = None) -> list[int]:
        """Return the steps of the checkpoints up to the run's current step, ascending.

        Checkpoints that a rewind has voided are still on the disk, and are left out. events: the valid events, if the
        caller has read them already, so that a long log is not read again.
        """
        events = self.events() if events is None else events
        written = {event["step"] for event in events if event.get("event") == "checkpoint"}
        origin = self.origin()
        if origin is not None:
            written.add(origin["step"])
        return sorted(step for step in written if os.path.lexists(self.checkpoint(step)))

    def facts(self) -> dict[str, Any]:
        """Return run.json, empty before it is written."""
        return read_facts(self.path)

    def origin(self) -> dict[str, Any] | None:
        """Return parent.json of a fork: `run`, `dir`, `step` of its parent, `changed` keys, what was `measured`."""
        return read_stored(self.path, "parent.json", PARENT)

    def readable(self, step: int) -> dict[str, Any] | None:
        """Return step-N.json, the part of a checkpoint that needs no torch, or None if it is missing."""
        file = self.checkpoint(step).with_suffix(".json").relative_to(self.path)
        return read_stored(self.path, str(file), CHECKPOINT)

    def check_writable(self) -> None:
        """Raise DamagedError if a folder or a pipe is in the place of a file that a worker writes."""
        appended = [self.output, self.events_file, self.path / "worker.lock"]
        wrong = [file for file in appended if not file.is_file() and os.path.lexists(file)]
        wrong += [file for file in self.checkpoint_folder.glob("step-*") if file.is_dir()]
        if wrong:
            raise damaged_file(self.path, str(wrong[0].relative_to(self.path)), _("it is no regular file"))

    def events(self) -> list[dict[str, Any]]:
        """Return all events, except those that a later resume or rewind has voided."""
        return [event for _at, event in self.events_with_positions()]

    def events_with_positions(self) -> list[tuple[int, dict[str, Any]]]:
        """Return the same, each with the byte of events.jsonl where its line begins."""
        return valid_events(self.path)

    def events_until(self, step: int, log: int | None) -> list[dict[str, Any]]:
        """Return the events that stay valid after a rewind to step `step`, where the log ended at byte `log`."""
        return [event for _at, event in still_valid(self.events_with_positions(), to=step, log=log)]

    def state(self) -> State:
        """Return the last state written, or "lost" if the worker that wrote it is gone."""
        return StateReader(self.path).state()

    def host(self) -> str:
        """Return the machine that trained the run last, this machine's name until it is known."""
        return StateReader(self.path).host()

    def last(self, event: str, **wanted: Any) -> dict[str, Any] | None:
        """Return the latest event of a kind whose values are as `wanted`."""
        fitting = (e for e in reversed(self.events()) if {**e, **wanted, "event": event} == e)
        return next(fitting, None)


class Claim:
    """The run's lock and its log, whose first event is the start of a worker.

    Raises DescentError if another worker has the lock.
    """

    def __init__(self, folder: RunFolder) -> None:
        self.folder = folder
        self._lock = WorkerLock(folder.path)
        self.events = Events(folder.path)
        self.events.state("starting", pid=os.getpid(), host=socket.gethostname())
        self._lock.announce()
        pictures = folder.path / "pictures"
        for place in (folder.path, folder.checkpoint_folder, pictures, pictures / "kept"):
            remove_leftovers(place)  # of workers that were killed
        self.events.write("stage", stage="torch")

    def release(self) -> None:
        self.events.close()
        self._lock.release()


def new_id(preset_name: str) -> str:
    """Return <preset>-<yymmdd>-<hhmmss>-<4 letters>, whatever characters the preset's name has."""
    words = re.sub(r"[\s/\\:*?\"'<>|$`&;]+", "-", clean(unicodedata.normalize("NFC", preset_name)))
    stem = _fitting(words, _LONGEST_STEM).strip("-.~") or "run"
    letters = "".join(random.SystemRandom().choices(string.ascii_lowercase, k=4))
    return f"{stem}-{time.strftime('%y%m%d-%H%M%S')}-{letters}"


def check_id(wanted: str) -> None:
    """Raise DescentError if `wanted`, the value of --id, can't be a run's id."""
    if wanted in _RESERVED:
        raise DescentError(_("--id {id}: this word means the latest run; choose another id", id=wanted))
    if not wanted.strip() or wanted.startswith((".", "-", "~")) or "/" in wanted or clean(wanted) != wanted:
        raise DescentError(
            _(
                "--id {id}: must be a valid name of a folder: printable, without '/', not beginning with '.', '-' "
                "or '~'",
                id=show(wanted),
            )
        )
    if _fitting(wanted, LONGEST_ID) != wanted:
        raise DescentError(
            _("--id {id}: is too long; at most {longest} characters are allowed", id=show(wanted), longest=LONGEST_ID)
        )


def _fitting(text: str, longest: int) -> str:
    """Return the beginning of `text` with at most `longest` characters and 2 · `longest` bytes."""
    return text[:longest].encode()[: 2 * longest].decode(errors="ignore")


def create(
    runs: Path,
    run_id: str,
    preset_toml: str,
    code: Mapping[str, bytes],
    fill: Callable[[Path], None] | None = None,
) -> RunFolder:
    """Create a run folder, readable by its owner only, with the preset and the user's `code` files by name.

    fill: writes more into it before anybody can see it. Raises DescentError if the id is taken.
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
            (unfinished / "code" / name).parent.mkdir(parents=True, exist_ok=True)
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
            raise DescentError(_("{path} is not a folder; choose another place with --runs-dir", path=runs)) from None
        if error.errno in (errno.EEXIST, errno.ENOTEMPTY):
            raise DescentError(
                _(
                    "--id {id}: {folder} already has a run of this name; choose another id, or continue that run: "
                    "descent resume {id} (in a batch job: --resume-if-exists)",
                    id=run_id,
                    folder=runs,
                )
            ) from None
        kind = CannotGoOnError if error.errno in DISK_FULL else DescentError
        raise kind(
            _(
                "{folder}: the run folder can't be made: {error}; choose another place with --runs-dir",
                folder=path,
                error=error.strerror,
            )
        ) from None
    return RunFolder(path)


def verify_checkpoint(path: Path) -> None:
    """Raise ValueError, with the reason, if the file of a checkpoint is missing or damaged."""
    import zipfile

    try:
        with open_regular(path) as file, zipfile.ZipFile(file) as archive:
            wrong = archive.testzip()
    except FileNotFoundError:
        raise ValueError(missing(path)) from None
    except Exception as error:  # the file may hold anything
        raise ValueError(damaged(path, error)) from None
    if wrong is not None:
        raise ValueError(_("{file} is damaged (checksum of {part})", file=path.name, part=wrong))


def problem_with(path: Path) -> str | None:
    """Return why the file of a checkpoint can't be used, None if nothing is known against it.

    Of a large file only the directory is read: one that was cut off or overwritten is noticed in no time.
    """
    import zipfile

    try:
        if path.stat().st_size <= _READ_WHOLE:
            verify_checkpoint(path)
        else:
            with open_regular(path) as file, zipfile.ZipFile(file):
                pass
    except FileNotFoundError:
        return missing(path)
    except ValueError as error:
        return str(error)
    except Exception as error:  # the file may hold anything
        return damaged(path, error)
    return None


def missing(path: Path) -> str:
    """Return the message for a checkpoint that does not exist."""
    return _("{file} is missing", file=path.name)


def damaged(path: Path, error: Exception) -> str:
    """Return the message for a checkpoint that reading failed on."""
    reason = (str(error) or type(error).__name__).splitlines()[0]
    return _("{file} is damaged ({reason})", file=path.name, reason=reason)


def failed_at_start(state: str, step: int, origin: Mapping[str, Any] | None) -> bool:
    """Return whether a run failed before it kept a step of its own. origin: the start of a fork."""
    return state == "failed" and step <= (origin["step"] if origin is not None else 0)
