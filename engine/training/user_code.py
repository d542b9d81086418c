"""The user's own models, data sets, losses and training steps, each from a Python file and those beside it.

A file runs only if the user has agreed to its content, which is checked here. An error inside becomes a PresetError
that names the file and the line. What the code prints goes to stderr, because stdout may carry JSON.
"""

import atexit
import contextlib
import inspect
import os
import re
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
from descent.common.files import is_alive
from descent.common.i18n import _
from descent.common.project import PREFIX, Project, read_project
from descent.common.text import likely
from descent.loop import device as devices
from engine.preset import consent

CodeLoader = Callable[[str], Any]  # "file.py:name" -> the object

_MODULES = "descent-code-"  # begins the names of folders with modules, then comes the process's number
_CALLERS = 3  # callers that a message names
_user_files: set[str] = set()  # every loaded file, as tracebacks name it


def load_object(spec: str) -> Any:
    """Return the object that `spec`, an absolute "dir/file.py:name", names.

    Beside it, only files that it imports are run. Their folder is not put on the import path, so that they take no
    module's place for others. Raises PresetError if the file or the name is missing, or importing the file fails,
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
    _load_module(Path(file))
    project = _read(Path(file))
    first = project.taken_out()
    try:
        again = _load_module(Path(file))
        for key, module in first.items():
            new = sys.modules.get(key)
            for attribute, value in vars(module).items() if new is not None else ():
                if isinstance(value, type) and value.__module__ == key:
                    setattr(new, attribute, value)
    finally:
        project.taken_out()
        sys.modules.update(first)
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
        if is_of_machine(error):  # not the code's fault, and handled elsewhere
            raise
        raise _explain(error, _place(error) or _definition(spec, function)) from error


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether memory ran out, on a GPU or on the CPU, for which torch has no error class of its own."""
    return devices.is_full(error) or isinstance(error, MemoryError) or "can't allocate memory" in str(error)


def is_of_machine(error: BaseException) -> bool:
    """Return whether the machine failed, its memory or its GPU, and not the code that ran."""
    failed = devices.failure(error)
    return is_out_of_memory(error) or (failed is not None and "device-side assert" not in failed)


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
        if place is None or is_of_machine(error):
            raise
        raise _explain(error, place) from error


def _load_module(path: Path) -> ModuleType:
    """Run the file as a module of its own. The same content again gives the same module."""
    project = _read(path)
    try:
        with contextlib.redirect_stdout(sys.stderr):
            module = project.load(_before_running)
        _let_children_import(project)
    except BaseException as error:
        if isinstance(error, DescentError) or not isinstance(error, Exception | SystemExit) or is_of_machine(error):
            raise
        raise _explain(error, _place(error) or str(path)) from error
    return module


def _read(path: Path) -> Project:
    """Read the file and those beside it that it imports. Raises PresetError if that can't be done."""
    try:
        return read_project(path)
    except FileNotFoundError as error:
        near = [other.name for other in path.parent.glob("*.py")]
        missing = _("{file}: no such file", file=error.filename or path)
        raise PresetError(f"{missing}{_suggestion(path.name, near)}") from None
    except OSError as error:
        raise PresetError(
            _("{file} can't be read: {error}", file=error.filename or path, error=error.strerror)
        ) from None


def _before_running(path: Path, source: bytes) -> None:
    consent.require(path, source)
    _user_files.add(str(path))


def _let_children_import(project: Project) -> None:
    """Make the project's modules importable by name in processes that don't begin as copies of this one.

    The workers of a DataLoader are such where `multiprocessing` starts them by "spawn" or "forkserver". They get this
    process's import path, and import the module of each object that they are sent.
    """
    text = (
        "\nimport pathlib, descent.common.project as projects\n__path__ = []\n"
        f"projects.Project(pathlib.Path({str(project.root)!r}), {project.entry!r}, {dict(project.files)!r}).serve()\n"
    )
    (_modules_folder() / f"{project.name}.py").write_text(text, encoding="utf-8")


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
    text = re.sub(rf"{PREFIX}[0-9a-f]+\.", "", error.msg if isinstance(error, SyntaxError) else str(error))
    message, taken = f"{place}: {': '.join(filter(None, [type(error).__name__, text]))}", taken_name(error)
    hint = ""
    if taken is not None:
        where = _("{file}, line {line}", file=taken.file, line=taken.line) if taken.line else taken.file
        hint = _(
            "the {module} that is imported in {place} is Descent's own package. In this process your {module}.py "
            "can't be imported by that name. Put it beside your file, or rename it",
            module=taken.name,
            place=where,
        )
    elif isinstance(error, ModuleNotFoundError) and error.name:
        hint = _(
            "if {module} is a package, install it for {python}; if it is a file of yours, put it beside this one, "
            "where an import statement finds it, or its folder on PYTHONPATH",
            module=re.sub(rf"^{PREFIX}[0-9a-f]+\.", "", error.name).partition(".")[0],
            python=sys.executable,
        )
    elif isinstance(error, ImportError) and "relative import" in text:
        hint = _(
            "a relative import begins from the folder of this file, or from that of the outermost package around it, "
            "one with an __init__.py"
        )
    elif isinstance(error, FileNotFoundError) and _is_beside_code(error.filename):
        hint = _(
            "the run keeps a copy of this file in a folder of its own, and of what lies beside your file only the "
            "Python code that it imports; open it by its whole path, or pass that path in (model.arguments, "
            "data.arguments, train.arguments)"
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
