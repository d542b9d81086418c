"""The results of a lab's checks, as they are printed, kept and compared."""

import math
import platform
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any, Literal, get_args

from descent.common.errors import ExitCode
from descent.common.files import json_safe
from descent.common.i18n import N_, _
from descent.common.numbers import NONE, percent, trimmed
from descent.common.paths import version
from descent.common.text import show
from descent.run.schema import (
    ANYTHING,
    COUNT,
    LARGEST,
    NUMBER,
    TABLE,
    TEXT,
    TRUTH,
    Kind,
    ListOf,
    Record,
    ShapeError,
    one_of,
    or_null,
    read_object,
)
from engine.labs import flow

Relation = Literal["least", "most", "between", "true"]


@dataclass(frozen=True)
class Result:
    """The result of one check.

    value: a number, True or False, or None if it could not be found. threshold: a number, two for "between", None for
    "true". gave, wanted: the numbers whose distance the value is, if it is a distance. explanation: the mistake that
    was recognised: id, text, line and code; see engine.labs.explanation.
    """

    id: str
    text: str
    value: float | bool | None
    passed: bool
    relation: Relation = "true"
    threshold: float | list[float] | None = None
    spread: float | None = None
    bonus: bool = False
    error: str | None = None
    show: str = "number"
    seconds: float = 0.0
    is_timed: bool = False
    gave: tuple[float, ...] = ()
    wanted: tuple[float, ...] = ()
    explanation: dict[str, Any] | None = None


_LIMIT = Kind(
    N_("a number, two numbers, or null"),
    lambda value: (
        value is None
        or NUMBER.fits(value)
        or (type(value) is list and len(value) == 2 and all(map(NUMBER.fits, value)))
    ),
)
_VALUE = Kind(
    N_("a number, true, false or null"), lambda value: value is None or TRUTH.fits(value) or NUMBER.fits(value)
)
_CHECK = Record(
    {
        "id": TEXT,
        "text": TEXT,
        "value": _VALUE,
        "passed": TRUTH,
        "relation": one_of(*get_args(Relation)),
        "threshold": _LIMIT,
        "spread": or_null(NUMBER),
        "bonus": TRUTH,
        "show": TEXT,
    },
    {"gave": ListOf(or_null(NUMBER)), "wanted": ListOf(or_null(NUMBER))},
)
_VERDICT = Record(
    {
        "passed": TRUTH,
        "met": COUNT,
        "of": COUNT,
        "checks": ListOf(_CHECK),
        "predictions": ListOf(Record({"id": TEXT, "predicted": ANYTHING, "result": ANYTHING})),
        "changed": TABLE,
        "problem": or_null(TEXT),
    },
    {"versions": TABLE, "files": TEXT, "exit_code": COUNT},
)


def read_verdict(folder: Path, *, most: int = LARGEST, follow: bool = True) -> dict[str, Any]:
    """Return the verdict.json of a folder. Anybody may have written it. Raises FileNotFoundError and ShapeError."""
    found = read_object(folder / "verdict.json", _VERDICT, most, follow=follow)
    for number, one in enumerate(found["checks"]):
        if (one["relation"] == "between") is not isinstance(one["threshold"], list):
            raise ShapeError(_("the threshold of checks[{number}] does not fit its relation", number=number))
    for key, values in found["changed"].items():
        if not isinstance(values, list) or len(values) != 2:
            what = _("two values")
            raise ShapeError(
                _("{key} must be {what}, not {given}", key=f"changed.{key}", what=what, given=show(values))
            )
    needed = [one["passed"] for one in found["checks"] if not one["bonus"]]
    if (found["met"], found["of"]) != (sum(needed), len(needed)):
        raise ShapeError(_("met and of are not those of its checks"))
    return found


@dataclass(frozen=True)
class Verdict:
    """The results of all checks of a lab.

    problem: why the lab, or a part of it, could not be graded. code: the exit code for a problem. changed: key ->
    (lab's value, learner's). place: the folder of the graded runs.
    """

    lab: str
    checks: tuple[Result, ...]
    seconds: float = 0.0
    predictions: tuple[dict[str, Any], ...] = ()
    changed: dict[str, tuple[Any, Any]] = field(default_factory=dict)
    problem: str | None = None
    code: ExitCode = ExitCode.DONE
    printed: str = ""
    place: Path | None = None

    @property
    def met(self) -> int:
        return sum(check.passed for check in self._needed)

    @property
    def of(self) -> int:
        return len(self._needed)

    @property
    def _needed(self) -> list[Result]:
        return [check for check in self.checks if not check.bonus]

    @property
    def passed(self) -> bool:
        return self.problem is None and self.met == self.of

    @property
    def exit_code(self) -> int:
        if self.problem is not None:
            return int(self.code)
        return int(ExitCode.DONE if self.passed else ExitCode.CHECK_FAILED)

    def as_json(self) -> dict[str, Any]:
        """Return the object that `lab check --json` prints. Numbers that are not finite are null."""
        return {
            "lab": self.lab,
            "passed": self.passed,
            "met": self.met,
            "of": self.of,
            "score": self.met / self.of if self.of else 1.0,
            "seconds": round(self.seconds, 2),
            "checks": [json_safe(vars(check)) for check in self.checks],
            "predictions": json_safe(self.predictions),
            "changed": json_safe(self.changed),
            "problem": self.problem,
            "printed": self.printed,
            "versions": versions(),
            "exit_code": self.exit_code,
        }


def instead(check: Mapping[str, Any]) -> str:
    """Return "0.1 instead of 0.81" for a check that is not met, else "". check: as `Verdict.as_json` has it."""
    gave, wanted = (", ".join(formed(one) for one in check.get(key) or ()) for key in ("gave", "wanted"))
    return _("{gave} instead of {wanted}", gave=gave, wanted=wanted) if gave and not check["passed"] else ""


def versions() -> dict[str, str]:
    """Return the versions that values depend on. Two machines that differ here may differ in the last digits."""
    return {
        "descent": version(),
        "python": platform.python_version(),
        "torch": metadata.version("torch"),
        "numpy": metadata.version("numpy"),
        "processor": _processor(),
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(named, "") or platform.processor() or platform.machine()


def against(check: Mapping[str, Any]) -> str:
    """Return the value with its threshold, if it has one: "0.97 ≥ 0.95", or "0.91  (≥ 0.95)" if it is not met."""
    form, relation, threshold, spread = check["show"], check["relation"], check["threshold"], check["spread"]
    text, aside = formed(check["value"], form), instead(check)
    if relation == "between":
        wanted = f"{formed(threshold[0], form)} … {formed(threshold[1], form)}"
    else:
        wanted = "" if threshold is None else f"{_RELATIONS[relation]} {formed(threshold, form)}"
    if wanted:
        text += f" {wanted}" if check["passed"] and relation != "between" else f"  ({wanted})"
    text += f"  {aside}" if aside else ""
    return text if spread is None else f"{text}  ({_('spread {spread}', spread=formed(spread, form))})"


def shown(value: Any) -> str:
    if value is None:
        return NONE
    return formed(value) if isinstance(value, float) else flow.shown_answer(value)


_RELATIONS = {"least": "≥", "most": "≤"}


def formed(value: float | None, form: str = "number") -> str:
    """A result that stands beside its limit, or beside what was wanted. None: JSON has it for a NaN.

    A percentage has one digit more than elsewhere: 94.96% must not look as if it reached 95.0%.
    """
    value = math.nan if value is None else value
    return percent(value, 2) if form == "percent" else trimmed(value)
