"""The actions of a loop of one's own: functions of its script that a client can have called between two steps."""

import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import nn

from descent.common.errors import DescentError
from descent.common.i18n import _
from descent.common.text import clean, did_you_mean, shorten
from descent.loop.checkpoint import copied
from descent.loop.kept import Kept

Function = Callable[[], object]


class Actions:
    """The functions that a script has declared, by name."""

    def __init__(self) -> None:
        self._functions: dict[str, Function] = {}

    def declare(self, name: str, function: Function) -> None:
        """Let a function be called by its name. Raises DescentError if the name is of no use."""
        if not isinstance(name, str) or not name.replace("-", "_").isidentifier() or not callable(function):
            raise DescentError(
                _(
                    "action({name}, …): needs a name of letters, digits, - and _, and a function without arguments",
                    name=shorten(clean(repr(name)), 80),
                )
            )
        self._functions[name] = function

    def names(self) -> list[str]:
        return list(self._functions)

    def find(self, name: object) -> Function:
        """Return the function of a name. Raises DescentError if there is none."""
        if isinstance(name, str) and name in self._functions:
            return self._functions[name]
        given = shorten(clean(str(name)), 80)
        if not self._functions:
            raise DescentError(
                _("{name}: this script has declared no action: run.action(name, function)", name=given)
            )
        allowed = ", ".join(self._functions)
        text = _("{name}: this script has no such action; allowed: {names}", name=given, names=allowed)
        raise DescentError(text + did_you_mean(given, self._functions))


def error_of_script(error: Exception) -> DescentError:
    """Return the answer to a command in which a function of the script has raised an error."""
    where = traceback.extract_tb(error.__traceback__)[-1]
    return DescentError(
        _(
            "the script's function raised {kind}: {error} ({file}:{line})",
            kind=type(error).__name__,
            error=shorten(clean(str(error)), 200),
            file=Path(where.filename).name,
            line=where.lineno,
        )
    )


@contextmanager
def undone_by_an_error(kept: Kept, model: nn.Module, device: torch.device) -> Iterator[None]:
    """Have a function called. Raises DescentError if it fails; all that is tracked is then as it was before."""
    states, randomness = copied(kept.states()), kept.randomness(device)
    modes = [(module, module.training) for module in model.modules()]
    try:
        yield
    except Exception as error:
        kept.restore_changed(states)
        kept.restore_randomness(randomness, device)
        for module, mode in modes:
            module.training = mode
        raise error_of_script(error) from None
