"""Values sent between the grader and the learner's process, as JSON. Pickle is never used: reading it can run code.

Arrays are sent as base64. A value that has no JSON form arrives as Opaque, which holds only the name of its type.
"""

import base64
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from descent.common.i18n import _

if TYPE_CHECKING:
    import numpy as np


_KINDS = "biuf"  # kinds of NumPy's dtypes: bool, signed and unsigned integers, floats
_DEEPEST = 20


class WireError(Exception):
    """A value can't be sent. The text says what the value is."""


@dataclass(frozen=True)
class Marked:
    """An array that the learner's function receives as a tensor of this type."""

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
    """A value from the learner's function that is not a number, an array, text, or a list or dict of these."""

    kind: str


def encode(value: Any, to_array: Callable[[Any], Any] = lambda value: None, depth: int = 0) -> Any:
    """Return `value` as JSON can hold it. to_array: turns a tensor into an array, and returns None for other values.

    Raises WireError if it can't be sent.
    """
    import numpy as np

    if depth > _DEEPEST:
        raise WireError(_("lists nested too deep to read"))
    match value:
        case None | bool() | float() | str():
            found: Any = value
        case int():
            if abs(value) > 1 << 128:
                raise WireError(_("a whole number of {bits} bits", bits=value.bit_length()))
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
    """Return the value that `encode` was given. tensor: turns a Marked array into one. resolve: finds an object."""
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
    """Return what a value is, for a message: "an array of shape (2, 1)"."""
    import numpy as np

    match value:
        case np.ndarray() if value.ndim:
            found = _("an array of shape {shape}", shape=value.shape)
        case None | bool():
            found = str(value)
        case int() | float() | np.ndarray():
            found = _("the number {value}", value=value)
        case str():
            found = _("text")
        case list():
            found = _("a list of {count} items", count=len(value))
        case Opaque():
            found = _("an object of type {type}", type=value.kind)
        case _:
            found = _("an object of type {type}", type=type(value).__name__)
    return found


def _packed(array: "np.ndarray[Any, Any]") -> dict[str, Any]:
    import numpy as np

    if array.dtype.kind not in _KINDS:
        raise WireError(_("an array of type {type}", type=array.dtype))
    shape = list(array.shape)
    plain = np.ascontiguousarray(array, array.dtype.newbyteorder("<"))
    return {"dtype": plain.dtype.str, "shape": shape, "data": base64.b64encode(plain.tobytes()).decode("ascii")}


def _unpacked(packed: dict[str, Any]) -> "np.ndarray[Any, Any]":
    import numpy as np

    dtype, shape = np.dtype(str(packed["dtype"])), tuple(int(n) for n in packed["shape"])
    data = base64.b64decode(packed["data"])
    if dtype.kind not in _KINDS or len(data) != dtype.itemsize * math.prod(shape):
        raise WireError(_("a damaged array"))
    return np.frombuffer(data, dtype).reshape(shape).copy()
