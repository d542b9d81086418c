"""Reading of pickles without running the code in them.

A pickle is a program. It may name any function and call it. This reader knows arrays, plain containers and torch
tensors, and refuses every other name. NumPy's own functions are not used to build the arrays, because they trust the
pickle: a dtype's pickled state can claim that bytes are pointers to objects. Here a pickle only fills in `_Dtype` and
`_Array`, and arrays of plain numbers and text are made of them afterwards.
"""

import io
import pickle
import re
import zipfile
from collections import OrderedDict
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import torch

from descent.common.errors import DataError
from descent.common.i18n import _

_TORCH_MAGIC = 0x1950A86A20F9469CFC6C  # begins a file of torch.save before PyTorch 1.6
_PLAIN = re.compile(r"[<>|=]?(b1|[iu][1248]|f[248]|[SU]\d+)")


class _RefusedError(Exception):
    """The pickle asks for something that is not data. The text names it, in the current language."""


def read(path: Path) -> Any:
    """Return the containers of arrays in a pickle or a file of torch.save. Raises DataError for anything else."""
    try:
        if zipfile.is_zipfile(path):
            return _load_torch(path)
        with path.open("rb") as file:
            found = _finish(_Unpickler(file, encoding="latin1").load())
        return _load_torch(path) if type(found) is int and found == _TORCH_MAGIC else found
    except _RefusedError as error:
        raise DataError(
            _(
                "{file} asks for {what}, which is not data: only arrays, tensors and plain containers are read from "
                "a pickle, because anything else could run code. Save the arrays with numpy.savez instead.",
                file=path,
                what=error,
            )
        ) from error
    except MemoryError:
        raise
    except Exception as error:
        # A damaged pickle can fail in any way: an EOFError, a KeyError of its memo, a RecursionError …
        reason = " ".join(str(error).split()) or type(error).__name__
        raise DataError(
            _("{file} can't be read as a pickle: {reason}.", file=path, reason=reason.rstrip("."))
        ) from error


def _load_torch(path: Path | io.BytesIO) -> Any:
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        named = re.search(r"(?:GLOBAL|global)\s+`?([\w.]+)", str(error))
        if named is None:
            raise
        raise _RefusedError(named.group(1)) from error


class _Dtype:
    """A dtype of a pickle: its code and, from the state set later, its byte order."""

    __slots__ = ("code",)

    def __init__(self, code: object, *rest: object) -> None:
        text = code.decode("ascii") if isinstance(code, bytes) else code
        if not isinstance(text, str) or not _PLAIN.fullmatch(text):
            raise _RefusedError(_("an array of the type {type!r}", type=str(text)[:40]))
        self.code = text

    def __setstate__(self, state: object) -> None:
        order = state[1] if isinstance(state, tuple) and len(state) > 1 else None
        order = order.decode("ascii") if isinstance(order, bytes) else order
        if order not in ("<", ">", "|", "="):
            raise _RefusedError(_("an array whose type has an unknown byte order"))
        self.code = str(order) + self.code.lstrip("<>|=")


class _Array:
    """An array of a pickle: shape, type, order and bytes."""

    __slots__ = ("data", "dtype", "fortran", "shape")

    def __init__(self) -> None:
        self.data: object = None
        self.dtype: object = None
        self.fortran: object = False
        self.shape: object = None

    def __setstate__(self, state: object) -> None:
        if not isinstance(state, tuple) or len(state) != 5:
            raise _RefusedError(_("an array with an unknown state"))
        self.shape, self.dtype, self.fortran, self.data = state[1:]

    def finish(self) -> np.ndarray[Any, Any]:
        data = self.data.encode("latin1") if isinstance(self.data, str) else self.data  # Python 2's bytes
        if not isinstance(self.dtype, _Dtype) or not isinstance(data, bytes | bytearray):
            raise _RefusedError(_("an array of Python objects"))
        shape = self.shape if isinstance(self.shape, tuple) else (self.shape,)
        if not all(type(length) is int and length >= 0 for length in shape):
            raise _RefusedError(_("an array with an unknown shape"))
        flat = np.frombuffer(bytes(data), dtype=np.dtype(self.dtype.code))
        return flat.reshape(shape, order="F" if self.fortran else "C")


