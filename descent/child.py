"""Descent's own processes: `python -P -m descent.child MODULE ARGUMENTS…` runs MODULE as a program.

Each begins here, so that a project's own `engine.py` or `tui.py` on `PYTHONPATH` takes no module of Descent's place.
"""

import ast
import contextlib
import linecache
import runpy
import sys
import traceback
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from types import ModuleType
from typing import IO, TYPE_CHECKING, Any

if TYPE_CHECKING:
    import subprocess

_PACKAGES = ("engine", "tui")


class _OwnPackages:
    """Finds `engine` and `tui` beside `descent`, wherever else there are such modules."""

    @staticmethod
    def find_spec(name: str, path: Sequence[str] | None, target: ModuleType | None = None) -> ModuleSpec | None:
        if name not in _PACKAGES:
            return None
        return PathFinder.find_spec(name, [str(Path(__file__).resolve().parents[1])], target)


def own_packages_first() -> None:
    """Import Descent's `engine` and `tui` from now on, in this process."""
    if _OwnPackages not in sys.meta_path:
        sys.meta_path.insert(0, _OwnPackages)


@dataclass(frozen=True)
class TakenName:
    """An import of somebody's own module that found Descent's package of that name instead."""

    name: str
    file: str  # that imports it
    line: int | None  # None when the file imports it in no way that can be read


def taken_name(error: BaseException) -> TakenName | None:
    """Return the name that `error` is about: something that a module called `engine`, say, should have and lacks.

    None for an error of another kind.
    """
    if isinstance(error, AttributeError) and isinstance(error.obj, ModuleType):
        module = error.obj.__name__
    elif isinstance(error, ImportError):
        module = error.name or ""
    else:
        return None
    name = module.partition(".")[0]
    # The import system's own frames and those of `descent.__getattr__` come behind the one that asks for the name.
    files = [frame.filename for frame in traceback.extract_tb(error.__traceback__)]
    asking = [file for file in files if not file.startswith(("<frozen", str(Path(__file__).parent)))]
    if name not in ("descent", *_PACKAGES) or not asking:
        return None
    return TakenName(name, asking[-1], _import_line(asking[-1], name))


def _import_line(file: str, name: str) -> int | None:
    """The first line of a file that imports the module `name`, or something of it."""
    from descent.common.errors import NOT_PYTHON

    with contextlib.suppress(*NOT_PYTHON):
        for node in ast.walk(ast.parse("".join(linecache.getlines(file)))):
            match node:
                case ast.Import(names=names):
                    imported = [alias.name for alias in names]
                case ast.ImportFrom(module=str(module), level=0):
                    imported = [module]
                case _:
                    continue
            if any(f"{one}.".startswith(f"{name}.") for one in imported):
                return node.lineno
    return None


def command(module: str, *arguments: str) -> list[str]:
    """Return the words that start `module` as a process. `-P` keeps the current folder off its path."""
    return [sys.executable, "-P", "-m", "descent.child", module, *arguments]


def start(
    command: Sequence[str],
    *,
    stdout: int | IO[Any] | None,
    stderr: int | IO[Any] | None,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    pass_fds: Sequence[int] = (),
) -> "subprocess.Popen[bytes]":
    """Start a command in a session of its own, without input: it outlives this process and its terminal.

    The options are those of subprocess.Popen.
    """
    import subprocess  # not for each process that begins here

    return subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=stdout,
        stderr=stderr,
        cwd=cwd,
        env=env,
        pass_fds=pass_fds,
        start_new_session=True,
    )


def main() -> None:
    """Run the module that the first argument names, with the others as its own."""
    own_packages_first()
    del sys.argv[0]
    warnings.filterwarnings("ignore", ".* found in sys.modules", RuntimeWarning, "runpy")
    # sys.modules["__main__"] stays this module, which the processes of `multiprocessing` that don't begin as copies
    # import once more: it loads nothing of Descent's, and no `engine` that could be another's.
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=False)


if __name__ == "__main__":
    main()
