"""The operations of the language of checks on numbers, arrays, lists and texts. Each is bounded before it is done."""

import ast
import math
import operator
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from descent.common.i18n import N_, _
from descent.common.text import show

LARGEST = 10_000_000  # elements of an array
MOST_WORK = 200_000_000  # elements of all parts of an expression together
LARGEST_EXPONENT = 1000
_LARGEST_INTEGER = 4096  # bits

ARITHMETIC: dict[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
    ast.Pow: operator.pow,
}
COMPARISONS: dict[type[ast.cmpop], Callable[[Any, Any], Any]] = {
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.In: lambda a, b: a in b,
    ast.NotIn: lambda a, b: a not in b,
}
_NO_TRUTH = N_("{type} is neither true nor false")
_TYPES = {
    "str": N_("text"),
    "NoneType": N_("nothing"),
    "bool": N_("a truth value"),
    "list": N_("a list"),
    "dict": N_("a table"),
}


def array(values: Any) -> NDArray[Any]:
    """Return numbers, nested in lists or not, as an array. Raises ValueError for anything else."""
    found = np.asarray(values)
    if found.dtype.kind not in "biuf":
        raise ValueError(_("takes numbers, not {type}", type=kind_of(values)))
    return found


def is_true(value: Any) -> bool:
    """Return a value as a truth value. Raises ValueError for an array and for nan."""
    if isinstance(value, np.ndarray):
        raise ValueError(
            _("an array of shape {shape} is neither true nor false: use all(…) or any(…)", shape=value.shape)
        )
    if isinstance(value, float) and math.isnan(value):
        raise ValueError(_(_NO_TRUTH, type="nan"))
    if isinstance(value, bool | int | float | str | list) or value is None:
        return bool(value)
    raise ValueError(_(_NO_TRUTH, type=kind_of(value)))


def bound(size: int) -> None:
    """Raise ValueError if an array of that many elements would be too large."""
    if size > LARGEST:
        raise ValueError(_("would have {size:,} elements; at most {most:,} are allowed", size=size, most=LARGEST))


def simple(value: Any) -> Any:
    """Return NumPy's numbers, and arrays without axes, as Python's numbers. Raises ValueError for complex numbers."""
    if isinstance(value, np.generic) or (isinstance(value, np.ndarray) and value.ndim == 0):
        value = value.item()
    if isinstance(value, complex) or (isinstance(value, np.ndarray) and value.dtype.kind == "c"):
        raise ValueError(_("is a complex number"))
    return value


def kind_of(value: Any) -> str:
    """Return the type of a value, in words, for a message."""
    name = type(value).__name__
    return _(_TYPES[name]) if name in _TYPES else name


def operand(value: Any) -> Any:
    """Return a number or an array of numbers for arithmetic. A list of numbers becomes an array.

    Raises ValueError for anything else.
    """
    if isinstance(value, list):
        value = np.asarray(value)
    if isinstance(value, np.ndarray) and value.dtype.kind in "biuf":
        return value.astype(np.float64) if value.dtype.kind == "b" else value
    if isinstance(value, bool | int | float):
        return value
    raise ValueError(_("arithmetic takes numbers and arrays of numbers, not {type}", type=kind_of(value)))


def arithmetic(op: type[ast.operator], left: Any, right: Any) -> Any:
    if op in {ast.Add, ast.Mult} and any(
        isinstance(one, list) and isinstance(other, list | int) for one, other in ((left, right), (right, left))
    ):
        raise ValueError(_("lists can't be repeated or joined: use array([…]), concat(…) or zeros(…)"))
    left, right = operand(left), operand(right)
    _bound_shape(left, right)
    if op is ast.Pow:
        left = _bound_power(left, right)
    result = ARITHMETIC[op](left, right)
    if isinstance(result, int) and result.bit_length() > _LARGEST_INTEGER:
        raise OverflowError
    return result


def _bound_shape(left: Any, right: Any) -> None:
    """Raise ValueError, before any memory is taken, if two arrays would make one that is too large."""
    shape = np.broadcast_shapes(np.shape(left), np.shape(right))
    bound(int(np.prod(shape, dtype=object)) if shape else 1)


def _bound_power(base: Any, exponent: Any) -> Any:
    """Return the base in a type that allows all exponents. Raises ValueError if the power would be too large."""
    if isinstance(exponent, int) and isinstance(base, int):
        if abs(exponent) > LARGEST_EXPONENT or base.bit_length() * abs(exponent) > _LARGEST_INTEGER:
            raise ValueError(_("the power is too large; the largest exponent is {most}", most=LARGEST_EXPONENT))
    elif isinstance(base, np.ndarray) and base.dtype.kind in "iu":
        return base.astype(np.float64)  # NumPy raises an error for whole numbers to a negative power
    return base


def negated(value: Any) -> Any:
    return np.logical_not(value) if isinstance(value, np.ndarray) else not is_true(value)


def both(one: Any, other: Any) -> Any:
    if isinstance(one, np.ndarray) or isinstance(other, np.ndarray):
        return np.logical_and(one, other)
    return is_true(one) and is_true(other)


def compared(op: type[ast.cmpop], left: Any, right: Any) -> Any:
    if isinstance(left, np.ndarray) or isinstance(right, np.ndarray):
        if op in {ast.In, ast.NotIn}:
            return bool(np.any(np.asarray(right) == left)) == (op is ast.In)
        left, right = np.asarray(left), np.asarray(right)
        _bound_shape(left, right)
    return COMPARISONS[op](left, right)


def item(value: Any, index: Any) -> Any:
    if isinstance(value, Mapping):
        if index not in value:
            names = ", ".join(map(str, list(value)[:20]))
            raise ValueError(_("{key}: no such key; there are: {names}", key=show(index), names=names))
        return value[index]
    if isinstance(value, list) and isinstance(index, int | slice):
        return value[index]
    if not isinstance(value, np.ndarray):
        raise ValueError(_("[…] needs an array, a list or a table, not {type}", type=kind_of(value)))
    parts = index if isinstance(index, tuple) else (index,)
    picked = [np.asarray(part) for part in parts if isinstance(part, list | np.ndarray)]
    if picked:
        if len(parts) > 1 and not all(isinstance(part, list | np.ndarray) for part in parts):
            raise ValueError(_("a list of indices must be the only index between the brackets"))
        rest = int(np.prod(value.shape[len(parts) :], dtype=object))
        if picked[0].dtype.kind != "b":
            bound(max(part.size for part in picked) * rest)
        return value[tuple(picked)]
    return value[tuple(parts)]
