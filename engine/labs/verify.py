"""What was handed in, graded once more with the instructor's own lab: does it agree?

Code that others wrote runs only where it is asked for, under limits of time and memory, as the user who asks. That
keeps accidents from doing harm; it is no sandbox. Everything in a hand-in may have been written by anybody: it is
read within bounds, and nothing of it is followed or loaded but the preset, the predictions and the lab's one file.
"""

import csv
import hashlib
import io
import json
import math
import stat
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from engine import output, views
from engine.errors import DescentError, ExitCode
from engine.files import write_atomically
from engine.labs.format import Language
from engine.labs.grading import grade
from engine.labs.handin import FORMAT, MANIFEST, lab_hash
from engine.labs.library import Lab, find_lab
from engine.labs.verdict import Verdict, versions
from engine.labs.work import Work
from engine.texts import clean, shorten

RELATIVE, ABSOLUTE = 1e-3, 1e-6  # by how much a value may differ and still agree
LARGEST = 1 << 20  # bytes of one file of a hand-in
_MACHINE = ("processor", "torch")  # where these differ, so may the last digits, and what grows out of them

Outcome = Literal["agrees", "does not agree", "not comparable", "not run", "broken"]
_NO_SANDBOX = (
    "descent: code that was handed in runs under limits of time and memory, but with all that you may do here: "
    "this is no sandbox"
)


@dataclass(frozen=True)
class Row:
    """One hand-in. handed_in, ours: criteria that were met, as "7/8"; empty where that is not known."""

    name: str
    lab: str
    handed_in: str
    ours: str
    outcome: Outcome
    why: str


def command(folders: Sequence[Path], table: Path | None, allow_code: bool, as_json: bool, language: Language) -> int:
    """Print a table of all hand-ins; 0 where all agree, else 1."""
    if allow_code:
        output.say(_NO_SANDBOX, sys.stderr)
    rows = [verified(folder, allow_code=allow_code, language=language) for folder in folders]
    if as_json:
        views.print_json({"handins": [asdict(row) for row in rows]})
    else:
        cells = [(row.name, row.lab, row.handed_in, row.ours, row.outcome, row.why) for row in rows]
        views.print_table(
            ("HAND-IN", "LAB", "HANDED IN", "OURS", "OUTCOME", "WHY"), cells, whole=("HAND-IN", "OUTCOME")
        )
    if table is not None:
        try:
            write_atomically(table, _csv(rows).encode())
        except OSError as error:
            raise DescentError(f"--csv {clean(str(table))} can't be written: {error.strerror}") from None
    return ExitCode.DONE if all(row.outcome == "agrees" for row in rows) else ExitCode.CHECK_FAILED


def _csv(rows: Sequence[Row]) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, [*Row.__dataclass_fields__])
    writer.writeheader()
    writer.writerows({key: _no_formula(value) for key, value in asdict(row).items()} for row in rows)
    return text.getvalue()


def _no_formula(text: str) -> str:
    """A spreadsheet would run what begins so."""
    return f"'{text}" if text.startswith(("=", "+", "-", "@")) else text


class _BrokenError(Exception):
    """A hand-in that can't be read; its text says why."""


def verified(folder: Path, *, allow_code: bool, language: Language) -> Row:
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
            ours = grade(work, graded, language)
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


def _work(lab: Lab, folder: Path, copy: Path) -> Work:
    """Copies of the preset, the parts' presets and the code, and the predictions."""
    copy.mkdir()
    work = Work(lab, copy, _object(folder, "predictions.json"))
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
