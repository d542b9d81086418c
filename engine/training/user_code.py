"""The user's own models, data sets, losses and training steps, each from one Python file.

A file runs only if the user has agreed to its content, which is checked here. An error inside becomes a PresetError
that names the file and the line. What the code prints goes to stderr, because stdout may carry JSON.
"""

import atexit
import contextlib
import hashlib
import importlib.machinery
import inspect
import os
import shutil
import sys
import tempfile
import traceback
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from pathlib import Path
from types import FrameType, ModuleType
from typing import Any

import torch
from torch import nn

from descent.child import taken_name
from descent.common.errors import DescentError, PresetError
from descent.common.files import is_alive, read_regular
from descent.common.i18n import _
from descent.common.text import likely
from engine.preset import consent

CodeLoader = Callable[[str], Any]  # "file.py:name" -> the object

_MODULES = "descent-code-"  # begins the names of folders with modules, then comes the process's number
_CALLERS = 3  # callers that a message names
_user_files: set[str] = set()  # every loaded file, as tracebacks name it


def load_object(spec: str) -> Any:
    """Return the object that `spec`, an absolute "dir/file.py:name", names.

    Only that one file is loaded. Its folder is not put on the import path, so no other file runs, because the user
    has agreed to this one only. Raises PresetError if the file or the name is missing, or importing the file fails,
    and DescentError if the user has not agreed to the file's content.
    """
    file, name = spec.rpartition(":")[::2]
    module = _load_module(Path(file))
    if not hasattr(module, name):
        there = [key for key, value in vars(module).items() if _is_own(value, module)]
        missing = _('{file} has no "{name}"', file=file, name=name)
        raise PresetError(f"{missing}{_suggestion(name, there)}")
    return getattr(module, name)


def reload_object(spec: str) -> Any:
    """Return the object that `spec` names, from the file run once more, as another process would have it.

    The file's classes stay those of the first time, so that objects made of them are still theirs.
    """
    file, name = spec.rpartition(":")[::2]
    first = _load_module(Path(file))
    del sys.modules[first.__name__]
    try:
        again = _load_module(Path(file))
    finally:
        sys.modules[first.__name__] = first
    for key, value in vars(first).items():
        if isinstance(value, type) and value.__module__ == first.__name__:
            setattr(again, key, value)
    return getattr(again, name)


def line_being_run(frame: FrameType | None) -> str | None:
    """Return the line of the user's files that is being run in `frame` or that has called it. None without one."""
    while frame is not None:
        if frame.f_code.co_filename in _user_files:
            return _("{file}, line {line}", file=frame.f_code.co_filename, line=frame.f_lineno)
        frame = frame.f_back
    return None


def check_call(
    spec: str, function: Callable[..., Any], names: tuple[str, ...], arguments: Mapping[str, Any] | None = None
) -> None:
    """Raise PresetError if `function` can't be called as function(*names, **arguments), before its inputs are there.

    spec: "file.py:name". names: what the call's positional arguments are called.
    """
    arguments = arguments or {}
    called = function.forward if isinstance(function, nn.Module) else function
    try:
        inspect.signature(called).bind(*names, **arguments)
    except TypeError as error:
        given = ", ".join([*names, *(f"{key}={value!r}" for key, value in arguments.items())])
        name = f"{type(function).__name__}.forward" if called is not function else spec.rpartition(":")[2]
        raise PresetError(
            _(
                "{place}: Descent calls {call}, and {name} does not take these arguments ({reason})",
                place=_definition(spec, called),
                call=f"{name}({given})",
                name=name,
                reason=error,
            )
        ) from None
    except ValueError:
        pass  # a function of C without a signature


