"""The learner's code drawn: its path on the loss beside gradient descent, its graph of numbers, or a table.

It runs in the sandbox, as in a grading, but nothing is trained and no attempt is kept.
"""

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np

from descent.common.arrays import Floats
from descent.common.errors import DescentError
from descent.common.i18n import _
from descent.common.numbers import number
from engine.labs.checks import criterion
from engine.labs.checks.functions import central_differences
from engine.labs.checks.names import Scope
from engine.labs.format import Draw, Graph, Walk
from engine.labs.graded_runs import CheckContext
from engine.labs.messages import CheckError
from engine.labs.sandbox.wire import described

GRID = 32  # points of the loss along each axis
TABLE_STEPS = 3  # steps that stand in the table
_MOST_SHOWN = 12  # numbers in a cell of a table
_CLOSE = 1e-3  # relative to the size of what is right, or to 1 where that is larger
_ROUND = 0.25  # of the right path's extent: what is seen around it
_FAR = 3.0  # extents of the right path: what the learner's path may add to the view


def drawn(drawing: Draw, material: CheckContext) -> dict[str, Any]:
    """Return one drawing as a JSON object.

    With `rows`: [{"text", "yours", "right", "agree", "error"}]. With `walk`: see `_walked`, with `graph`: `_graphed`.
    What the learner's code raises is in "error", with its line.
    """
    scope = Scope(material, drawing.part)
    found: dict[str, Any] = {"id": drawing.id, "title": str(drawing.title)}
    if drawing.walk is not None:
        return found | {"walk": _walked(drawing.walk, scope)}
    if drawing.graph is not None:
        return found | {"graph": _graphed(drawing.graph, scope)}
    return found | {"rows": [_row(drawing, at, scope, material) for at in range(len(drawing.rows))]}


# --- a table ---


def _row(drawing: Draw, at: int, scope: Scope, material: CheckContext) -> dict[str, Any]:
    row = drawing.rows[at]
    found: dict[str, Any] = {"text": str(row.text), "yours": None, "right": None, "agree": False, "error": ""}
    try:
        criterion.forget([*row.prepare, row.yours, row.right], drawing.part, material)
        for source in row.prepare:
            scope.evaluate(source)
        right = scope.evaluate(row.right)
        found["right"] = _shown(right)
        yours = scope.evaluate(row.yours)
        found |= {"yours": _shown(yours), "agree": _agree(yours, right)}
    except DescentError as error:
        found["error"] = str(error)
    return found


def _shown(value: Any) -> str:
    """Return a value as a cell of a table: its numbers if they are few, else what it is."""
    if isinstance(value, bool | str):
        return str(value)
    try:
        found = np.asarray(value, np.float64)
    except (TypeError, ValueError):
        return described(value)
    if found.size > _MOST_SHOWN:
        return described(value)
    return ", ".join(f"{one:.0f}" if one.is_integer() else number(one) for one in found.ravel().tolist())


def _agree(yours: Any, right: Any) -> bool:
    try:
        given, wanted = np.asarray(yours, np.float64), np.asarray(right, np.float64)
    except (TypeError, ValueError):
        return bool(yours == right)
    return given.shape == wanted.shape and bool((np.abs(given - wanted) <= _CLOSE * _size(wanted)).all())


def _size(wanted: Floats) -> float:
    return max(1.0, float(np.abs(wanted).max())) if wanted.size else 1.0


# --- a path on a loss of two parameters ---


def _walked(walk: Walk, scope: Scope) -> dict[str, Any]:
    """Return the path of the learner's code on the loss beside that of gradient descent.

    right, yours: points (n, 2) from the start on; `yours` ends where the code raised or returned no two numbers, and
    `error` says that. x, y: (GRID,) the places of `loss`, (GRID, GRID), rows by y. gradients, steps: for tables.
    """

    def loss(at: Floats) -> float:
        scope.names.give("p", at)
        return float(np.asarray(scope.evaluate(walk.loss), np.float64).reshape(()))

    def slope(at: Floats) -> Floats:
        return central_differences(loss, at)

    right = [np.array(walk.start)]
    for _step in range(walk.steps):
        right.append(right[-1] - walk.lr * slope(right[-1]))
    yours, error = _learners(walk, scope)
    x, y = _view(np.array(right), np.array(yours))
    gradients, gradient_error = _gradients(walk, scope, slope, yours)
    return {
        "names": list(walk.names),
        "x": x.tolist(),
        "y": y.tolist(),
        "loss": [[loss(np.array([across, up])) for across in x] for up in y],
        "right": np.array(right).tolist(),
        "yours": np.array(yours).tolist(),
        "gradients": gradients,
        "steps": _steps(walk, slope, yours),
        "error": error or gradient_error,
    }


def _learners(walk: Walk, scope: Scope) -> tuple[list[Floats], str]:
    """Return the points that the learner's code reaches, from the start on, and why there are no more of them."""
    points = [np.array(walk.start)]
    try:
        for count in range(1, walk.steps + 1):
            scope.names.give("n", count)
            points.append(_two_numbers(scope.evaluate(walk.path)))
    except DescentError as error:
        return points, str(error)
    return points, ""


