"""What the callbacks of libraries have in common whose Trainer drives the loop."""

import inspect
from collections.abc import Mapping
from typing import Any

from descent.common.errors import DescentError
from descent.common.i18n import _
from descent.loop import start
from descent.loop.watched import Loop

_SPLITS = {"val": "validation", "valid": "validation", "validation": "validation", "eval": "validation",
           "test": "test"}  # fmt: skip


class Begun:
    """The arguments of descent.init, kept until the training begins."""

    def __init__(self, name: str | None, options: Mapping[str, Any]) -> None:
        """Raises TypeError if descent.init does not have one of the options."""
        inspect.signature(start.init).bind(name, **options)
        self._name, self._options = name, dict(options)

    def begin(self, config: Mapping[str, Any]) -> Loop:
        """Begin the run. config: the library's own settings, for a script that gives none."""
        return start.init(self._name, **{"config": config, **self._options})


def track(run: Loop, things: Mapping[str, Any]) -> None:
    """Keep what the library has beside model and optimizer, and tell of what no checkpoint can hold."""
    for name, thing in things.items():
        try:
            run.track(**{name: thing})
        except DescentError as error:
            run.warn(str(error))


def evaluations(metrics: Mapping[str, Any]) -> dict[str, dict[str, float]]:
    """Return the numbers of an evaluation by the split that their names begin with, such as "val_loss"."""
    found: dict[str, dict[str, float]] = {}
    for name, value in metrics.items():
        first, separator, rest = name.replace("/", "_", 1).partition("_")
        split = _SPLITS.get(first) if separator else None
        try:
            number = float(value)
        except (TypeError, ValueError, RuntimeError):
            continue  # a text, or a matrix
        found.setdefault(split or "validation", {})[rest if split else name] = number
    return found


def evaluated(run: Loop, metrics: Mapping[str, Any]) -> None:
    """Keep the numbers of an evaluation, unless the run is over."""
    if not run.is_over:
        for split, values in evaluations(metrics).items():
            try:
                run.evaluation(split=split, **values)
            except DescentError as error:  # a name that can't be a metric's
                run.warn(str(error))


def is_of_evaluation(name: str) -> bool:
    """Return whether a number's name begins with that of a split."""
    return name.replace("/", "_", 1).partition("_")[0] in _SPLITS


def missing(extra: str, error: ImportError) -> ImportError:
    """Return an error that says how to install what an adapter needs."""
    text = _(
        "descent.{extra} needs a package that is not installed: {error}; pip install 'descent-console[{extra}]'",
        extra=extra,
        error=error,
    )
    return ImportError(text, name=error.name)
