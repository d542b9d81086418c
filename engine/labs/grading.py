"""The one grader: what the learner sees is what the instructor runs.

    python -P -m engine.labs.grading LAB [--quick | --draw]

grades the learner's work in this process. It runs none of the learner's code: graded runs and the learner's functions
have processes of their own. The last line of stdout is the verdict, as JSON.
"""

import fcntl
import json
import os
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from descent.common import stages, stdio, turn
from descent.common.errors import CannotGoOnError, DescentError, ExitCode
from descent.common.exit import end
from descent.common.i18n import _
from descent.common.machine import die_with_parent
from descent.common.paths import made_state_dir, state_dir
from descent.common.stages import Tell
from engine.labs import drawing, progress
from engine.labs.checks import criterion
from engine.labs.checks.names import OF_CODE, OF_DATA, OF_MODELS, OF_RUNS, used
from engine.labs.format import Check
from engine.labs.graded_runs import CheckContext
from engine.labs.library import Lab, find_lab
from engine.labs.sandbox.client import Limits
from engine.labs.sandbox.enclosure import Level
from engine.labs.submission import Change, Part, Submission, content, of_learner
from engine.labs.verdict import Result, Verdict
from engine.preset import consent, datasets
from engine.preset.loading import Preset


def main(lab_id: str, *options: str) -> int:
    """Grade in this process, keep the attempt, print the verdict.

    --quick: one seed, and no attempt is kept. --draw: grade nothing, and print what is drawn of the learner's code.
    """
    # An exit, unlike a plain SIGTERM, also ends the processes that were started.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(ExitCode.TERMINATED))
    die_with_parent(signal.SIGTERM)
    quick = "--quick" in options

    def graded() -> int:
        from engine.labs.flow import missed, require_predictions

        lab = find_lab(lab_id)
        work = of_learner(lab)
        require_predictions(lab)
        with private_folder(lab, "quick" if quick else "graded") as place:
            try:
                turn.wait(stages.tell_waiting)
            except CannotGoOnError as error:
                raise CannotGoOnError(_("{why}; this does not count as an attempt", why=error)) from None
            files = content(work.files())
            verdict = grade(work, place, quick=quick, tell=stages.tell)
            found = {**verdict.as_json(), "files": files}
            (place / "verdict.json").write_text(json.dumps(found, indent=1, ensure_ascii=False), encoding="utf-8")
        # Where only data are missing, the criteria about the code were looked at all the same.
        if not quick and (verdict.problem is None or verdict.exit_code == ExitCode.DATA_MISSING):
            progress.attempted(
                lab.id,
                passed=verdict.passed,
                met=verdict.met,
                of=verdict.of,
                checks=found["checks"],
                missed=missed(lab, found["predictions"]),
            )
        stdio.say(json.dumps(found))
        return verdict.exit_code

    def drawn() -> int:
        lab = find_lab(lab_id)
        with private_folder(lab, "drawn") as place:
            turn.wait(stages.tell_waiting)
            stdio.say(json.dumps(draw(of_learner(lab), place)))
        return ExitCode.DONE

    return end(drawn if "--draw" in options else graded, as_json=True)


