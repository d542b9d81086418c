"""What the language of checks does with numbers, arrays, lists and texts; each step is bounded before it is done."""

import ast
import math
import operator
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from descent.common.text import show

LARGEST = 10_000_000  # elements of an array
MOST_WORK = 200_000_000  # elements that all parts of an expression come to
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


def array(values: Any) -> NDArray[Any]:
    """Numbers, however nested in lists, as an array. ValueError for anything else."""
    found = np.asarray(values)
    if found.dtype.kind not in "biuf":
        raise ValueError(f"takes numbers, not {kind_of(values)}")
    return found


def is_true(value: Any) -> bool:
    """A value as a truth. ValueError where it has several elements, or is none."""
    if isinstance(value, np.ndarray):
        raise ValueError(f"an array of shape {value.shape} is neither true nor false: use all(…) or any(…)")
    if isinstance(value, float) and math.isnan(value):
        raise ValueError("nan is neither true nor false")
    if isinstance(value, bool | int | float | str | list) or value is None:
        return bool(value)
    raise ValueError(f"{kind_of(value)} is neither true nor false")


def bound(size: int) -> None:
    """ValueError where an array of that many elements would be too large."""
    if size > LARGEST:
        raise ValueError(f"would have {size:,} elements; the most are {LARGEST:,}")


def simple(value: Any) -> Any:
    """NumPy's numbers, and arrays without axes, as Python's; complex numbers are refused."""
    if isinstance(value, np.generic) or (isinstance(value, np.ndarray) and value.ndim == 0):
        value = value.item()
    if isinstance(value, complex) or (isinstance(value, np.ndarray) and value.dtype.kind == "c"):
        raise ValueError("is a complex number")
    return value


def kind_of(value: Any) -> str:
    names = {"str": "a text", "NoneType": "nothing", "bool": "a truth", "list": "a list", "dict": "a table"}
    return names.get(type(value).__name__, type(value).__name__)


def operand(value: Any) -> Any:
    """A number or an array of numbers; a list of numbers becomes an array."""
    if isinstance(value, list):
        value = np.asarray(value)
    if isinstance(value, np.ndarray) and value.dtype.kind in "biuf":
        return value.astype(np.float64) if value.dtype.kind == "b" else value
    if isinstance(value, bool | int | float):
        return value
    raise ValueError(f"arithmetic takes numbers and arrays of numbers, not {kind_of(value)}")


def arithmetic(op: type[ast.operator], left: Any, right: Any) -> Any:
    if op in {ast.Add, ast.Mult} and any(
        isinstance(one, list) and isinstance(other, list | int) for one, other in ((left, right), (right, left))
    ):
        raise ValueError("a list is not repeated or joined: write array([…]), concat(…) or zeros(…)")
    left, right = operand(left), operand(right)
    _bound_shape(left, right)
    if op is ast.Pow:
        left = _bound_power(left, right)
    result = ARITHMETIC[op](left, right)
    if isinstance(result, int) and result.bit_length() > _LARGEST_INTEGER:
        raise OverflowError
    return result


def _bound_shape(left: Any, right: Any) -> None:
    """ValueError, before any memory is taken, where two arrays would make one that is too large."""
    shape = np.broadcast_shapes(np.shape(left), np.shape(right))
    size = int(np.prod(shape, dtype=object)) if shape else 1
    if size > LARGEST:
        raise ValueError(f"would have {size:,} elements; the most are {LARGEST:,}")


def _bound_power(base: Any, exponent: Any) -> Any:
    """The base, as a number that whole exponents can be taken of. ValueError where the power would be too large."""
    if isinstance(exponent, int) and isinstance(base, int):
        if abs(exponent) > LARGEST_EXPONENT or base.bit_length() * abs(exponent) > _LARGEST_INTEGER:
            raise ValueError(f"the power is too large; exponents go to {LARGEST_EXPONENT}")
    elif isinstance(base, np.ndarray) and base.dtype.kind in "iu":
        return base.astype(np.float64)  # whole numbers to a negative power are an error of NumPy's
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
            raise ValueError(f"{show(index)}: no such key; there are: {', '.join(map(str, list(value)[:20]))}")
        return value[index]
    if isinstance(value, list) and isinstance(index, int | slice):
        return value[index]
    if not isinstance(value, np.ndarray):
        raise ValueError(f"[…] is of arrays, lists and tables, not of {kind_of(value)}")
    parts = index if isinstance(index, tuple) else (index,)
    picked = [np.asarray(part) for part in parts if isinstance(part, list | np.ndarray)]
    if picked:
        if len(parts) > 1 and not all(isinstance(part, list | np.ndarray) for part in parts):
            raise ValueError("a list of places stands alone between the brackets")
        rest = int(np.prod(value.shape[len(parts) :], dtype=object))
        if max(part.size for part in picked) * rest > LARGEST and picked[0].dtype.kind != "b":
            raise ValueError(f"would have more than {LARGEST:,} elements")
        return value[tuple(picked)]
    return value[tuple(parts)]
