"""Values between the grader and the learner's process, as JSON: never pickle, which would run what it reads.

Arrays travel as base64. What has no such form arrives as Opaque, which says only what it was.
"""

import base64
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np


_KINDS = "biuf"  # of NumPy's types: truth values, whole numbers, floats
_DEEPEST = 20


class WireError(Exception):
    """A value that can't be sent; its text says what it is."""


@dataclass(frozen=True)
class Marked:
    """An array that the learner's function is to get as a tensor of this type."""

    array: "np.ndarray[Any, Any]"
    dtype: str  # "float32" or "float64"; whole numbers keep their type


@dataclass(frozen=True)
class Handle:
    """An object that lives in the learner's process, by its kind and name."""

    kind: str  # "model", "trained", "optimizer", "loss"
    name: str
    of: str = ""  # the model of an optimizer


@dataclass(frozen=True)
class Opaque:
    """Something that the learner's function returned and that is no number, array, text or container of such."""

    kind: str


def encode(value: Any, to_array: Callable[[Any], Any] = lambda value: None, depth: int = 0) -> Any:
    """`value` as what JSON can hold. to_array: an array of what is like one (a tensor), None for all else."""
    import numpy as np

    if depth > _DEEPEST:
        raise WireError("lists in lists, too deep to read")
    match value:
        case None | bool() | float() | str():
            found: Any = value
        case int():
            if abs(value) > 1 << 128:
                raise WireError(f"a whole number of {value.bit_length()} bits")
            found = int(value)
        case np.generic() | np.ndarray():
            found = {"array": _packed(np.asarray(value))}
        case Marked(array, dtype):
            found = {"tensor": _packed(array), "dtype": dtype}
        case Handle(kind, name, of):
            found = {"handle": [kind, name, of]}
        case Opaque(kind):
            found = {"opaque": kind}
        case list() | tuple():
            found = [encode(item, to_array, depth + 1) for item in value]
        case dict():
            found = {"dict": [[str(key), encode(item, to_array, depth + 1)] for key, item in value.items()]}
        case _:
            array = to_array(value)
            found = {"opaque": type(value).__name__} if array is None else {"array": _packed(array)}
    return found


def decode(
    value: Any,
    tensor: Callable[[Marked], Any] = lambda marked: marked.array,
    resolve: Callable[[Handle], Any] = lambda handle: handle,
) -> Any:
    """What `encode` made it from. tensor: of an array marked so. resolve: the object that a handle stands for."""
    match value:
        case list():
            found: Any = [decode(item, tensor, resolve) for item in value]
        case {"array": packed}:
            found = _unpacked(packed)
        case {"tensor": packed, "dtype": dtype}:
            found = tensor(Marked(_unpacked(packed), str(dtype)))
        case {"handle": [kind, name, of]}:
            found = resolve(Handle(kind, name, of))
        case {"opaque": kind}:
            found = Opaque(str(kind))
        case {"dict": pairs}:
            found = {key: decode(item, tensor, resolve) for key, item in pairs}
        case _:
            found = value
    return found


def described(value: Any) -> str:
    """What a value is, for a message: "an array of shape (2, 1)"."""
    import numpy as np

    match value:
        case np.ndarray():
            found = f"an array of shape {value.shape}" if value.ndim else f"the number {value.item()}"
        case None | bool():
            found = str(value)
        case int() | float():
            found = f"the number {value}"
        case str():
            found = "a text"
        case list():
            found = f"a list of {len(value)}"
        case Opaque():
            found = f"an object of type {value.kind}"
        case _:
            found = f"a {type(value).__name__}"
    return found


def _packed(array: "np.ndarray[Any, Any]") -> dict[str, Any]:
    import numpy as np

    if array.dtype.kind not in _KINDS:
        raise WireError(f"an array of type {array.dtype}")
    shape = list(array.shape)
    plain = np.ascontiguousarray(array, array.dtype.newbyteorder("<"))
    return {"dtype": plain.dtype.str, "shape": shape, "data": base64.b64encode(plain.tobytes()).decode("ascii")}


def _unpacked(packed: dict[str, Any]) -> "np.ndarray[Any, Any]":
    import numpy as np

    dtype, shape = np.dtype(str(packed["dtype"])), tuple(int(n) for n in packed["shape"])
    data = base64.b64decode(packed["data"])
    if dtype.kind not in _KINDS or len(data) != dtype.itemsize * math.prod(shape):
        raise WireError("a damaged array")
    return np.frombuffer(data, dtype).reshape(shape).copy()