class _ArrayType:
    """A stand-in for numpy.ndarray, which a pickle names but need not call."""

    def __new__(cls, *rest: object) -> NoReturn:
        raise _RefusedError(_("numpy.ndarray as a function"))


def _reconstruct(subtype: object, *rest: object) -> _Array:
    if subtype is not _ArrayType:
        raise _RefusedError(_("an array of an unknown kind"))
    return _Array()


def _from_buffer(data: object, dtype: object, shape: object, order: object = "C", *_: object) -> _Array:
    array = _Array()
    array.__setstate__((1, shape, dtype, order == "F", data))
    return array


def _scalar(dtype: object, data: object = b"") -> _Array:
    return _from_buffer(data, dtype, ())


def _encode(text: object, encoding: object = "latin1", *rest: object) -> bytes:
    """Return bytes, which Python 3 writes by this call for protocol 2."""
    if not isinstance(text, str) or encoding not in ("latin1", "latin-1"):
        raise _RefusedError(f"_codecs.encode with {str(encoding)[:40]!r}")
    return text.encode("latin1")


def _no_bytes(*arguments: object) -> bytes:
    """Return b"", which Python 3 writes by this call for protocol 2."""
    if arguments:
        raise _RefusedError(_("bytes with arguments"))
    return b""


def _storage(data: object) -> Any:
    """Load a storage safely. torch's own reducer would call torch.load(weights_only=False) here."""
    if not isinstance(data, bytes):
        raise _RefusedError(_("a tensor without bytes"))
    return _load_torch(io.BytesIO(data))


def _tensor(storage: object, offset: int, size: tuple[int, ...], stride: tuple[int, ...], *rest: object) -> Any:
    if not isinstance(storage, torch.storage.TypedStorage):
        raise _RefusedError(_("a tensor without a storage"))
    return torch._utils._rebuild_tensor(storage, offset, size, stride)  # type: ignore[no-untyped-call]


def _parameter(data: object, *_: object) -> object:
    return data


_KNOWN: dict[tuple[str, str], Any] = {
    ("collections", "OrderedDict"): OrderedDict,
    ("_codecs", "encode"): _encode,
    ("numpy", "ndarray"): _ArrayType,
    ("numpy", "dtype"): _Dtype,
    ("torch._utils", "_rebuild_tensor_v2"): _tensor,
    ("torch._utils", "_rebuild_parameter"): _parameter,
    ("torch.storage", "_load_from_bytes"): _storage,
    **{
        (module, name): builtin
        for module in ("builtins", "__builtin__")
        for name, builtin in {
            "bytes": _no_bytes,
            "set": set,
            "frozenset": frozenset,
            "complex": complex,
        }.items()
    },
    **{
        (f"numpy.{core}.{module}", name): function
        for core in ("core", "_core")  # before and since NumPy 2
        for module, name, function in (
            ("multiarray", "_reconstruct", _reconstruct),
            ("multiarray", "scalar", _scalar),
            ("numeric", "_frombuffer", _from_buffer),
        )
    },
}


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        known = _KNOWN.get((module, name))
        if known is None:
            raise _RefusedError(f"{module}.{name}")
        return known

    def persistent_load(self, pid: object) -> NoReturn:
        raise _RefusedError(_("something outside of the file"))


def _finish(value: Any) -> Any:
    """Replace each `_Array` by a real array, in containers too."""
    if isinstance(value, _Array):
        array = value.finish()
        return array if array.ndim else array.item()
    if isinstance(value, dict):
        return {_finish(key): _finish(item) for key, item in value.items()}
    if isinstance(value, list):
        # Labels are often a list of ten thousand numbers.
        return [item if type(item) in (int, float, str) else _finish(item) for item in value]
    if isinstance(value, tuple):
        return tuple(_finish(item) for item in value)
    if isinstance(value, bytes):
        return value.decode("latin1")  # names of arrays and classes
    return value
