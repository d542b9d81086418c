"""A study's folder: what was planned, where each job's run is, and finding studies by a word.

studies/NAME/
    study.json          the plan: what varies, and each job with the words of its command; written once
    on.json             the options of `descent study run` that chose who trains the jobs; none if this machine does
    preset/PRESET.toml  the preset's text as it was when the study was planned
    code/HASH/FILE.py   the user's own code that it names
    runs/NAME-0007/     the jobs' runs, from which all results are read
    jobs/NAME-0007/     the output of the job's process (log), and the lock that it holds

A study is removed with all its runs, but never while it trains, and never with files that Descent did not write.
"""

import contextlib
import json
import os
import shlex
import shutil
import sys
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from descent.common import paths
from descent.common.errors import DescentError
from descent.common.files import write_atomically
from descent.common.i18n import _, ngettext
from descent.common.paths import note, notes
from descent.common.text import clean, did_you_mean, shorten, show
from descent.run.folder import RunFolder
from descent.run.lock import worker_pid
from descent.run.remove import refuse_delete
from descent.run.schema import ANYTHING, COUNT, TABLE, TEXT, ListOf, Record, ShapeError, or_null, read_object
from engine.study.vary import Axis, grid, settings

_VERSION = 1
_LONGEST_CHOICE = 12
_OWN = {"study.json", "on.json", "preset", "code", "runs", "jobs", "worker.lock"}


@dataclass(frozen=True)
class Job:
    """One run of a study.

    settings: words of --set. threads: those of the preset, None if it leaves them open.
    """

    index: int
    id: str
    point: int
    repeat: int
    seed: int
    values: dict[str, Any]
    settings: tuple[str, ...]
    threads: int | None
    device: str


@dataclass(frozen=True)
class Study:
    """A study's plan. Its results are in the folders of its runs."""

    folder: Path
    preset: str  # the name of its file
    overrides: tuple[str, ...]
    axes: tuple[Axis, ...]
    repeats: int
    data_root: str | None
    jobs: tuple[Job, ...]

    @property
    def name(self) -> str:
        return self.folder.name

    @property
    def preset_file(self) -> Path:
        return self.folder / "preset" / self.preset

    @property
    def runs(self) -> Path:
        return self.folder / "runs"

    def run(self, job: Job) -> RunFolder:
        return RunFolder(self.runs / job.id)

    def process(self, job: Job) -> Path:
        """Return the folder of the job's log, and of the lock that its process holds."""
        return self.folder / "jobs" / job.id

    def log(self, job: Job) -> Path:
        return self.process(job) / "log"

    def words(self, job: Job, threads: int | None = None) -> list[str]:
        """Return the words after `descent` that train this job.

        threads: its share of the machine, used if its preset leaves that open.
        """
        share = [f"train.threads={threads}"] if threads is not None and job.threads is None else []
        words = ["run", str(self.preset_file)]
        for setting in (*job.settings, *share):
            words += ["--set", setting]
        words += ["--id", job.id, "--resume-if-exists", "--runs-dir", str(self.runs)]
        if self.data_root is not None:
            words += ["--data-root", self.data_root]
        return [*words, "--quiet", "--json"]


# --- the file ---


def save(study: Study, folder: Path) -> None:
    """Write study.json into `folder`, which is not yet at the study's own path."""
    jobs = [
        {
            "index": job.index,
            "id": job.id,
            "point": job.point,
            "repeat": job.repeat,
            "seed": job.seed,
            "values": job.values,
            "set": job.settings,
            "threads": job.threads,
            "device": job.device,
            "command": ["descent", *study.words(job)],
        }
        for job in study.jobs
    ]
    plan = {
        "version": _VERSION,
        "study": study.name,
        "preset": study.preset,
        "set": study.overrides,
        "vary": {axis.key: axis.values for axis in study.axes},
        "repeats": study.repeats,
        "data_root": study.data_root,
        "created": round(time.time(), 3),
        "jobs": jobs,
    }
    write_atomically(folder / "study.json", _one_job_a_line(plan).encode(errors="backslashreplace"))


def _one_job_a_line(plan: dict[str, Any]) -> str:
    """Return JSON that people can read, and search for a job with grep."""
    parts = {key: json.dumps(value, ensure_ascii=False) for key, value in plan.items() if key != "jobs"}
    parts["jobs"] = "[\n  " + ",\n  ".join(json.dumps(job, ensure_ascii=False) for job in plan["jobs"]) + "\n ]"
    return "{\n" + ",\n".join(f' "{key}": {text}' for key, text in parts.items()) + "\n}\n"


