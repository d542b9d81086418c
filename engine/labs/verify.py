"""Grading a hand-in again, with the instructor's own lab, to see whether the results agree.

Code that others wrote runs only with --allow-code, under the strongest protection of engine.labs.sandbox.enclosure
that this machine allows, and not at all where that is too weak. Anybody may have written the files of a hand-in. They
are read within bounds, links are not followed, and only the preset, the predictions and the lab's one code file are
loaded.
"""

import hashlib
import json
import math
import signal
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

from descent.common import stages, stdio, turn
from descent.common.errors import CannotGoOnError, DescentError, ExitCode
from descent.common.exit import end
from descent.common.files import read_regular
from descent.common.i18n import N_, _
from descent.common.machine import die_with_parent
from descent.common.text import clean, shorten, why_unreadable
from descent.run.schema import ShapeError
from engine.labs.grading import grade
from engine.labs.handed_in import FORMATS, LARGEST, MANIFEST, BrokenError, HandedIn, read_object
from engine.labs.handin import lab_hash
from engine.labs.hidden import hidden_of, with_hidden
from engine.labs.library import Lab, find_lab
from engine.labs.sandbox.enclosure import ENOUGH, Level, protection
from engine.labs.submission import Submission
from engine.labs.verdict import Verdict, read_verdict, versions
from engine.preset import consent

RELATIVE, ABSOLUTE = 1e-3, 1e-6  # a value that differs by less still agrees
# Where these differ, last digits may differ, and larger differences may grow from them.
_MACHINE = ("processor", "torch")

_TOO_WEAK = N_(
    "it has code, which could read and delete your files: descent doctor says what to install; --unprotected runs it "
    "all the same"
)

Outcome = Literal["agrees", "does not agree", "not comparable", "not run", "broken"]
GRADED: tuple[Outcome, ...] = ("agrees", "does not agree", "not comparable")  # its code was run, if it has any
# As they are shown. `--json` and the CSV file have the outcomes themselves.
OUTCOMES: dict[Outcome, str] = {
    "agrees": N_("agrees"),
    "does not agree": N_("does not agree"),
    "not comparable": N_("not comparable"),
    "not run": N_("not run"),
    "broken": N_("broken"),
}


@dataclass(frozen=True)
class Row:
    """The result for one hand-in. handed_in, ours, hidden: the criteria met, as "7/8", or "" if that is not known.

    hidden: with the seeds and criteria of the instructor's. student, login, written: who and when, as it says itself.
    not_met: the criteria, by id, that are not met here. uploaded: who uploaded it; see `Uploaded`. similar: what it
    has in common with others. level: the protection under which its code ran, "" if it has none or it did not run.
    owner: the user whose file it is, "" if that is who it names, or not known.
    """

    name: str
    lab: str
    handed_in: str
    ours: str
    outcome: Outcome
    why: str
    hidden: str = ""
    student: str = ""
    login: str = ""
    written: str = ""
    not_met: Sequence[str] = ()
    uploaded: Mapping[str, Any] | None = None
    similar: str = ""
    level: Level | Literal[""] = ""
    owner: str = ""

    @property
    def remarks(self) -> str:
        """What is wrong with it or strange about it, in words."""
        foreign = _("the file of {owner} names {login}", owner=self.owner, login=self.login) if self.owner else ""
        return "; ".join(filter(None, (self.why, foreign, self.similar)))

    def but(self, **changed: Any) -> "Row":
        """Return it with other values."""
        return replace(self, **changed)

    @property
    def score(self) -> float | None:
        """The share of the criteria that are met: with the hidden ones if there are any, else here, else None."""
        counted = self.hidden or self.ours
        met, _slash, of = counted.partition("/")
        return None if not counted else int(met) / int(of) if int(of) else 1.0


def verified(
    one: HandedIn,
    *,
    allow_code: bool,
    least: Level = ENOUGH,
    handed_in_too: Sequence[Path] = (),
    instructor: Path | None = None,
    wait: Callable[[], None] = lambda: None,
) -> Row:
    """Grade a hand-in again. The row's `why` says what is wrong with it.

    least: the weakest protection under which its code may run. handed_in_too: the other hand-ins. No lab is taken
    from any of them, nor from a folder beside them. instructor: the folder of what is hidden; see
    engine.labs.hidden. wait: returns when the grading may begin, or raises CannotGoOnError; then nothing is run.
    """
    try:
        with one.opened() as folder:
            said = said_by(one, folder)
            try:
                return _verified(said, folder, allow_code, least, [one.path, *handed_in_too], instructor, wait)
            except (BrokenError, DescentError) as error:
                why = str(error)
            except Exception as error:  # one hand-in, whatever is in it, must not keep the others from being graded
                why = f"{type(error).__name__}: {error}"
            return said.but(outcome="broken", why=shorten(clean(why), 300))
    except BrokenError as error:
        return broken(one, str(error))


