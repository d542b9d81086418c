"""One check of a lab: its expressions, its value, and whether it is met."""

import math
import time
from typing import Any

import numpy as np

from descent.common.errors import DescentError
from descent.common.i18n import N_, _
from engine.labs.checks.names import OF_CODE, OF_MODELS, Scope, used
from engine.labs.format import Check, Prediction
from engine.labs.graded_runs import CheckContext
from engine.labs.messages import CheckError
from engine.labs.sandbox.wire import described
from engine.labs.submission import Submission
from engine.labs.verdict import Relation, Result

_NOT_ONE = N_("the check gave {value}, not one number")


def sources(check: Check) -> list[str]:
    given = (*check.prepare, check.value, check.spread, check.least, check.most)
    return [source for source in given if isinstance(source, str)]


def looked_at(check: Check, material: CheckContext) -> Result:
    """Evaluate a check. If that fails, the result's `error` says why."""
    scope, began = Scope(material, check.part, timed=check.timed), time.monotonic()
    try:
        _begin(check, material)
        for source in check.prepare:
            scope.evaluate(source)
        scope.pair = None
        value, pair = _value(check, scope), scope.pair
        limits = [_limit(limit, scope) for limit in (check.least, check.most)]
        spread = None if check.spread is None else _number(scope.evaluate(check.spread))
    except DescentError as error:
        return unmet(check, _with_hint(error, scope), seconds=time.monotonic() - began)
    least, most = limits
    within = (least is None or value >= least) and (most is None or value <= most)
    relation, threshold = _relation(least, most)
    return Result(
        id=check.id,
        text=str(check.text),
        value=value,
        passed=value if isinstance(value, bool) else within,
        relation=relation,
        threshold=threshold,
        spread=spread,
        bonus=check.bonus,
        error=_not_finite(value),
        show=check.show,
        is_timed=check.timed,
        seconds=round(time.monotonic() - began, 3),
        gave=() if pair is None else pair.gave,
        wanted=() if pair is None else pair.wanted,
    )


def _begin(check: Check, material: CheckContext) -> None:
    """Let the learner's process forget the objects of the previous check."""
    names = {name for source in sources(check) for _, name in used(source, check.part)}
    if names & OF_CODE:
        material.learner.begin(material.context(check.part) if names & OF_MODELS else None)


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


def _not_finite(value: float | bool) -> str | None:
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


def unmet(check: Check, error: str | None = None, seconds: float = 0.0) -> Result:
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