_JOB = Record(
    {
        **dict.fromkeys(("index", "point", "repeat", "seed"), COUNT),
        "values": TABLE,
        "set": ListOf(TEXT),
        "threads": or_null(COUNT),
        "device": TEXT,
    }
)
_PLAN = Record(
    {
        "preset": TEXT,
        "set": ListOf(TEXT),
        "vary": TABLE,
        "repeats": COUNT,
        "data_root": or_null(TEXT),
        "jobs": ListOf(_JOB, least=1),
    }
)


def load(folder: Path) -> Study:
    """Return the study in `folder`. Raises DescentError if its plan can't be read."""
    folder = folder.absolute()
    file = folder / "study.json"
    try:
        version = read_object(file, Record({"version": ANYTHING}))["version"]
        if version != _VERSION:
            raise DescentError(
                _(
                    "{file}: has version {given}; this Descent reads version {known}",
                    file=clean(str(file)),
                    given=show(version),
                    known=_VERSION,
                )
            )
        return _read(read_object(file, _PLAN), folder)
    except FileNotFoundError as error:
        raise DescentError(_("{file}: can't be read: {error}", file=clean(str(file)), error=error.strerror)) from None
    except ShapeError as error:
        raise DescentError(
            _(
                "{file} is damaged: {what}; restore this file, or plan the study again under another --id",
                file=clean(str(file)),
                what=shorten(clean(str(error)), 200),
            )
        ) from None


def _read(plan: dict[str, Any], folder: Path) -> Study:
    jobs = [
        Job(
            index=job["index"],
            id=f"{folder.name}-{job['index']:04}",
            point=job["point"],
            repeat=job["repeat"],
            seed=job["seed"],
            values=job["values"],
            settings=tuple(job["set"]),
            threads=job["threads"],
            device=job["device"],
        )
        for job in plan["jobs"]
    ]
    _check_grid(plan, jobs)
    axes = tuple(Axis(key, tuple(values)) for key, values in plan["vary"].items())
    preset, data_root = Path(plan["preset"]).name, plan["data_root"]
    return Study(folder, preset, tuple(plan["set"]), axes, plan["repeats"], data_root, tuple(jobs))


def _check_grid(plan: dict[str, Any], jobs: Sequence[Job]) -> None:
    """Raise ShapeError unless the jobs are those of the grid: another number or setting would be a wrong result."""
    count = plan["repeats"]
    for key, values in plan["vary"].items():
        if not isinstance(values, list) or not values:
            raise ShapeError(
                _(
                    "{key} must be {what}, not {given}",
                    key=f"vary.{key}",
                    what=_("a list that is not empty"),
                    given=show(values),
                )
            )
        count *= len(values)
    if count != len(jobs):
        raise ShapeError(
            _("it has {jobs:,} jobs, but its values and repeats make {count:,}", jobs=len(jobs), count=count)
        )
    points = grid([Axis(key, tuple(values)) for key, values in plan["vary"].items()])
    for number, job in enumerate(jobs):
        repeat, point = divmod(number, len(points))
        seed = points[point].get("train.seed", jobs[point].seed + repeat)
        seeded = [f"train.seed={seed}"] if plan["repeats"] > 1 else []
        chosen = [*plan["set"], *settings(points[point]), *seeded]
        planned = (number, point, repeat, seed, points[point], chosen)
        found = (job.index, job.point, job.repeat, job.seed, job.values, list(job.settings[: len(chosen)]))
        if found != planned:
            raise ShapeError(_("jobs[{number}] is not the job that its values and repeats make", number=number))


# --- who trains it ---


def note_engine(study: Study, words: Sequence[str]) -> None:
    """Keep the options that chose who trains the jobs, for the command that continues them. words: none for here."""
    file = study.folder / "on.json"
    if words:
        write_atomically(file, json.dumps({"words": list(words)}).encode())
    else:
        file.unlink(missing_ok=True)


def continuing(study: Study) -> str:
    """Return the command that continues the study where its jobs were trained the last time."""
    try:
        words = read_object(study.folder / "on.json", Record({"words": ListOf(TEXT)}))["words"]
    except (OSError, ShapeError):
        words = []
    return clean(shlex.join(["descent", "study", "run", word_for(study.folder), *words]))


# --- finding ---


def word_for(folder: Path) -> str:
    """Return the word that names a study in commands given here: its name, or its path if it is not in `studies`."""
    there = studies_dir(None, None).resolve() == folder.parent.resolve()
    return folder.name if there else str(folder.absolute())


def studies_dir(given: Path | None, runs_dir: Path | None) -> Path:
    """Return the absolute folder of all studies: as given, else `studies` next to the runs folder."""
    if given is not None:
        return given.expanduser().absolute()
    return paths.runs_dir(runs_dir).parent / "studies"


def is_study(folder: Path) -> bool:
    """Return whether this is a study's folder."""
    try:
        return (folder / "study.json").is_file()
    except (OSError, ValueError):
        return False


