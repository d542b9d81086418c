"""Calls the learner's function once more and notes what goes wrong on the way, with the line, where no error says so.

A TorchFunctionMode watches torch's operations, a subclass of its arrays those of NumPy. Neither changes a value.
"""

import contextlib
import io
import sys
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

Place = Callable[[Any], tuple[int, str] | None]  # the line of the learner's file in a frame or its callers
Facts = dict[str, dict[str, Any]]

_ELEMENTWISE = {"sub", "rsub", "add", "radd", "mul", "rmul", "subtract", "multiply", "div", "eq", "ne", "equal"}
_ELEMENTWISE |= {"mse_loss", "l1_loss", "smooth_l1_loss", "huber_loss", "true_divide", "divide", "pow", "power"}
_SOFTMAX = {"softmax": "cross_entropy", "log_softmax": "cross_entropy", "sigmoid": "binary_cross_entropy_with_logits"}


class Observer(TorchFunctionMode):
    """Watches what runs inside `with`. facts: by name, the first of each kind; the line, and numbers for its text."""

    def __init__(self, place: Place) -> None:
        super().__init__()
        self.facts: Facts = {}
        self._place = place
        self._has_stepped_back = False  # backward() was called
        self._leaves: dict[int, Tensor] = {}
        self._squashed: dict[int, tuple[str, Tensor]] = {}  # outputs of a softmax, and the loss that wants none

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        name = str(getattr(func, "__name__", "")).strip("_")
        given = [one for one in (*args, *kwargs.values()) if isinstance(one, Tensor)]
        self._leaves |= {id(one): one for one in given if one.is_leaf and one.requires_grad}
        if name == "backward":
            self._note_gradients()
        if name in ("dropout", "batch_norm") and kwargs.get("training"):
            self._note("training")
        if name == "linear" and torch.is_grad_enabled():
            self._note("recording")
        result = func(*args, **kwargs)
        if name in _SOFTMAX and isinstance(result, Tensor):
            self._squashed[id(result)] = (_SOFTMAX[name], result)
        if given and id(given[0]) in self._squashed and self._squashed[id(given[0])][0] == name:
            self._note("softmax")
        if name == "cross_entropy" and given and _are_probabilities(given[0]):
            self._note("softmax")  # one that was written by hand
        if name in ("argmax", "max") and given and given[0].ndim == 2 and 0 in (*args[1:2], kwargs.get("dim", 1)):
            self._note("argmax")
        if isinstance(result, Tensor):
            self.saw(name, [one.shape for one in given], result.shape)
            if result.is_floating_point() and not bool(torch.isfinite(result.detach()).all()):
                finite = all(bool(torch.isfinite(one.detach()).all()) for one in given if one.is_floating_point())
                self.saw_infinite(name, finite)
        return result

    def _note_gradients(self) -> None:
        """Note gradients that the next backward() will add to."""
        self._has_stepped_back = True
        if any(leaf.grad is not None and bool(leaf.grad.any()) for leaf in self._leaves.values()):
            self._note("grad")

    def saw(self, name: str, shapes: Iterable[Iterable[int]], result: Iterable[int]) -> None:
        """Note (n, 1) against (n,), which makes (n, n)."""
        given = [tuple(int(n) for n in shape) for shape in shapes]
        if name.strip("_") in _ELEMENTWISE and len(given) == 2:
            n = max((max(shape, default=1) for shape in given), default=1)
            if n > 1 and set(given) == {(n, 1), (n,)}:
                self._note("broadcast", left=f"({n}, 1)", right=f"({n},)", result=f"({n}, {n})")

    def saw_infinite(self, name: str, finite: bool) -> None:
        """Note the operation that made the first infinite number or nan of finite ones."""
        if finite and name not in ("full", "tensor", "empty"):
            self._note("log" if name in ("log", "log2", "log10") else "infinite", name=name)

    def _note(self, kind: str, **values: Any) -> None:
        place = self._place(sys._getframe(1))
        if place is not None and kind not in self.facts:
            self.facts[kind] = {**values, "line": place[0], "code": place[1]}

    def found(self) -> Facts:
        """Return the facts. A model in training mode, and gradients, are right where a step follows."""
        wanted = ("training", "recording") if self._has_stepped_back else ()
        return {kind: fact for kind, fact in self.facts.items() if kind not in wanted}


def observe(function: Callable[..., Any], arguments: list[Any], place: Place) -> Facts:
    """Call the function, print nothing, and return what was seen, up to an error if there is one."""
    observer = Observer(place)
    watched = _watched(observer)
    given = [one.view(watched) if isinstance(one, np.ndarray) else one for one in arguments]
    with contextlib.suppress(Exception), contextlib.redirect_stdout(io.StringIO()), observer:
        function(*given)
    return observer.found()


def _watched(observer: Observer) -> type[np.ndarray[Any, Any]]:
    class Watched(np.ndarray[Any, Any]):
        """An array that tells what is computed from it."""

        def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **kwargs: Any) -> Any:
            plain = [_plain(one) for one in inputs]
            if "out" in kwargs:
                kwargs["out"] = tuple(_plain(one) for one in kwargs["out"])
            result = getattr(ufunc, method)(*plain, **kwargs)
            if method == "__call__" and isinstance(result, np.ndarray):
                observer.saw(
                    ufunc.__name__, [one.shape for one in plain if isinstance(one, np.ndarray)], result.shape
                )
                if result.dtype.kind == "f" and not np.isfinite(result).all():
                    observer.saw_infinite(ufunc.__name__, all(np.isfinite(one).all() for one in plain))
                return result.view(Watched)
            return result

    return Watched


def _are_probabilities(scores: Tensor) -> bool:
    """Return whether each row adds up to 1, of numbers between 0 and 1: no model's logits do that by chance."""
    if scores.ndim != 2 or not scores.is_floating_point():
        return False
    between = bool(((scores > 0) & (scores < 1)).all())
    return between and bool(torch.isclose(scores.sum(1), scores.new_tensor(1.0), atol=1e-5).all())


def _plain(value: Any) -> Any:
    return value.view(np.ndarray) if isinstance(value, np.ndarray) else value
