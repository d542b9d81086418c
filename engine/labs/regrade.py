"""Hand-ins of a whole class graded again, several at once, each in a process of its own.

What is graded is kept in the user's state folder, by what was handed in and what it was graded with. So a command
that was interrupted goes on where it was, and the table of a class knows what was verified.
"""

import contextlib
import hashlib
import json
import os
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from descent import warm
from descent.common.errors import DescentError
from descent.common.files import read_regular, write_json
from descent.common.i18n import _
from descent.common.paths import made_state_dir, state_dir
from descent.common.stages import hear
from descent.common.text import clean, shorten
from engine.labs.handed_in import LARGEST, MANIFEST, BrokenError, HandedIn, digest, read_object
from engine.labs.hidden import FILE
from engine.labs.library import Lab, find_lab
from engine.labs.sandbox.enclosure import ENOUGH, Level, Protection
from engine.labs.similar import Work, similar
from engine.labs.verdict import versions
from engine.labs.verify import GRADED, Row, broken, read_theirs, said_by

KEPT = 200 * 86400.0  # seconds that a result is kept


@dataclass(frozen=True)
class Settings:
    """How hand-ins are graded.

    least: the weakest protection under which code may run, or may have run for a result that is kept. instructor: the
    folder of hidden.toml. again: results that are kept are not used.
    """

    allow_code: bool = False
    least: Level = ENOUGH
    instructor: Path | None = None
    at_once: int = 1
    again: bool = False


@dataclass(frozen=True)
class Opened:
    """What a hand-in says before it is graded. row: with the result that is kept, if there is one.

    lab: ours, or None if there is none. key: of its result. about, verdict: as it brings them, nothing if it can't be
    read.
    """

    row: Row
    lab: Lab | None = None
    key: str = ""
    work: Work | None = None
    about: Mapping[str, Any] = field(default_factory=dict)
    verdict: Mapping[str, Any] = field(default_factory=dict)


Tell = Callable[[int, int, Row], None]  # how many are done, of how many, and the latest
TellWaiting = Callable[[HandedIn, str], None]  # a hand-in whose grading waits, and for what, in words


