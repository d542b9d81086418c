"""The user's own models, data sets and losses, from one Python file each.

That the user agreed to run the file is checked by the caller. What goes wrong inside becomes a PresetError
that names the file and the line; what the code prints goes to stderr, since stdout may be carrying JSON.
"""

import contextlib
import hashlib
import importlib.machinery
import inspect
import sys
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import torch

from descent.child import taken_name
from descent.common.errors import DescentError, PresetError
from descent.common.text import likely

CodeLoader = Callable[[str], Any]  # "file.py:name" -> the object; the caller has seen to consent

_CALLERS = 3  # that a message names
_user_files: set[str] = set()  # every file that was loaded, as tracebacks name it


def load_object(spec: str) -> Any:
    """The object that `spec`, an absolute "dir/file.py:name", names.

    Only that one file is loaded: its folder is not put on the import path, so nothing beside it, to which
    nobody agreed, is run. PresetError where the file or the name is missing, or importing the file fails.
    """
    file, _, name = spec.rpartition(":")
    module = _load_module(Path(file))
    if not hasattr(module, name):
        there = [key for key, value in vars(module).items() if _is_own(value, module)]
        raise PresetError(f'{file} has no "{name}"{_suggestion(name, there)}')
    return getattr(module, name)


def call_user_code(spec: str, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
    """function(*args, **kwargs); whatever it raises becomes a PresetError with the file and line.

    spec: "file.py:name", for errors that no line of the user's raised (wrong arguments, say).
    """
    try:
        with contextlib.redirect_stdout(sys.stderr):
            return function(*args, **kwargs)
    except (DescentError, torch.OutOfMemoryError):  # not the code's fault, and answered elsewhere
        raise
    except (Exception, SystemExit) as error:
        raise _explain(error, _place(error) or _definition(spec, function)) from error


@contextlib.contextmanager
def user_code(spec: str) -> Iterator[None]:
    """Turn errors raised in the user's files into PresetErrors. All others pass, so that a bug of ours is not
    blamed on the user: this may stand around a whole training.

    spec: "file.py:name", for the reader of the calling code.
    """
    try:
        yield
    except (DescentError, torch.OutOfMemoryError, MemoryError):
        raise
    except (Exception, SystemExit) as error:
        place = _place(error)
        if place is None or "can't allocate memory" in str(error):  # the latter: torch, on the CPU
            raise
        raise _explain(error, place) from error


def _load_module(path: Path) -> ModuleType:
    """Run the file as a module of its own; the same content again gives the same module."""
    try:
        source = path.read_bytes()
    except FileNotFoundError:
        near = [other.name for other in path.parent.glob("*.py")]
        raise PresetError(f"{path}: no such file{_suggestion(path.name, near)}") from None
    except OSError as error:
        raise PresetError(f"{path} can't be read: {error.strerror}") from None
    digest = hashlib.sha256(str(path).encode() + b"\0" + source).hexdigest()
    name = f"descent_user_code_{digest[:16]}"
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.machinery.ModuleSpec(name, None, origin=str(path))
    module = importlib.util.module_from_spec(spec)
    module.__file__ = str(path)
    _user_files.add(str(path))
    sys.modules[name] = module  # dataclasses and pickle look their module up
    try:
        with contextlib.redirect_stdout(sys.stderr):
            exec(compile(source, str(path), "exec"), module.__dict__)
    except BaseException as error:
        del sys.modules[name]
        if not isinstance(error, Exception | SystemExit) or isinstance(error, torch.OutOfMemoryError):
            raise
        raise _explain(error, _place(error) or str(path), importing=True) from error
    return module


def _explain(error: BaseException, place: str, *, importing: bool = False) -> PresetError:
    if isinstance(error, SystemExit):
        return PresetError(f"{place}: the code called exit(); a file that is loaded must not")
    text = error.msg if isinstance(error, SyntaxError) else str(error)
    hint, taken = "", taken_name(error)
    if taken is not None:
        where = taken.file + (f", line {taken.line}" if taken.line else "")
        hint = (
            f"; the {taken.name} that is imported in {where} is Descent's own package. In this process your "
            f"{taken.name}.py can't be imported by that name: rename it or put it into a package, with its folder on "
            "PYTHONPATH, or copy what you need into this file"
        )
    elif importing and isinstance(error, ModuleNotFoundError):  # the run's copy of the file has nothing beside it
        hint = f"; only this one file is loaded: what it needs of a {error.name}.py must be in it"
    return PresetError(f"{place}: {': '.join(filter(None, [type(error).__name__, text]))}{hint}")


def _place(error: BaseException) -> str | None:
    """The user's file and the line in it that raised `error`, and what called it; None where none did."""
    if isinstance(error, SyntaxError) and error.filename in _user_files:
        return f"{error.filename}, line {error.lineno}"
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if frame.filename in _user_files]
    if not own:
        return None
    callers = [f"line {frame.lineno} in {frame.name}" for frame in own[-2 : -2 - _CALLERS : -1]]
    called = f" (called from {', '.join(callers)})" if callers else ""
    return f"{own[-1].filename}, line {own[-1].lineno}{called}"


def _definition(spec: str, function: Callable[..., Any]) -> str:
    """Where `function`, or its class, is defined."""
    target = function if inspect.isclass(function) or inspect.isfunction(function) else type(function)
    try:
        return f"{inspect.getsourcefile(target)}, line {inspect.getsourcelines(target)[1]}"
    except (OSError, TypeError):
        return spec


def _is_own(value: Any, module: ModuleType) -> bool:
    return callable(value) and getattr(value, "__module__", None) == module.__name__


def _suggestion(given: str, there: list[str]) -> str:
    meant = likely(given, there)
    if meant:
        return f': did you mean "{meant}"?'
    return f"; it has {', '.join(sorted(there))}" if there and not given.endswith(".py") else ""
