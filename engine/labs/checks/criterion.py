"""One check of a lab: its expressions, its value, and whether it is met."""

import math
import time
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any

import numpy as np

from descent.common.errors import DescentError
from descent.common.i18n import N_, _
from engine.labs.checks.names import OF_CODE, OF_MODELS, Scope, used
from engine.labs.explanation import UNFILLED, Explanation, Failure, explain, source_of
from engine.labs.format import Check, Prediction
from engine.labs.graded_runs import CheckContext
from engine.labs.messages import CheckError, line_named
from engine.labs.mistakes import MISTAKES
from engine.labs.sandbox.wire import Marked, described
from engine.labs.submission import Part, Submission
from engine.labs.verdict import Relation, Result

_NOT_ONE = N_("the check gave {value}, not one number")
_DIVERGED = N_("there is nothing to measure: the training diverged")


def sources(check: Check) -> list[str]:
    given = (*check.prepare, check.value, check.spread, check.least, check.most)
    return [source for source in given if isinstance(source, str)]


def looked_at(check: Check, material: CheckContext) -> Result:
    """Evaluate a check. If that fails, the result's `error` says why."""
    scope, began = Scope(material, check.part, timed=check.timed), time.monotonic()
    try:
        forget(sources(check), check.part, material)
        for source in check.prepare:
            scope.evaluate(source)
        scope.pair = scope.returned = None  # a call before this may be for what it does, not for what it returns
        value, pair = _value(check, scope), scope.pair
        limits = [_limit(limit, scope) for limit in (check.least, check.most)]
        spread = None if check.spread is None else _number(scope.evaluate(check.spread))
    except DescentError as error:
        explained = _explained(check, scope, material, raised=getattr(error, "raised", {}))
        said = _(_DIVERGED) if _is_of_diverged(check, scope, material) else _with_hint(error, scope)
        return unmet(check, said, seconds=time.monotonic() - began, explanation=explained)
    least, most = limits
    within = (least is None or value >= least) and (most is None or value <= most)
    relation, threshold = _relation(least, most)
    passed = value if isinstance(value, bool) else within
    return Result(
        id=check.id,
        text=str(check.text),
        value=value,
        passed=passed,
        relation=relation,
        threshold=threshold,
        spread=spread,
        bonus=check.bonus,
        error=_not_finite(value, diverged=_is_of_diverged(check, scope, material)),
        show=check.show,
        is_timed=check.timed,
        seconds=round(time.monotonic() - began, 3),
        gave=() if pair is None else pair.gave,
        wanted=() if pair is None else pair.wanted,
        explanation=None if passed else _explained(check, scope, material),
    )


def _explained(
    check: Check, scope: Scope, material: CheckContext, raised: Mapping[str, Any] = MappingProxyType({})
) -> dict[str, Any] | None:
    """Return the mistake behind a criterion that is not met, if it is one that we know."""
    file = f"{material.lab.id}.py"
    text = material.source if material.code is not None else ""
    message = str(raised.get("message", ""))
    line = raised.get("line") or line_named(message, file)
    error = ": ".join(part for part in (str(raised.get("type", "")), message) if part)
    if "NotImplementedError: " in error and "raise NotImplementedError" in text:  # as `lab start` wrote it
        return Explanation(UNFILLED, "", line, str(raised.get("code", ""))).as_json()
    lines = text.splitlines()
    failure = Failure(
        error=error,
        line=line,
        code=lines[line - 1].strip() if line and line <= len(lines) else "",
        source=source_of(text, list(scope.called)) or text,
        gave=() if scope.pair is None else scope.pair.gave,
        wanted=() if scope.pair is None else scope.pair.wanted,
        sizes=frozenset(n for arguments in scope.called.values() for one in arguments for n in _shape(one)),
        returned=scope.returned[1] if scope.returned is not None else "",
        about=" ".join(sources(check)),
        diverged=_is_of_diverged(check, scope, material),
        seen={} if raised or not scope.called else material.learner.observe(*list(scope.called.items())[-1]),
    )
    found = explain(failure, file, MISTAKES)
    return None if found is None else found.as_json()


def _shape(argument: Any) -> tuple[int, ...]:
    value = argument.array if isinstance(argument, Marked) else argument
    return np.shape(value) if isinstance(value, np.ndarray | list) else ()


def forget(expressions: Iterable[str], part: Part, material: CheckContext) -> None:
    """Let the learner's process forget the objects of expressions before these."""
    names = {name for source in expressions for _, name in used(source, part)}
    if names & OF_CODE:
        material.learner.begin(material.context(part) if names & OF_MODELS else None)


def _value(check: Check, scope: Scope) -> float | bool:
    value = scope.evaluate(check.value)
    if check.least is None and check.most is None:
        if isinstance(value, np.ndarray | list) and np.size(value) != 1:
            raise CheckError(_(_NOT_ONE, value=described(value)))
        return bool(np.asarray(value).reshape(()))
    return _number(value)


def _number(value: Any) -> float:
    if isinstance(value, bool | int | float | np.ndarray) and np.size(value) == 1:
        return float(np.asarray(value, np.float64).reshape(()))
    raise CheckError(_(_NOT_ONE, value=described(value)))


def _limit(limit: float | str | None, scope: Scope) -> float | None:
    return _number(scope.evaluate(limit)) if isinstance(limit, str) else limit


def _relation(least: float | None, most: float | None) -> tuple[Relation, float | list[float] | None]:
    if least is not None and most is not None:
        return "between", [least, most]
    if least is not None:
        return "least", least
    return ("most", most) if most is not None else ("true", None)


def _is_of_diverged(check: Check, scope: Scope, material: CheckContext) -> bool:
    """Return whether a check measures nothing but a run whose loss became infinite."""
    return material.has_diverged(check.part) and not scope.called


def _not_finite(value: float | bool, *, diverged: bool) -> str | None:
    if diverged and not math.isfinite(value):
        return _(_DIVERGED)
    if math.isnan(value):
        return _("the value is not a number (nan)")
    return _("the value is infinite") if math.isinf(value) else None


def _with_hint(error: DescentError, scope: Scope) -> str:
    """Return the error's text. If the learner's function did not raise it, add what that function has returned."""
    if isinstance(error, CheckError) or scope.returned is None:
        return str(error)
    name, value = scope.returned
    return _(
        "{error}; {name} returned {value}",
        error=error,
        name=name,
        value=value,
    )


def unmet(
    check: Check, error: str | None = None, seconds: float = 0.0, explanation: dict[str, Any] | None = None
) -> Result:
    numbers = [limit if isinstance(limit, float) else None for limit in (check.least, check.most)]
    relation, threshold = _relation(*numbers)
    return Result(
        id=check.id,
        text=str(check.text),
        value=None,
        passed=False,
        relation=relation,
        threshold=threshold,
        bonus=check.bonus,
        error=error,
        show=check.show,
        is_timed=check.timed,
        seconds=round(seconds, 3),
        explanation=explanation,
    )


def compared(prediction: Prediction, material: CheckContext, work: Submission) -> dict[str, Any]:
    """Return a prediction beside its result, which is None if it could not be found."""
    result: Any = None
    if prediction.result is not None:
        try:
            result = Scope(material).evaluate(prediction.result)
        except DescentError:
            result = None  # the check of the same value says why
    if isinstance(result, np.ndarray):
        result = result.tolist()
    return {"id": prediction.id, "predicted": work.predictions.get(prediction.id), "result": result}
