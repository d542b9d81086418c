"""Descent's own processes: `python -P -m descent.child MODULE ARGUMENTS…` runs MODULE as a program.

Each begins here, so that a project's own `engine.py` or `tui.py` on `PYTHONPATH` takes no module of Descent's place.
"""

import runpy
import sys
import warnings
from collections.abc import Sequence
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from types import ModuleType

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


def command(module: str, *arguments: str) -> list[str]:
    """Return the words that start `module` as a process. `-P` keeps the current folder off its path."""
    return [sys.executable, "-P", "-m", "descent.child", module, *arguments]


def main() -> None:
    """Run the module that the first argument names, with the others as its own."""
    own_packages_first()
    del sys.argv[0]
    warnings.filterwarnings("ignore", ".* found in sys.modules", RuntimeWarning, "runpy")
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
