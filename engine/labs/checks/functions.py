"""The functions of the language of checks: NumPy and linear algebra, under bounds of size."""

import builtins
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from descent.common.arrays import Floats
from descent.common.i18n import N_, _
from engine.labs.checks.operations import MOST_WORK, array, bound

Array = NDArray[Any]

_NOT_A_NUMBER = N_("takes an array, not a number")


def matmul(a: Any, b: Any) -> Any:
    """Return the product of matrices, (…, n, k) and (…, k, m)."""
    left, right = array(a), array(b)
    _bound_product(left, right)
    return left @ right


def dot(a: Any, b: Any) -> Any:
    """Return the sum of products of two arrays of the same shape."""
    left, right = array(a).astype(np.float64), array(b).astype(np.float64)
    if left.shape != right.shape:
        raise ValueError(
            _("takes two arrays of the same shape, not {left} and {right}", left=left.shape, right=right.shape)
        )
    return float(np.sum(left * right))


def least_squares(x: Any, y: Any) -> Floats:
    """Return b and w of the least squared error of y ≈ b + x w. x: (n, d) or (n,); y: (n,) or (n, 1). -> (1 + d,)."""
    design = _with_ones(x)
    targets = array(y).astype(np.float64).ravel()
    if len(targets) != len(design):
        raise ValueError(_("x has {rows} rows, y has {others}", rows=len(design), others=len(targets)))
    return np.asarray(np.linalg.lstsq(design, targets, rcond=None)[0], np.float64)


def largest_curvature(x: Any) -> float:
    """Return λmax of (2/n) XᵀX, the Hessian of the mean squared error.

    X is x with a column of ones. x: (n, d) or (n,).
    """
    design = _with_ones(x)
    return float(np.linalg.eigvalsh(2 / len(design) * design.T @ design)[-1])


def _with_ones(x: Any) -> Floats:
    found = array(x).astype(np.float64)
    if found.ndim == 0 or not found.size:
        raise ValueError(_("takes an array with at least one row"))
    rows = found.reshape(len(found), -1)
    if rows.shape[0] * (rows.shape[1] + 1) ** 2 > MOST_WORK:
        raise ValueError(_("is too much work for x of shape {shape}", shape=found.shape))
    return np.hstack([np.ones((len(rows), 1)), rows])