def half_the_cores() -> int:
    """Return how many gradings run at once: each has a process that trains and one of the code."""
    return max(1, len(os.sched_getaffinity(0)) // 2)


def looked_at(handed_in: Iterable[HandedIn], settings: Settings) -> list[Opened]:
    """Return what each hand-in says, with the result that is kept of it. Nothing is run."""
    hashes: dict[str, str] = {}
    return [_opened(one, settings, hashes) for one in handed_in]


def verify_all(
    handed_in: Sequence[HandedIn], settings: Settings, tell: Tell, tell_waiting: TellWaiting
) -> Generator[Row, None, None]:
    """Grade hand-ins, and yield a row for each as it is done. Labs that measure time come last, one after the other.

    A grading begins when there is memory for it: see descent.common.turn. tell_waiting: called in other threads.

    Close the iterator to end all that it has started.
    """
    opened = looked_at(handed_in, settings)
    common = similar({str(at): one.work for at, one in enumerate(opened) if one.work is not None})
    done = 0

    def told(at: int, row: Row) -> Row:
        nonlocal done
        done += 1
        row = row.but(similar=common.get(str(at), ""))
        tell(done, len(opened), row)
        return row

    left: list[int] = []
    for at, one in enumerate(opened):
        if one.lab is None or (one.row.outcome in GRADED and not settings.again):
            yield told(at, one.row)
        else:
            left.append(at)
    if len(left) > 1:
        warm.hold().join()  # each grading then begins at once
    others = [one.path.absolute() for one in handed_in]
    timed = [at for at in left if (lab := opened[at].lab) is not None and any(one.timed for one in lab.model.checks)]
    for together, at_once in ([at for at in left if at not in timed], settings.at_once), (timed, 1):
        with _Gradings(settings, others, at_once, tell_waiting) as gradings:
            for at, row in gradings.done({at: handed_in[at] for at in together}):
                _keep(opened[at].key, row)
                yield told(at, row)


class _Gradings:
    """Processes that grade, so many at once. `with` ends them all."""

    def __init__(self, settings: Settings, others: Sequence[Path], at_once: int, tell_waiting: TellWaiting) -> None:
        self._settings, self._others = settings, [str(path) for path in others]
        self._tell_waiting = tell_waiting
        self._pool = ThreadPoolExecutor(max_workers=max(1, at_once))
        self._running: set[warm.Process] = set()
        self._lock, self._ended = threading.Lock(), False

    def __enter__(self) -> "_Gradings":
        return self

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._ended = True
            for process in self._running:
                with contextlib.suppress(OSError):
                    process.terminate()
        self._pool.shutdown(wait=True, cancel_futures=True)

    def done(self, handed_in: dict[int, HandedIn]) -> Iterator[tuple[int, Row]]:
        """Yield each hand-in's row as it is graded."""
        futures: dict[Future[Row], int] = {self._pool.submit(self._row, one): at for at, one in handed_in.items()}
        while futures:
            # Not for ever: a signal is handled between two waits.
            for future in wait(futures, timeout=0.5, return_when="FIRST_COMPLETED").done:
                yield futures.pop(future), future.result()

    def _row(self, one: HandedIn) -> Row:
        asked = {
            "path": str(one.path.absolute()),
            "inside": one.inside,
            "allow_code": self._settings.allow_code,
            "least": self._settings.least,
            "instructor": str(self._settings.instructor.absolute()) if self._settings.instructor else None,
            "others": self._others,
        }

        def tell(stage: str, for_what: str) -> None:
            if stage == "waiting":
                self._tell_waiting(one, for_what)

        with tempfile.TemporaryFile() as out:
            with self._lock:
                if self._ended:
                    return _ended_early(one, "")
                process = warm.start("engine.labs.verify", json.dumps(asked), stdout=out, stderr=subprocess.PIPE)
                self._running.add(process)
            assert process.stderr is not None
            last = hear(process.stderr, tell)
            process.wait()
            with self._lock:
                self._running.discard(process)
            out.seek(0)
            try:
                return Row(**json.loads(out.read().splitlines()[-1]))
            except (ValueError, TypeError, IndexError):
                return _ended_early(one, last)


def _ended_early(one: HandedIn, last: str) -> Row:
    return broken(one, _("the grader ended unexpectedly: {error}", error=shorten(clean(last), 200) or "–"))


# --- what a hand-in says ---


def _opened(one: HandedIn, settings: Settings, hashes: dict[str, str]) -> Opened:
    try:
        with one.opened() as folder:
            said = said_by(one, folder)
            sha256 = digest(folder)
            about, verdict = read_object(folder, MANIFEST), _verdict(folder)
            code, runs = _text(folder / clean(f"{said.lab}.py").replace("/", "_")), _run_ids(folder)
    except (BrokenError, OSError) as error:
        return Opened(broken(one, str(error)))
    try:
        lab = find_lab(said.lab)
    except DescentError as error:
        return Opened(said.but(outcome="broken", why=shorten(str(error), 300)))
    start = lab.start_file.read_text(encoding="utf-8", errors="replace") if lab.start_file is not None else None
    if lab.id not in hashes:
        hashes[lab.id] = _hash_of(lab, settings)
    key = hashlib.sha256(f"{sha256} {hashes[lab.id]}".encode()).hexdigest()
    # A hand-in names its student itself, so somebody else may have uploaded a copy of it.
    named, account = said.student or said.name, ""
    if one.uploaded is not None:
        named, account = one.uploaded.name, f"{one.uploaded.system} {one.uploaded.id}"
    work = Work(named, lab.id, code if start is not None else None, start, runs, account)
    return Opened(_kept(key, said, settings.least if start is not None else None), lab, key, work, about, verdict)


def _verdict(folder: Path) -> dict[str, Any]:
    try:
        return read_theirs(folder)
    except BrokenError:
        return {}


def _text(path: Path) -> str | None:
    try:
        return read_regular(path, LARGEST, follow=False).decode(errors="replace")
    except OSError:
        return None


def _run_ids(folder: Path) -> frozenset[str]:
    try:
        edits = json.loads(_text(folder / "edits.json") or "[]")
        return frozenset(str(one["run"]) for one in edits)
    except (ValueError, TypeError, KeyError, RecursionError):
        return frozenset()


# --- what is kept ---


def _hash_of(lab: Lab, settings: Settings) -> str:
    """Return a hash of everything that a grading depends on besides the hand-in."""
    found = hashlib.sha256(json.dumps([versions(), lab.id], sort_keys=True).encode())
    files = sorted(path for path in lab.folder.iterdir() if path.suffix in (".toml", ".py"))
    files += [settings.instructor / lab.id / FILE] if settings.instructor is not None else []
    for path in files:
        found.update(b"\0" + (path.read_bytes() if path.is_file() else b""))
    return found.hexdigest()


def _folder() -> Path:
    return state_dir() / "verified"


def _kept(key: str, said: Row, least: Level | None) -> Row:
    """Return the result that is kept, or what the hand-in says.

    least: the weakest protection under which its code may have run, None if it has no code. What ran under less may
    have written its own result.
    """
    try:
        kept = Row(**json.loads((_folder() / f"{key}.json").read_bytes()))
        if least is None or (kept.level and Protection(kept.level).is_at_least(least)):
            return kept.but(name=said.name, uploaded=said.uploaded, owner=said.owner)
    except (OSError, ValueError, TypeError):
        pass
    return said


def _keep(key: str, row: Row) -> None:
    if not key or row.outcome not in GRADED:
        return
    folder = made_state_dir() / "verified"
    folder.mkdir(mode=0o700, exist_ok=True)
    write_json(folder / f"{key}.json", asdict(row))
    for old in folder.glob("*.json"):
        with contextlib.suppress(OSError):
            if time.time() - old.stat().st_mtime > KEPT:
                old.unlink()
