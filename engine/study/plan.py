"""Planning of a study: every point of the grid is checked, and every job's command fixed, before anything trains."""

import shlex
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from descent.common import paths
from descent.common.errors import CannotGoOnError, DescentError, PresetError
from descent.common.files import DISK_FULL
from descent.common.i18n import _
from descent.common.project import PREFIX
from descent.common.settings import parse
from descent.common.text import clean
from descent.run.find import find_weights
from descent.run.folder import LONGEST_ID, check_id, new_id
from engine.preset import consent, datasets, schema
from engine.preset.find import find, read_text
from engine.preset.loading import Preset, load_preset
from engine.preset.overrides import FILES, toml
from engine.study import folder as folders
from engine.study.folder import Job, Study
from engine.study.vary import Axis, axes, grid, label, settings

MOST_JOBS = 10_000
_NUMBER = "-0000"
_COMPLAINTS = 5  # of points, before the rest is only counted


@dataclass(frozen=True)
class Wanted:
    """A new study as the command line asks for it."""

    source: str
    overrides: Sequence[str] = ()
    vary: Sequence[str] = ()
    repeats: int = 1
    name: str | None = None
    runs_dir: Path | None = None
    data_root: Path | None = None
    allow_code: bool = False


def plan(wanted: Wanted, studies: Path) -> Study:
    """Write the new study's folder and return the study. An existing folder of the same plan is returned as it is.

    Raises DescentError, and writes nothing, if a single point of it could not be trained.
    """
    varied = axes(wanted.vary)
    _check(wanted, varied)
    text = read_text(find(wanted.source))
    values = grid(varied)
    presets = _load(wanted, values)
    name = wanted.name or new_id(presets[0].name)
    place = studies / name
    if wanted.name is not None and folders.is_study(place):
        return _same_or_refuse(wanted, varied, folders.load(place), text)
    root = datasets.data_root(wanted.data_root).resolve()
    for data in (preset.data for preset in presets):
        if isinstance(data, schema.DownloadedData):
            (datasets.require_images if data.source == "images" else datasets.require)(data.name, root)
    code: dict[Path, bytes] = {}
    details = [_details(preset, place, code, wanted) for preset in presets]
    # Repeats are the outer loop, so that a study shows its whole curve early.
    jobs = [
        _job(name, len(values) * repeat + point, point, repeat, values[point], wanted, presets[point], details[point])
        for repeat in range(wanted.repeats)
        for point in range(len(values))
    ]
    data_root = str(root) if wanted.data_root is not None else None
    file = f"{presets[0].name}.toml"
    study = Study(place, file, tuple(wanted.overrides), varied, wanted.repeats, data_root, tuple(jobs))
    _write(study, text, code)
    folders.note_study(place)
    return study


def existing(word: str, studies: Path, given: Mapping[str, object]) -> Study:
    """Return the study called `word`, to continue it. Raises DescentError if options in `given` would change it."""
    study = folders.find(word, studies)
    for option, value in given.items():
        if value:
            raise DescentError(
                _(
                    "{option}: {study} continues as planned; a new study needs --vary KEY=[…] or --repeats N",
                    option=option,
                    study=study.name,
                )
            )
    return study


def _check(wanted: Wanted, varied: Sequence[Axis]) -> None:
    """Raise DescentError if the words contradict each other."""
    if wanted.name is not None:
        check_id(wanted.name)
        if len(wanted.name) > LONGEST_ID - len(_NUMBER):
            longest = LONGEST_ID - len(_NUMBER)
            raise DescentError(_("--id: a study's name has at most {longest} characters", longest=longest))
    if wanted.repeats < 1:
        raise DescentError(_("{option} {given}: must be 1 or more", option="--repeats", given=wanted.repeats))
    keys = {axis.key for axis in varied}
    for override in parse(wanted.overrides)[0]:
        key = ".".join(override.path)
        if key in keys:
            raise DescentError(_("{key} is given with --set and with --vary; keep one of the two", key=key))
    if "train.seed" in keys and wanted.repeats > 1:
        raise DescentError(_("--repeats sets train.seed itself; use --repeats or --vary train.seed=[…], not both"))
    runs = wanted.repeats
    for axis in varied:
        runs *= len(axis.values)
    if runs > MOST_JOBS:
        raise DescentError(
            _("this study would have {runs:,} runs; at most {most:,} are allowed", runs=runs, most=MOST_JOBS)
        )