def broken(one: HandedIn, why: str) -> Row:
    """Return the row of a hand-in that says nothing of itself."""
    return Row(one.name, "", "", "", "broken", shorten(why, 300), uploaded=_uploaded(one))


def _uploaded(one: HandedIn) -> dict[str, Any] | None:
    return asdict(who) if (who := one.uploaded) is not None else None


def said_by(one: HandedIn, folder: Path) -> Row:
    """Return what a hand-in says of itself. Anybody may have written that. Raises BrokenError."""
    manifest = read_object(folder, MANIFEST)
    texts = {key: shorten(clean(str(manifest.get(key) or "")), 64) for key in ("lab", "student", "login", "written")}
    try:
        theirs = read_theirs(folder)
        met = _met(theirs["met"], theirs["of"])
    except BrokenError:
        met = ""
    said = Row(one.name, lab=texts["lab"], handed_in=met, ours="", outcome="not run", why="", uploaded=_uploaded(one))
    owner = one.owner if texts["login"] else ""
    return said.but(**texts, owner="" if owner == texts["login"] else owner)


def _verified(
    said: Row,
    folder: Path,
    allow_code: bool,
    least: Level,
    handed_in: Sequence[Path],
    instructor: Path | None,
    wait: Callable[[], None],
) -> Row:
    manifest = read_object(folder, MANIFEST)
    if manifest.get("format") not in FORMATS:
        raise BrokenError(_("{file} was not written by this version of Descent", file=MANIFEST))
    lab = find_lab(str(manifest.get("lab", "")))
    _refuse_handed_in_lab(lab, handed_in)
    theirs = read_theirs(folder)
    _check_hashes(folder, manifest)
    hidden = hidden_of(lab, instructor)
    with tempfile.TemporaryDirectory(prefix="descent-verify-") as place:
        work = _work(lab, folder, Path(place) / "work")
        if work.code is not None:
            if not allow_code:
                return said.but(why=_("it has code; --allow-code runs it"))
            if not protection().is_at_least(least):
                return said.but(why=_(_TOO_WEAK))
            consent.agree_for_now(hashlib.sha256(work.code.read_bytes()).hexdigest())
            said = said.but(level=protection().level)
        try:
            wait()
        except CannotGoOnError as error:
            return said.but(level="", why=str(error))
        ours = _graded(work, Path(place) / "graded")
        outcome, why = compared(theirs, ours, same_lab=manifest.get("lab_sha256") == lab_hash(lab))
        row = said.but(ours=_met(ours.met, ours.of), outcome=outcome, why=why, not_met=_not_met(ours))
        if hidden is None or ours.problem is not None:
            return row
        more = replace(work, lab=with_hidden(lab, hidden))
        beyond = _graded(more, Path(place) / "hidden", hidden.set)
    failed = [one for one in _not_met(beyond) if one not in row.not_met]
    reasons = [why, _("hidden: {checks} not met", checks=", ".join(failed)) if failed else "", beyond.problem or ""]
    return row.but(
        hidden=_met(beyond.met, beyond.of), why="; ".join(filter(None, reasons)), not_met=[*row.not_met, *failed]
    )


def _graded(work: Submission, place: Path, further: Sequence[str] = ()) -> Verdict:
    place.mkdir()
    try:
        return grade(work, place, further=further, level=protection().level if work.code is not None else None)
    except DescentError as error:
        raise BrokenError(str(error).replace(f"{work.folder}/", "")) from None  # as the files are named there


def _not_met(verdict: Verdict) -> list[str]:
    return [check.id for check in verdict.checks if not check.passed and not check.bonus]


def _refuse_handed_in_lab(lab: Lab, handed_in: Sequence[Path]) -> None:
    """Raise DescentError if the lab may have been handed in itself: its preset and checks would be anybody's."""
    place = lab.folder.resolve()
    for folder in (folder.resolve() for folder in handed_in):
        if place.is_relative_to(folder) or place.parent == folder.parent:
            raise DescentError(
                _(
                    "{id}: this lab is in {place}, among the hand-ins; move your own lab elsewhere, or start this "
                    "in another folder",
                    id=lab.id,
                    place=clean(str(place)),
                )
            )


def _met(met: int, of: int) -> str:
    return f"{met}/{of}"


# --- reading what anybody may have written ---


def _read(folder: Path, name: str) -> bytes:
    """Return the content of a small, regular file of the hand-in. Links are not followed: they may lead anywhere."""
    try:
        return read_regular(folder / name, LARGEST, follow=False)
    except (OSError, ValueError) as error:
        raise BrokenError(_("{file}: can't be read: {reason}", file=name, reason=why_unreadable(error))) from None