def call_user_code(spec: str, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
    """Return function(*args, **kwargs). Whatever it raises becomes a PresetError with the file and line.

    spec: "file.py:name", for errors that no line of the user's file raised (wrong arguments, say).
    """
    try:
        with contextlib.redirect_stdout(sys.stderr):
            return function(*args, **kwargs)
    except DescentError:
        raise
    except (Exception, SystemExit) as error:
        if is_out_of_memory(error):  # not the code's fault, and handled elsewhere
            raise
        raise _explain(error, _place(error) or _definition(spec, function)) from error


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether memory ran out, on a GPU or on the CPU, for which torch has no error class of its own."""
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or "can't allocate memory" in str(error)


def described_result(result: object) -> str:
    """Return what the user's code has returned, for a message: a tensor's shape, or the type of anything else."""
    if isinstance(result, torch.Tensor):
        return _("a tensor of shape {shape}", shape=tuple(result.shape))
    return type(result).__name__


@contextlib.contextmanager
def user_code(spec: str) -> Iterator[None]:
    """Turn errors raised in the user's files into PresetErrors. This may enclose a whole training.

    Other errors pass, so that a bug of Descent is not blamed on the user. spec: "file.py:name", for the reader of the
    calling code.
    """
    try:
        yield
    except DescentError:
        raise
    except (Exception, SystemExit) as error:
        place = _place(error)
        if place is None or is_out_of_memory(error):
            raise
        raise _explain(error, place) from error


def _load_module(path: Path) -> ModuleType:
    """Run the file as a module of its own. The same content again gives the same module."""
    try:
        source = read_regular(path, consent.LARGEST)
    except FileNotFoundError:
        near = [other.name for other in path.parent.glob("*.py")]
        missing = _("{file}: no such file", file=path)
        raise PresetError(f"{missing}{_suggestion(path.name, near)}") from None
    except OSError as error:
        raise PresetError(_("{file} can't be read: {error}", file=path, error=error.strerror)) from None
    digest = hashlib.sha256(str(path).encode() + b"\0" + source).hexdigest()
    name = f"descent_user_code_{digest[:16]}"
    if name in sys.modules:
        return sys.modules[name]
    consent.require(path, source)
    spec = importlib.machinery.ModuleSpec(name, None, origin=str(path))
    module = importlib.util.module_from_spec(spec)
    module.__file__ = str(path)
    _user_files.add(str(path))
    sys.modules[name] = module  # dataclasses and pickle look up their module here
    try:
        with contextlib.redirect_stdout(sys.stderr):
            exec(compile(source, str(path), "exec"), module.__dict__)
        _let_children_import(name, path, source)
    except BaseException as error:
        del sys.modules[name]
        if not isinstance(error, Exception | SystemExit) or is_out_of_memory(error):
            raise
        raise _explain(error, _place(error) or str(path)) from error
    return module


def _let_children_import(name: str, path: Path, source: bytes) -> None:
    """Make the module importable by name in processes that don't begin as copies of this one.

    The workers of a DataLoader are such where `multiprocessing` starts them by "spawn" or "forkserver". They get this
    process's import path, and import the module of each object that they are sent.
    """
    text = f"__file__ = {str(path)!r}\nexec(compile({source!r}, __file__, 'exec'))\n"
    (_modules_folder() / f"{name}.py").write_text(text, encoding="utf-8")


@cache
def _modules_folder() -> Path:
    """Return a folder, removed when this process ends, whose modules this process and its children can import."""
    for left in Path(tempfile.gettempdir()).glob(f"{_MODULES}*-*"):  # by processes that were killed
        pid = left.name.removeprefix(_MODULES).partition("-")[0]
        with contextlib.suppress(OSError):
            if pid.isdigit() and not is_alive(int(pid)) and left.lstat().st_uid == os.getuid():
                shutil.rmtree(left)
    folder = tempfile.mkdtemp(prefix=f"{_MODULES}{os.getpid()}-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    sys.path.append(folder)
    return Path(folder)


def _explain(error: BaseException, place: str) -> PresetError:
    if isinstance(error, SystemExit):
        return PresetError(_("{place}: the code called exit(), which a loaded file must not do", place=place))
    text = error.msg if isinstance(error, SyntaxError) else str(error)
    message, taken = f"{place}: {': '.join(filter(None, [type(error).__name__, text]))}", taken_name(error)
    hint = ""
    if taken is not None:
        where = _("{file}, line {line}", file=taken.file, line=taken.line) if taken.line else taken.file
        hint = _(
            "the {module} that is imported in {place} is Descent's own package. In this process your {module}.py "
            "can't be imported by that name. Rename it, or put it into a package whose folder is on PYTHONPATH, or "
            "copy what you need into this file",
            module=taken.name,
            place=where,
        )
    elif isinstance(error, ModuleNotFoundError) and error.name and not error.name.startswith("descent_user_code_"):
        hint = _(
            "if {module} is a package, install it for {python}; if it is a file of yours, put its folder on "
            "PYTHONPATH, or copy what you need into this file, because the run loads only this one",
            module=error.name.partition(".")[0],
            python=sys.executable,
        )
    elif isinstance(error, ImportError) and "relative import" in text:
        hint = _(
            "this file is loaded by itself and not as part of a package, so a relative import finds nothing; put the "
            "folder of the module on PYTHONPATH and import it by its name, or copy what you need into this file"
        )
    elif isinstance(error, FileNotFoundError) and _is_beside_code(error.filename):
        hint = _(
            "the run keeps a copy of this file in a folder of its own, and what lies beside your file is not there; "
            "open it by its whole path, or pass that path in (model.arguments, data.arguments)"
        )
    return PresetError(f"{message}; {hint}" if hint else message)


def _is_beside_code(file: object) -> bool:
    """Return whether `file` names something in the folder of a loaded file."""
    folders = {Path(loaded).parent for loaded in _user_files}
    return isinstance(file, str) and any(folder in Path(file).absolute().parents for folder in folders)


def _place(error: BaseException) -> str | None:
    """Return the user's file and line that raised `error`, and its callers, or None if no such line did."""
    if isinstance(error, SyntaxError) and error.filename in _user_files:
        return _("{file}, line {line}", file=error.filename, line=error.lineno)
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if frame.filename in _user_files]
    if not own:
        return None
    callers = [
        _("line {line} in {function}", line=frame.lineno, function=frame.name)
        for frame in own[-2 : -2 - _CALLERS : -1]
    ]
    place = _("{file}, line {line}", file=own[-1].filename, line=own[-1].lineno)
    return _("{place} (called from {callers})", place=place, callers=", ".join(callers)) if callers else place


def _definition(spec: str, function: Callable[..., Any]) -> str:
    """Return where `function`, or its class, is defined."""
    target = function if inspect.isclass(function) or inspect.isroutine(function) else type(function)
    try:
        file, line = inspect.getsourcefile(target), inspect.getsourcelines(target)[1]
    except (OSError, TypeError):
        return spec
    return _("{file}, line {line}", file=file, line=line)


def _is_own(value: Any, module: ModuleType) -> bool:
    return callable(value) and getattr(value, "__module__", None) == module.__name__


def _suggestion(given: str, there: list[str]) -> str:
    meant = likely(given, there)
    if meant:
        return _('; did you mean "{word}"?', word=meant)
    return _("; it has {names}", names=", ".join(sorted(there))) if there and not given.endswith(".py") else ""