def _bound_product(left: Array, right: Array) -> None:
    inner = left.shape[-1] if left.ndim else 1
    outer = math.prod(left.shape[:-1]) * (math.prod(right.shape) // (inner or 1))
    bound(outer)
    if outer * inner > 100 * MOST_WORK:
        raise ValueError(_("is too much work"))


def first(values: Any) -> Any:
    """Return the first finite value along axis 0, or nan if there is none. (n, …) -> (…)."""
    return _finite_at(array(values), lambda finite: np.argmax(finite, axis=0))


def last(values: Any) -> Any:
    """Return the last finite value along axis 0, or nan if there is none. (n, …) -> (…)."""
    return _finite_at(array(values), lambda finite: len(finite) - 1 - np.argmax(finite[::-1], axis=0))


def _finite_at(values: Array, place: Callable[[Array], Any]) -> Any:
    if values.ndim == 0:
        raise ValueError(_(_NOT_A_NUMBER))
    if not len(values):
        return np.full(values.shape[1:], math.nan)
    finite = np.isfinite(values)
    found = np.take_along_axis(values, np.expand_dims(place(finite), 0), axis=0)[0]
    return np.where(finite.any(axis=0), found, math.nan)


# --- over all elements, or along one axis ---


def _over(reduce: Callable[..., Any]) -> Callable[..., Any]:
    def reduced(values: Any, axis: int | None = None) -> Any:
        found = array(values)
        if not found.size:
            raise ValueError(_("takes at least one number, and got none"))
        return reduce(found, axis=axis)

    return reduced


def _least(*values: Any, axis: int | None = None) -> Any:
    return _over(np.min)(values[0], axis) if len(values) == 1 else _between(np.minimum, values)


def _greatest(*values: Any, axis: int | None = None) -> Any:
    return _over(np.max)(values[0], axis) if len(values) == 1 else _between(np.maximum, values)


def _between(pick: Callable[[Any, Any], Any], values: Sequence[Any]) -> Any:
    found = array(values[0])
    for other in values[1:]:
        found = pick(found, array(other))
    return found


def sd(values: Any, axis: int | None = None) -> Any:
    """Return the standard deviation of a sample (divided by n - 1). For one value it is 0."""
    found = array(values)
    count = found.size if axis is None else found.shape[axis]
    return np.std(found, axis=axis, ddof=1) if count > 1 else np.zeros(np.shape(np.sum(found, axis=axis)))


def se(values: Any, axis: int | None = None) -> Any:
    """Return the standard error of the mean."""
    found = array(values)
    return sd(found, axis) / math.sqrt(found.size if axis is None else found.shape[axis])


def count(values: Any) -> int:
    """Return how many values are true."""
    return int(np.count_nonzero(array(values)))


def norm(values: Any) -> float:
    """Return the square root of the sum of all squares."""
    return float(np.linalg.norm(array(values).astype(np.float64).ravel()))


# --- making and joining ---


def integers(*bounds: int) -> Array:
    """Return range(n), range(a, b) or range(a, b, step) as an array."""
    if not 1 <= len(bounds) <= 3 or not all(_is_whole(bound) for bound in bounds):
        raise ValueError(_("takes one to three whole numbers"))
    bound(len(range(*bounds)))
    return np.arange(*bounds)


def _filled(fill: Callable[[tuple[int, ...]], Array]) -> Callable[..., Array]:
    def filled(shape: Any) -> Array:
        sizes = tuple(shape) if isinstance(shape, list | tuple | np.ndarray) else (shape,)
        if not all(_is_whole(size) and size >= 0 for size in sizes):
            raise ValueError(_("takes a whole number ≥ 0, or a list of them"))
        bound(math.prod(int(size) for size in sizes))
        return fill(sizes)

    return filled


def linspace(start: float, stop: float, number: int) -> Array:
    """Return `number` values from start to stop, both included."""
    if not _is_whole(number):
        raise ValueError(_("the number of values must be a whole number"))
    bound(number)
    return np.linspace(start, stop, number)


def concat(*values: Any) -> Any:
    """Join arrays along axis 0, or lists. A number counts as an array of one."""
    if builtins.all(isinstance(one, list) for one in values) and not _numeric(values):
        return [item for one in values for item in one]
    arrays = [np.atleast_1d(array(one)) for one in values]
    bound(builtins.sum(one.size for one in arrays))
    return np.concatenate(arrays)


def _numeric(values: Sequence[Any]) -> bool:
    try:
        return builtins.all(np.asarray(one).dtype.kind in "biuf" for one in values)
    except ValueError:
        return False


def reshape(values: Any, *sizes: Any) -> Array:
    """Change the shape: reshape(a, 2, 3) or reshape(a, [2, 3]). -1 stands for the size that fits."""
    shape = sizes[0] if len(sizes) == 1 and isinstance(sizes[0], list) else sizes
    return array(values).reshape(tuple(int(size) for size in shape))


def flat(values: Any) -> Array:
    """Return all numbers of lists and arrays in one row, in order. The lists may differ in length."""
    if not isinstance(values, list):
        return array(values).ravel()
    parts = [flat(one) for one in values]
    bound(builtins.sum(part.size for part in parts))
    return np.concatenate(parts) if parts else np.zeros(0)


def sizes(values: Any) -> Array:
    """Return how many numbers each element of a list, or each row of an array, holds."""
    return np.array([flat(one).size for one in values])


def ranked(names: Any, values: Any) -> Any:
    """Sort names by their values, the smallest first. Names of equal values keep their order."""
    found = array(values)
    if found.shape != (len(names),):
        raise ValueError(
            _(
                "takes one value for each of {count} names, not an array of shape {shape}",
                count=len(names),
                shape=found.shape,
            )
        )
    return [names[place] for place in np.argsort(found, kind="stable")]


def steps_below(values: Any, height: float) -> Any:
    """Return the first index along axis 0 of a value of height or less, or inf if there is none. (n, …) -> (…)."""
    below = array(values) <= height
    return np.where(below.any(axis=0), np.argmax(below, axis=0), math.inf)


def unique(values: Any) -> Any:
    """Return each value once, in order."""
    return sorted(set(values)) if _is_texts(values) else np.unique(array(values))


def ordered(values: Any) -> Any:
    """Sort values, those of an array along its last axis."""
    return sorted(values) if _is_texts(values) else np.sort(array(values))


def disjoint(*values: Any) -> bool:
    """Return whether no value is in two of the lists or arrays."""
    sets = [set(one) if _is_texts(one) else set(array(one).ravel().tolist()) for one in values]
    return builtins.sum(len(one) for one in sets) == len(set[Any]().union(*sets))


def length(values: Any) -> int:
    """Return the length of a list, a text or a table, or of an array along axis 0."""
    if isinstance(values, np.ndarray) and values.ndim == 0:
        raise ValueError(_(_NOT_A_NUMBER))
    return len(values)


def shape(values: Any) -> list[int]:
    """Return the sizes along each axis. A number has []."""
    return list(np.shape(array(values)))


def central_differences(function: Callable[[Floats], float], point: Any, step: float = 1e-5) -> Floats:
    """Return the gradient of a function at a point, by central differences, in the shape of the point."""
    start = np.atleast_1d(array(point)).astype(np.float64)
    slopes = np.empty_like(start)
    for place in np.ndindex(start.shape):
        move = np.zeros_like(start)
        move[place] = step * max(1.0, abs(float(start[place])))
        slopes[place] = (function(start + move) - function(start - move)) / (2 * move[place])
    return slopes.reshape(np.shape(array(point)))


# --- bounds ---


def _is_whole(value: Any) -> bool:
    return isinstance(value, int | np.integer) and not isinstance(value, bool)


def _is_texts(values: Any) -> bool:
    return isinstance(values, list) and builtins.any(isinstance(one, str) for one in values)


def _each(function: Callable[[Any], Any]) -> Callable[[Any], Any]:
    return lambda values: function(array(values))


def _truths(reduce: Callable[[Any], Any]) -> Callable[[Any], bool]:
    return lambda values: bool(reduce(array(values)))


FUNCTIONS: dict[str, Callable[..., Any]] = {
    # over all elements, or along axis = …
    "mean": _over(np.mean),
    "median": _over(np.median),
    "sum": lambda values, axis=None: np.sum(array(values), axis=axis),
    "prod": lambda values, axis=None: np.prod(array(values), axis=axis, dtype=np.float64),
    "min": _least,
    "max": _greatest,
    "argmin": _over(np.argmin),
    "argmax": _over(np.argmax),
    "sd": sd,
    "se": se,
    "quantile": lambda values, share: np.quantile(array(values), share),
    "count": count,
    "any": _truths(np.any),
    "all": _truths(np.all),
    "norm": norm,
    "first": first,
    "last": last,
    # each element by itself
    "abs": _each(np.abs),
    "sqrt": _each(np.sqrt),
    "exp": _each(np.exp),
    "log": _each(np.log),
    "log10": _each(np.log10),
    "sin": _each(np.sin),
    "cos": _each(np.cos),
    "tanh": _each(np.tanh),
    "sign": _each(np.sign),
    "isfinite": _each(np.isfinite),
    "round": lambda values, digits=0: np.round(array(values).astype(np.float64), digits),
    "where": lambda condition, one, other: np.where(array(condition), array(one), array(other)),
    # making, joining, turning
    "array": array,
    "range": integers,
    "zeros": _filled(np.zeros),
    "ones": _filled(np.ones),
    "linspace": linspace,
    "concat": concat,
    "reshape": reshape,
    "transpose": _each(np.transpose),
    "cumsum": _each(np.cumsum),
    "diff": _each(np.diff),
    "sorted": ordered,
    "unique": unique,
    "flat": flat,
    "sizes": sizes,
    "ranked": ranked,
    "steps_below": steps_below,
    "disjoint": disjoint,
    "len": length,
    "shape": shape,
    # linear algebra
    "dot": dot,
    "matmul": matmul,
    "least_squares": least_squares,
    "largest_curvature": largest_curvature,
}
