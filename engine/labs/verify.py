"""What was handed in, graded once more with the instructor's own lab: does it agree?

Code that others wrote runs only where it is asked for, under limits of time and memory, as the user who asks. That
keeps accidents from doing harm; it is no sandbox. Everything in a hand-in may have been written by anybody: it is
read within bounds, and nothing of it is followed or loaded but the preset, the predictions and the lab's one file.
"""

import hashlib
import json
import math
import stat
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from descent.common.errors import DescentError
from descent.common.text import clean, shorten
from engine.labs.grading import grade
from engine.labs.handin import FORMAT, MANIFEST, lab_hash
from engine.labs.library import Lab, find_lab
from engine.labs.submission import Submission
from engine.labs.verdict import Verdict, versions

RELATIVE, ABSOLUTE = 1e-3, 1e-6  # by how much a value may differ and still agree
LARGEST = 1 << 20  # bytes of one file of a hand-in
_MACHINE = ("processor", "torch")  # where these differ, so may the last digits, and what grows out of them

Outcome = Literal["agrees", "does not agree", "not comparable", "not run", "broken"]


@dataclass(frozen=True)
class Row:
    """One hand-in. handed_in, ours: criteria that were met, as "7/8"; empty where that is not known."""

    name: str
    lab: str
    handed_in: str
    ours: str
    outcome: Outcome
    why: str


class _BrokenError(Exception):
    """A hand-in that can't be read; its text says why."""


def verified(folder: Path, *, allow_code: bool) -> Row:
    """Grade a hand-in once more. Whatever is wrong with it is the row's `why`."""
    name, lab_id, handed_in = clean(folder.absolute().name), "", ""
    try:
        manifest = _object(folder, MANIFEST)
        lab_id = clean(str(manifest.get("lab", "")))
        if manifest.get("format") != FORMAT:
            raise _BrokenError(f"{MANIFEST} is not of this version of Descent")
        lab = find_lab(str(manifest.get("lab", "")))
        theirs = _object(folder, "verdict.json")
        handed_in = _met(theirs.get("met"), theirs.get("of"))
        _check_hashes(folder, manifest)
        with tempfile.TemporaryDirectory(prefix="descent-verify-") as place:
            work = _work(lab, folder, Path(place) / "work")
            if work.code is not None and not allow_code:
                return Row(name, lab.id, handed_in, "", "not run", "it has code: needs --allow-code")
            graded = Path(place) / "graded"
            graded.mkdir()
            ours = grade(work, graded)
        outcome, why = compared(theirs, ours, same_lab=manifest.get("lab_sha256") == lab_hash(lab))
        return Row(name, lab.id, handed_in, _met(ours.met, ours.of), outcome, why)
    except (_BrokenError, DescentError) as error:
        why = str(error)
    except Exception as error:  # one hand-in, whatever is in it, must not keep the others from being looked at
        why = f"{type(error).__name__}: {error}"
    return Row(name, lab_id, handed_in, "", "broken", shorten(clean(why), 300))


def _met(met: object, of: object) -> str:
    return f"{met}/{of}" if isinstance(met, int) and isinstance(of, int) else ""


# --- reading what anybody may have written ---


def _read(folder: Path, name: str) -> bytes:
    """A small, plain file of the hand-in; a link may lead anywhere, and is not followed."""
    path = folder / name
    try:
        found = path.lstat()
        if not stat.S_ISREG(found.st_mode):
            raise _BrokenError(f"{name} is no plain file")
        if found.st_size > LARGEST:
            raise _BrokenError(f"{name} has {found.st_size >> 20} MiB; that is no file of a hand-in")
        with path.open("rb") as file:
            return file.read(LARGEST + 1)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise _BrokenError(f"{name} can't be read: {reason}") from None


def _object(folder: Path, name: str) -> dict[str, Any]:
    try:
        found = json.loads(_read(folder, name))
    except (ValueError, RecursionError):
        raise _BrokenError(f"{name} is no JSON") from None
    if not isinstance(found, dict):
        raise _BrokenError(f"{name} is not what `descent lab report` writes")
    return found


def _check_hashes(folder: Path, manifest: Mapping[str, Any]) -> None:
    hashes = manifest.get("sha256")
    if not isinstance(hashes, dict) or len(hashes) > 64:
        raise _BrokenError(f"{MANIFEST} has no list of files")
    for name, expected in hashes.items():
        if "/" in name or name in ("", ".", "..") or hashlib.sha256(_read(folder, name)).hexdigest() != expected:
            raise _BrokenError(f"{clean(name)} was changed after the folder was written")


def _work(lab: Lab, folder: Path, copy: Path) -> Submission:
    """Copies of the preset, the parts' presets and the code, and the predictions."""
    copy.mkdir()
    work = Submission(lab, copy, _object(folder, "predictions.json"))
    names = [work.file(part).name for part in (None, *lab.model.parts)]
    if lab.start_file is not None:
        names.append(f"{lab.id}.py")
    for name in names:
        (copy / name).write_bytes(_read(folder, name))
    return work


# --- comparing ---


def compared(theirs: Mapping[str, Any], ours: Verdict, *, same_lab: bool) -> tuple[Outcome, str]:
    """Whether what was handed in came out here too, and if not, why."""
    if ours.problem is not None:
        return "not comparable", shorten(clean(ours.problem), 300)
    timed = {check.id for check in ours.checks if check.is_timed}
    differing = _differing(theirs, ours, timed)
    if not differing:
        return "agrees", ""
    machine = [key for key in _MACHINE if _version(theirs, key) != versions()[key]]
    if not same_lab:
        return "not comparable", f"another version of the lab; {differing[0]}"
    if machine:
        others = ", ".join(f"{key} {clean(_version(theirs, key))}, here {versions()[key]}" for key in machine)
        return "not comparable", f"{differing[0]} ({others})"
    return "does not agree", "; ".join(differing)


def _version(theirs: Mapping[str, Any], key: str) -> str:
    found = theirs.get("versions")
    return shorten(str(found.get(key, "unknown") if isinstance(found, dict) else "unknown"), 80)


def _differing(theirs: Mapping[str, Any], ours: Verdict, timed: set[str]) -> list[str]:
    """A line for each criterion that came out otherwise. Of times only whether they were met is compared."""
    checks = theirs.get("checks")
    given = {str(one.get("id")): one for one in checks if isinstance(one, dict)} if isinstance(checks, list) else {}
    lines = []
    for check in ours.checks:
        one = given.get(check.id)
        if one is None:
            lines.append(f"{check.id}: not handed in")
        elif one.get("passed") is not check.passed:
            lines.append(f"{check.id}: {_said(one.get('passed'))} handed in, {_said(check.passed)} here")
        elif check.id not in timed and not _close(one.get("value"), check.value):
            lines.append(f"{check.id}: {shorten(clean(str(one.get('value'))), 20)} handed in, {check.value} here")
    return lines


def _said(passed: object) -> str:
    return "met" if passed is True else "not met"


def _close(one: object, other: float | bool | None) -> bool:
    """Whether two values agree, within RELATIVE and ABSOLUTE."""
    if isinstance(other, bool) or other is None or not math.isfinite(other):
        return one is other or (one is None and not isinstance(other, bool))
    if isinstance(one, bool) or not isinstance(one, int | float):
        return False
    return math.isclose(one, other, rel_tol=RELATIVE, abs_tol=ABSOLUTE)