def read_theirs(folder: Path) -> dict[str, Any]:
    """Return the verdict that a hand-in brings. Raises BrokenError."""
    try:
        return read_verdict(folder, most=LARGEST, follow=False)
    except FileNotFoundError as error:
        reason = why_unreadable(error)
        raise BrokenError(_("{file}: can't be read: {reason}", file="verdict.json", reason=reason)) from None
    except ShapeError as error:
        raise BrokenError(_("{file} is damaged: {what}", file="verdict.json", what=clean(str(error)))) from None


def _check_hashes(folder: Path, manifest: Mapping[str, Any]) -> None:
    hashes = manifest.get("sha256")
    if not isinstance(hashes, dict) or len(hashes) > 64:
        raise BrokenError(_("{file} has no list of files", file=MANIFEST))
    for name, expected in hashes.items():
        if "/" in name or name in ("", ".", "..") or hashlib.sha256(_read(folder, name)).hexdigest() != expected:
            raise BrokenError(_("{file} was changed after the hand-in was written", file=clean(name)))


def _work(lab: Lab, folder: Path, copy: Path) -> Submission:
    """Copy the preset, the parts' presets and the code. Return them as a submission, with the predictions."""
    copy.mkdir()
    work = Submission(lab, copy, read_object(folder, "predictions.json"))
    names = [work.file(part).name for part in (None, *lab.model.parts)]
    if lab.start_file is not None:
        names.append(f"{lab.id}.py")
    for name in names:
        (copy / name).write_bytes(_read(folder, name))
    return work


# --- comparing ---


def compared(theirs: Mapping[str, Any], ours: Verdict, *, same_lab: bool) -> tuple[Outcome, str]:
    """Return whether the hand-in's results were reached here too, and why not."""
    if ours.problem is not None:
        return "not comparable", shorten(clean(ours.problem), 300)
    timed = {check.id for check in ours.checks if check.is_timed}
    differing = _differing(theirs, ours, timed)
    if not differing:
        return "agrees", ""
    machine = [key for key in _MACHINE if _version(theirs, key) != versions()[key]]
    if not same_lab:
        return "not comparable", _("another version of the lab; {difference}", difference=differing[0])
    if machine:
        others = ", ".join(
            _("{name} {theirs}, here {ours}", name=key, theirs=clean(_version(theirs, key)), ours=versions()[key])
            for key in machine
        )
        return "not comparable", f"{differing[0]} ({others})"
    return "does not agree", "; ".join(differing)


def _version(theirs: Mapping[str, Any], key: str) -> str:
    found = theirs.get("versions")
    return shorten(str(found.get(key, "–") if isinstance(found, dict) else "–"), 80)


def _differing(theirs: Mapping[str, Any], ours: Verdict, timed: set[str]) -> list[str]:
    """Return a line for each criterion with another result. Of timed ones only passed or not is compared."""
    checks = theirs.get("checks")
    given = {str(one.get("id")): one for one in checks if isinstance(one, dict)} if isinstance(checks, list) else {}
    lines = []
    for check in ours.checks:
        one = given.get(check.id)
        if one is None:
            lines.append(_("{id}: not handed in", id=check.id))
        elif one.get("passed") is not check.passed:
            lines.append(_differs(check.id, _met_or_not(one.get("passed")), _met_or_not(check.passed)))
        elif check.id not in timed and not _close(one.get("value"), check.value):
            lines.append(_differs(check.id, shorten(clean(str(one.get("value"))), 20), str(check.value)))
    return lines


def _differs(check: str, theirs: str, ours: str) -> str:
    return _("{id}: {theirs} handed in, {ours} here", id=check, theirs=theirs, ours=ours)


def _met_or_not(passed: object) -> str:
    return _("met") if passed is True else _("not met")


def _close(one: object, other: float | bool | None) -> bool:
    """Return whether two values agree, within RELATIVE and ABSOLUTE."""
    if isinstance(other, bool) or other is None or not math.isfinite(other):
        return one is other or (one is None and not isinstance(other, bool))
    if isinstance(one, bool) or not isinstance(one, int | float):
        return False
    return math.isclose(one, other, rel_tol=RELATIVE, abs_tol=ABSOLUTE)


def main(asked: str) -> int:
    """Grade the hand-in that `asked` names, JSON as engine.labs.regrade writes it. The last line is its row."""
    # An exit, unlike a plain SIGTERM, also ends the processes that were started.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(ExitCode.TERMINATED))
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # whoever started this one ends it
    die_with_parent(signal.SIGTERM)

    def graded() -> int:
        given = json.loads(asked)
        instructor = Path(given["instructor"]) if given["instructor"] else None
        row = verified(
            HandedIn(Path(given["path"]), given["inside"]),
            allow_code=given["allow_code"],
            least=given["least"],
            handed_in_too=[Path(path) for path in given["others"]],
            instructor=instructor,
            wait=partial(turn.wait, stages.tell_waiting),
        )
        stdio.say(json.dumps(asdict(row)))
        return ExitCode.DONE

    return end(graded, as_json=False)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