def _load(wanted: Wanted, points: Sequence[dict[str, Any]]) -> list[Preset]:
    """Return the preset at each point. Raises PresetError with the problems of all points."""
    presets: list[Preset] = []
    problems: dict[str, list[str]] = {}  # a problem of all points is told once
    for values in points:
        try:
            presets.append(load_preset(wanted.source, [*wanted.overrides, *settings(values)]))
        except PresetError as error:
            text = str(error)
            for key in values:  # the user gave it with another option
                text = text.replace(f"--set: {key}", f"--vary: {key}")
            problems.setdefault(text, []).append(label(values))
    if not problems:
        return presets
    said = [
        text
        if len(where) == len(points)
        else _("at {points}: {problem}", points=", ".join(where[:_COMPLAINTS]), problem=text)
        for text, where in list(problems.items())[:_COMPLAINTS]
    ]
    more = len(problems) - len(said)
    raise PresetError("\n".join([*said, *([_("… and {number} more", number=more)] if more else [])]))


def _same_or_refuse(wanted: Wanted, varied: tuple[Axis, ...], there: Study, text: str) -> Study:
    """Return the existing study if the same command made it, as after the requeue of a batch job."""
    asked = (text, tuple(wanted.overrides), varied, wanted.repeats)
    try:
        before = there.preset_file.read_text(encoding="utf-8")
    except OSError as error:
        file = clean(str(there.preset_file))
        raise DescentError(_("{file}: can't be read: {error}", file=file, error=error.strerror)) from None
    if asked == (before, there.overrides, there.axes, there.repeats):
        return there
    raise DescentError(
        _(
            "--id {id}: {folder} already has a study of this name, with another preset or other values; choose "
            "another id, or continue that study: descent study run {word}",
            id=there.name,
            word=clean(shlex.quote(folders.word_for(there.folder))),
            folder=clean(str(there.folder.parent)),
        )
    )


def _details(preset: Preset, place: Path, code: dict[Path, bytes], wanted: Wanted) -> list[str]:
    """Return words of --set that fix what depends on the place and time of planning: paths, code, other runs."""
    tables = preset.settings.model_dump(by_alias=True, exclude_none=True)
    fixed: list[str] = []
    for section, spec in preset.code.items():
        key = f"{section}.code"
        project = consent.agreed_project(spec, wanted.allow_code, key=key)
        # The study keeps a copy of the code, so that a later edit of the files changes no job.
        kept = Path("code", project.name.removeprefix(PREFIX)[:12])
        code |= {kept / file: content for file, content in project.files.items()}
        name = spec.rpartition(":")[2]
        fixed.append(f"{key}={toml(f'{place / kept / project.entry}:{name}')}")
    for section, key in FILES:
        text = tables[section].get(key)
        if not text:
            continue
        if key == "from" and not Path(text).is_absolute():
            text = str(find_weights(text, paths.runs_dir(wanted.runs_dir)))  # `last` is soon one of the study's own
        fixed.append(f"{section}.{key}={toml(text)}")
    # A paused job would block the others until somebody looks at it.
    return [*fixed, 'train.on_nan="stop"'] if str(preset.train.on_nan) == "pause" else fixed


def _job(
    name: str,
    index: int,
    point: int,
    repeat: int,
    values: dict[str, Any],
    wanted: Wanted,
    preset: Preset,
    fixed: Sequence[str],
) -> Job:
    seed = preset.train.seed + repeat
    seeded = [f"train.seed={seed}"] if wanted.repeats > 1 else []
    threads = preset.train.threads
    return Job(
        index=index,
        id=f"{name}-{index:04}",
        point=point,
        repeat=repeat,
        seed=seed,
        values=values,
        settings=(*wanted.overrides, *settings(values), *seeded, *fixed),
        threads=None if threads == "auto" else threads,
        device=preset.train.device,
    )


def _write(study: Study, text: str, code: dict[Path, bytes]) -> None:
    """Write the study's folder, whole or not at all."""
    place = study.folder
    unfinished = place.parent / f".{place.name}.tmp"
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir(mode=0o700)
        for part in ("preset", "runs", "jobs"):
            (unfinished / part).mkdir()
        (unfinished / "preset" / study.preset).write_text(text, encoding="utf-8")
        for file, content in code.items():
            (unfinished / file).parent.mkdir(parents=True, exist_ok=True)
            (unfinished / file).write_bytes(content)
        folders.save(study, unfinished)
        unfinished.rename(place)
    except OSError as error:
        shutil.rmtree(unfinished, ignore_errors=True)
        kind = CannotGoOnError if error.errno in DISK_FULL else DescentError
        raise kind(
            _(
                "{folder}: the study's folder can't be made: {error}; choose another place with --studies-dir",
                folder=clean(str(place)),
                error=error.strerror,
            )
        ) from None
