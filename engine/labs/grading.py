"""The one grader: what the learner sees is what the instructor runs.

    python -P -m engine.labs.grading LAB LANGUAGE [--allow-code] [--quick]

grades the learner's work in this process, which runs none of the learner's code: graded runs and the learner's
functions have processes of their own. The last line of stdout is the verdict, as JSON.
"""

import fcntl
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from engine import datasets, output
from engine.ending import end
from engine.errors import CannotGoOnError, DescentError, ExitCode
from engine.labs import criteria, progress
from engine.labs.changes import Change
from engine.labs.format import Check, Language
from engine.labs.learner import Limits
from engine.labs.library import Lab, find_lab
from engine.labs.material import Material
from engine.labs.scope import OF_CODE, OF_DATA, OF_MODELS, OF_RUNS, used
from engine.labs.verdict import Verdict
from engine.labs.work import Part, Work, in_words, of_learner
from engine.places import made_state_dir, state_dir

Tell = Callable[[str], None]
_TOLD = "grading: "  # before a line that is for a person


def check(lab_id: str, language: Language, *, allow_code: bool = False, tell: Tell | None = None) -> dict[str, Any]:
    """Grade the learner's work in a fresh process, and keep the attempt; Verdict.as_json's object.

    tell: hears a line as each graded run begins. DescentError where it can't be graded at all.
    """
    command = [sys.executable, "-P", "-m", "engine.labs.grading", lab_id, language]
    command += ["--allow-code"] if allow_code else []
    with subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        said_last = ""
        try:
            for line in process.stderr:
                said_last = line.strip() or said_last
                if tell is not None and line.startswith(_TOLD):
                    tell(line.removeprefix(_TOLD).strip())
            lines = process.stdout.read().splitlines()
        except BaseException:
            process.terminate()  # it ends what it has started
            raise
    found = _object(lines)
    if found is None:
        raise CannotGoOnError(f"the grader of {lab_id} ended unexpectedly: {said_last}")
    if "error" in found:
        failed = DescentError(found["error"])
        failed.exit_code = ExitCode(int(found["exit_code"]))
        raise failed
    return found


def command(lab_id: str, language: Language, as_json: bool) -> int:
    """Grade, print the verdict; the exit code."""
    from engine import views, views_verdict

    tell = None if as_json or not sys.stderr.isatty() else views_verdict.tell(language)
    found = check(lab_id, language, tell=tell)
    if as_json:
        views.print_json(found)
    else:
        views_verdict.show(found, find_lab(lab_id), language)
    return int(found["exit_code"])


def _object(lines: Sequence[str]) -> dict[str, Any] | None:
    try:
        found = json.loads(lines[-1]) if lines else None
    except ValueError:
        return None
    return found if isinstance(found, dict) else None


def main(lab_id: str, language: Language, *options: str) -> int:
    """Grade in this process, keep the attempt, print the verdict. --quick: one seed, and no attempt."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(ExitCode.TERMINATED))  # so that what was started is ended
    quick = "--quick" in options

    def graded() -> int:
        from engine.labs.flow import require_predictions

        lab = find_lab(lab_id)
        work = of_learner(lab, allow_code="--allow-code" in options)
        require_predictions(lab)
        with private_folder(lab, "quick" if quick else "graded") as place:
            verdict = grade(work, place, language, quick=quick, tell=_tell)
            found = verdict.as_json()
            (place / "verdict.json").write_text(json.dumps(found, indent=1, ensure_ascii=False), encoding="utf-8")
        if verdict.problem is None and not quick:
            progress.attempted(lab.id, passed=verdict.passed, met=verdict.met, of=verdict.of, checks=found["checks"])
        output.say(json.dumps(found))
        return verdict.exit_code

    return end(graded, as_json=True)


def _tell(line: str) -> None:
    output.say(f"{_TOLD}{line}", sys.stderr)


@contextmanager
def private_folder(lab: Lab, kind: str) -> Iterator[Path]:
    """Where a grading of this lab is kept until the next one of its kind, "graded" or "quick".

    DescentError while another one is under way.
    """
    home = made_state_dir() / "labs" / lab.id
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    lock = os.open(home / f"{kind}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise DescentError(f"{lab.id} is being graded already, by another descent") from None
        for old in home.glob(f"{kind}-*"):
            shutil.rmtree(old, ignore_errors=True)
        yield Path(tempfile.mkdtemp(prefix=f"{kind}-", dir=home))
    finally:
        os.close(lock)


def last_graded(lab_id: str) -> Path | None:
    """The folder of the last grading, with verdict.json, presets and runs; None where there is none."""
    there = sorted((state_dir() / "labs" / lab_id).glob("graded-*/verdict.json"))
    return there[-1].parent if there else None


def grade(
    work: Work,
    place: Path,
    language: Language,
    *,
    further: Sequence[str] = (),
    quick: bool = False,
    limits: Limits | None = None,
    data_root: Path | None = None,
    tell: Tell = lambda line: None,
) -> Verdict:
    """Grade a learner's work. place: a private folder, which keeps the graded runs.

    further: settings laid over the graded presets, after the lab's own (calibration takes other seeds).
    quick: of one seed, and without what is timed.
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
        unmet = tuple(criteria.unmet(check, language) for check in checks)
        refusal = in_words(complaints, language)
        return Verdict(lab.id, unmet, changed=all_changed, problem=refusal, code=ExitCode.WRONG_USE)
    material = Material(
        lab=lab,
        presets={part: work.graded(part, preset, further) for part, preset in presets.items()},
        place=place,
        data_root=datasets.data_root(data_root).resolve(),
        predictions=work.predictions,
        code=_copied(work, place),
        tell=tell,
        limits=limits or Limits(),
    )
    try:
        _prepare(work, checks, material)
        results = tuple(criteria.looked_at(one, material, language) for one in checks)
        predictions = tuple(criteria.compared(one, material, work) for one in lab.model.predictions)
        problem, printed = material.missing_data(), material.printed()
    finally:
        material.close()
    return Verdict(
        lab.id,
        results,
        seconds=time.monotonic() - began,
        predictions=predictions,
        changed=all_changed,
        problem=problem,
        code=ExitCode.DATA_MISSING,
        printed=printed,
        place=place,
    )


def _copied(work: Work, place: Path) -> Path | None:
    """The learner's file as it is now: a save while it is graded changes nothing."""
    if work.code is None:
        return None
    folder = place / "code"
    folder.mkdir()
    return Path(shutil.copyfile(work.code, folder / work.code.name))


def _prepare(work: Work, checks: Sequence[Check], material: Material) -> None:
    """Train what the checks will look at, while the processes of code and data load."""
    names: set[tuple[Part, str]] = set()
    timed: set[tuple[Part, str]] = set()
    for one in checks:
        for source in criteria.sources(one):
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
    sys.exit(main(*sys.argv[1:]))  # type: ignore[arg-type]