@contextmanager
def private_folder(lab: Lab, kind: str) -> Iterator[Path]:
    """Make a folder for a grading of this lab. kind: "graded", "quick" or "drawn".

    The folder is kept until the next grading of its kind is done. Raises DescentError while another process grades
    the lab.
    """
    home = made_state_dir() / "labs" / lab.id
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    lock = os.open(home / f"{kind}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise DescentError(_("{id}: another descent is grading this lab right now", id=lab.id)) from None
        place = Path(tempfile.mkdtemp(prefix=f"{kind}-", dir=home))
        try:
            yield place
        except BaseException:  # the grading failed or was stopped, so the previous one stays valid
            shutil.rmtree(place, ignore_errors=True)
            raise
        for old in set(home.glob(f"{kind}-*")) - {place}:
            shutil.rmtree(old, ignore_errors=True)
    finally:
        os.close(lock)


def last_graded(lab_id: str) -> Path | None:
    """Return the folder of the last grading, with verdict.json, presets and runs, or None if there is none."""
    there = (state_dir() / "labs" / lab_id).glob("graded-*/verdict.json")
    return max((path.parent for path in there), key=_made, default=None)


def _made(folder: Path) -> float:
    """Return when a grading was done, as a time of the file system, or 0 for one that is being removed."""
    try:
        return (folder / "verdict.json").stat().st_mtime
    except OSError:
        return 0.0


def grade(
    work: Submission,
    place: Path,
    *,
    further: Sequence[str] = (),
    quick: bool = False,
    limits: Limits | None = None,
    data_root: Path | None = None,
    tell: Tell = lambda stage, name: None,
    level: Level | None = None,
) -> Verdict:
    """Grade a learner's work.

    place: a private folder, which keeps the graded runs. further: overrides of the graded presets, applied after the
    lab's own; calibration sets other seeds. quick: use one seed, and leave timed checks out. level: the
    protection that code must run under, if not the strongest that begins at once.
    """
    began = time.monotonic()
    lab = work.lab
    checks = [one for one in lab.model.checks if not (quick and one.timed)]
    further = [*further, "members.repeats=1"] if quick else further
    presets = {part: work.preset(part) for part in (None, *lab.model.parts)}
    changed = {part: work.changed(part, preset) for part, preset in presets.items()}
    complaints = [one for part in presets for one in work.complaints(part, changed[part])]
    all_changed: dict[str, Change] = {}
    for of, found in changed.items():
        all_changed |= {f"{of}: {key}" if of else key: pair for key, pair in found.items()}
    if complaints:
        unmet = tuple(criterion.unmet(check) for check in checks)
        refusal = "\n".join(complaints)
        return Verdict(lab.id, unmet, changed=all_changed, problem=refusal, code=ExitCode.WRONG_USE)
    code = _copied(work, place)
    graded = {part: work.graded(part, preset, further, code) for part, preset in presets.items()}
    material = _context(work, graded, place, code, limits=limits, data_root=data_root, tell=tell, level=level)
    try:
        _prepare(work, checks, material)
        results: list[Result] = []
        for one in checks:
            tell("checking", one.id)
            results.append(criterion.looked_at(one, material))
        predictions = tuple(criterion.compared(one, material, work) for one in lab.model.predictions)
        problem, printed = material.missing_data(), material.printed()
    finally:
        material.close()
    return Verdict(
        lab.id,
        tuple(results),
        seconds=time.monotonic() - began,
        predictions=predictions,
        changed=all_changed,
        problem=problem,
        code=ExitCode.DATA_MISSING,
        printed=printed,
        place=place,
    )


def _context(
    work: Submission,
    presets: dict[Part, Preset],
    place: Path,
    code: Path | None,
    *,
    limits: Limits | None = None,
    data_root: Path | None = None,
    tell: Tell = lambda stage, name: None,
    level: Level | None = None,
) -> CheckContext:
    return CheckContext(
        lab=work.lab,
        presets=presets,
        place=place,
        data_root=datasets.data_root(data_root).resolve(),
        predictions=work.predictions,
        code=code,
        tell=partial(tell, "training"),
        limits=limits or Limits(),
        level=level,
    )


def draw(work: Submission, place: Path, *, data_root: Path | None = None) -> dict[str, Any]:
    """Return what the lab draws of the learner's code: {"drawings": […], "printed"}. Nothing is trained.

    place: a private folder. Raises DescentError if the lab draws nothing, or a preset or the code can't be used.
    """
    drawings = work.lab.model.draw
    if not drawings:
        raise DescentError(_("{id}: this lab draws nothing of your code", id=work.lab.id))
    presets: dict[Part, Preset] = {}
    for part in {None, *(one.part for one in drawings)}:
        presets[part] = work.graded(part, work.preset(part), (), None)
    material = _context(work, presets, place, _copied(work, place), data_root=data_root)
    try:
        found = [drawing.drawn(one, material) for one in drawings]
        return {"drawings": found, "printed": material.printed()}
    finally:
        material.close()


def _copied(work: Submission, place: Path) -> Path | None:
    """Copy the learner's file, so that a save during grading changes nothing. Return the copy.

    Raises DescentError if the user has not agreed to run it.
    """
    if work.code is None:
        return None
    content = consent.agreed_content(f"{work.code.absolute()}:", False, key="lab")
    copy = copy_of_code(place, work.code)
    copy.parent.mkdir()
    copy.write_bytes(content)
    return copy


def copy_of_code(place: Path, code: Path) -> Path:
    """Return where a grading in the folder `place` keeps the learner's file."""
    return place / "code" / code.name


def _prepare(work: Submission, checks: Sequence[Check], material: CheckContext) -> None:
    """Train what the checks will look at, while the processes of code and data load."""
    names: set[tuple[Part, str]] = set()
    timed: set[tuple[Part, str]] = set()
    for one in checks:
        for source in criterion.sources(one):
            (timed if one.timed else names).update(used(source, one.part))
    for prediction in work.lab.model.predictions:
        names |= used(prediction.result, None) if prediction.result is not None else set()
    every = {name for _, name in names | timed}
    material.prepare(code=bool(every & OF_CODE), data=bool(every & (OF_DATA | OF_MODELS)))
    graded = work.parts()
    material.train(
        [part for part in graded if any(of == part and name in OF_RUNS for of, name in names)],
        [part for part in graded if any(of == part and name in OF_RUNS for of, name in timed)],
    )


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