def _two_numbers(value: Any) -> Floats:
    try:
        found = np.asarray(value, np.float64).ravel()
    except (TypeError, ValueError):
        found = np.zeros(0)
    if found.shape != (2,):
        raise CheckError(_("your code returned {value}, not two numbers", value=described(value)))
    return found


def _gradients(
    walk: Walk, scope: Scope, slope: Callable[[Floats], Floats], yours: list[Floats]
) -> tuple[list[dict[str, Any]], str]:
    """Return the learner's gradient beside finite differences, and why there is none.

    Without a function of their own for it, their gradient is what their first step went by.
    """
    found: list[dict[str, Any]] = []
    try:
        if walk.gradient is None:
            if len(yours) > 1:
                found.append(_compared(yours[0], (yours[0] - yours[1]) / walk.lr, slope))
            return found, ""
        for place in walk.at or (walk.start,):
            at = np.array(place)
            scope.names.give("p", at)
            found.append(_compared(at, _two_numbers(scope.evaluate(walk.gradient)), slope))
    except DescentError as error:
        return found, str(error)
    return found, ""


def _compared(at: Floats, yours: Floats, slope: Callable[[Floats], Floats]) -> dict[str, Any]:
    right = slope(at)
    return {"at": at.tolist(), "yours": yours.tolist(), "right": right.tolist(), "agree": _agree(yours, right)}


def _steps(walk: Walk, slope: Callable[[Floats], Floats], yours: list[Floats]) -> list[dict[str, Any]]:
    """Return the first steps: where each began, the gradient there, where it went, and where it should have gone."""
    found = []
    for step, (before, after) in enumerate(pairwise(yours), 1):
        if step > TABLE_STEPS:
            break
        gradient = slope(before)
        expected = before - walk.lr * gradient
        row = {"before": before, "gradient": gradient, "after": after, "expected": expected}
        found.append(
            {"step": step, "agree": _agree(after, expected), **{name: one.tolist() for name, one in row.items()}}
        )
    return found


def _view(right: Floats, yours: Floats) -> tuple[Floats, Floats]:
    """Return the places along both axes that show the right path, and of the learner's what is not far from it."""
    low, high = right.min(axis=0), right.max(axis=0)
    wide = np.maximum(high - low, 1e-3 * np.maximum(1.0, np.abs(high)))
    near = yours[np.isfinite(yours).all(axis=1)]
    near = near[((near >= low - _FAR * wide) & (near <= high + _FAR * wide)).all(axis=1)]
    both = np.concatenate([right, near])
    low, high = both.min(axis=0) - _ROUND * wide, both.max(axis=0) + _ROUND * wide
    return np.linspace(low[0], high[0], GRID), np.linspace(low[1], high[1], GRID)


# --- a graph of numbers ---


def _graphed(graph: Graph, scope: Scope) -> dict[str, Any]:
    """Return the learner's numbers, inputs before what is made of them, each beside what is right.

    nodes: [{"name", "inputs": [names], "value", "gradient", "right": [value, gradient], "agree"}]; a gradient that
    the code does not give is None, and so is `right` for a name that the lab does not know. What is known before an
    error is drawn.
    """
    right = {str(name): [float(value), float(slope)] for name, value, slope in scope.evaluate(graph.right)}
    gradients: dict[str, float | None] = {}
    error = ""
    try:
        nodes = _nodes(scope.evaluate(graph.nodes))
    except DescentError as raised:
        return {"nodes": [], "error": str(raised)}
    try:
        gradients = {str(name): _one_number(slope) for name, slope in _rows_of(scope.evaluate(graph.gradients), 2)}
    except DescentError as raised:
        error = str(raised)
    made = []
    for name, value, inputs in nodes:
        slope, wanted = gradients.get(name), right.get(name)
        agree = slope is not None and wanted is not None and _agree([value, slope], wanted)
        node = {"name": name, "inputs": inputs, "value": value, "gradient": slope, "right": wanted, "agree": agree}
        made.append(node)
    return {"nodes": made, "error": error}


def _nodes(found: Any) -> list[tuple[str, float, list[str]]]:
    made: list[tuple[str, float, list[str]]] = []
    for name, value, inputs in _rows_of(found, 3):
        known = [one for one, _value, _inputs in made]
        if not isinstance(inputs, list) or not {str(one) for one in inputs} <= set(known) or str(name) in known:
            raise CheckError(_("{name}: its inputs must stand before it, and each name once", name=str(name)))
        made.append((str(name), _one_number(value), [str(one) for one in inputs]))
    return made


def _rows_of(found: Any, length: int) -> list[list[Any]]:
    if not isinstance(found, list) or not all(isinstance(row, list) and len(row) == length for row in found):
        raise CheckError(
            _("your code returned {value}, not a list of lists of {count}", value=described(found), count=length)
        )
    return found


def _one_number(value: Any) -> float:
    try:
        return float(np.asarray(value, np.float64).reshape(()))
    except (TypeError, ValueError):
        raise CheckError(_("your code returned {value}, not one number", value=described(value))) from None