def note_study(folder: Path) -> None:
    """Note in the user's state that this study exists, so that it is found from any folder."""
    # A full or read-only home must not stop a study.
    with contextlib.suppress(OSError, ValueError):
        note("studies.jsonl", {"time": time.time(), "dir": str(folder)})


def known(studies: Path) -> list[Path]:
    """Return the studies in the folder `studies`, and those noted elsewhere, the latest first."""
    found: dict[Path, float] = {}
    for folder in (*_inside(studies), *_noted()):
        with contextlib.suppress(OSError):
            if is_study(folder):
                found[folder.resolve()] = (folder / "study.json").stat().st_mtime
    return sorted(found, key=lambda folder: (found[folder], folder.name), reverse=True)


def find(word: str, studies: Path) -> Study:
    """Return a study by its name, a unique beginning of it, its last four letters, its path, or `last`."""
    if os.sep in word or word.startswith(("~", ".")):
        folder = Path(word).expanduser().absolute()
        if is_study(folder):
            return load(folder)
        raise DescentError(_("{folder}: is not a study folder (it has no study.json)", folder=show(word)))
    there = known(studies)
    if word == "last" and there:
        return load(there[0])
    exact = [folder for folder in there if folder.name == word]
    inside = [folder for folder in exact if folder.parent == studies.resolve()]
    short = [folder for folder in there if word and (folder.name.startswith(word) or folder.name[-5:] == f"-{word}")]
    for candidates in (inside, exact, short):
        if len(candidates) == 1:
            return load(candidates[0])
    if exact or short:
        choices = "\n".join(f"  {clean(str(folder))}" for folder in (exact or short)[:_LONGEST_CHOICE])
        raise DescentError(_("{word}: fits more than one study:\n{choices}", word=show(word), choices=choices))
    raise DescentError(_no_study(word, studies, [folder.name for folder in there]))


def _no_study(word: str, studies: Path, names: list[str]) -> str:
    new = _("a new study needs a preset, and --vary KEY=[…] or --repeats N")
    unknown = _("{word}: no such study", word=show(word)) + did_you_mean(word, names)
    if not names:
        return f"{unknown}; {_('{folder} has no studies', folder=clean(str(studies)))}; {new}"
    listed = ", ".join(clean(name) for name in names[:_LONGEST_CHOICE])
    return f"{unknown}; {_('the latest are {names}', names=listed)}; {new}"


def _inside(studies: Path) -> list[Path]:
    try:
        return list(studies.iterdir())
    except OSError:
        return []


def _noted() -> Iterable[Path]:
    return (Path(entry["dir"]) for entry in notes("studies.jsonl") if isinstance(entry.get("dir"), str))


def remove(study: Study, *, yes: bool) -> None:
    """Delete the study's folder, once the user has agreed. Raises DescentError if it must not be deleted."""
    _refuse(study)
    path, count = clean(str(study.folder)), len(list(study.runs.iterdir()))
    if not yes:
        if not sys.stdin.isatty():
            raise DescentError(
                ngettext(
                    "{folder} would be deleted with its {count} run; confirm with --yes",
                    "{folder} would be deleted with its {count:,} runs; confirm with --yes",
                    count,
                    folder=path,
                )
            )
        asked = ngettext(
            "delete {folder} with its {count} run? [y/N]",
            "delete {folder} with its {count:,} runs? [y/N]",
            count,
            folder=path,
        )
        if input(f"{asked} ").strip().lower() not in ("y", "yes"):
            print(_("kept"))
            return
    try:
        shutil.rmtree(study.folder)
    except OSError as error:
        raise DescentError(
            _("{folder}: can't be deleted completely: {error}", folder=path, error=error.strerror)
        ) from None
    print(_("deleted {folder}", folder=path))


def _refuse(study: Study) -> None:
    pid = worker_pid(study.folder)
    if pid is not None:
        raise DescentError(
            _("{study} is training in process {pid}; stop it first, with Ctrl-C there", study=study.name, pid=pid)
        )
    for job in study.jobs:
        held = worker_pid(study.process(job))
        if held is not None:
            raise DescentError(
                _("{run} is training in process {pid}; stop it first: descent stop {run}", run=job.id, pid=held)
            )
        if study.run(job).path.is_dir():
            refuse_delete(study.run(job))
    known = {job.id for job in study.jobs}
    foreign = [entry.name for entry in study.folder.iterdir() if entry.name not in _OWN]
    foreign += [f"runs/{entry.name}" for entry in study.runs.iterdir() if entry.name not in known]
    if foreign:
        names = ", ".join(clean(name) for name in sorted(foreign)[:5])
        raise DescentError(
            _(
                "{folder} has files that Descent did not write: {names}; nothing was deleted",
                folder=clean(str(study.folder)),
                names=names,
            )
        )
