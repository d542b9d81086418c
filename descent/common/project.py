"""The Python files that lie beside a file of somebody's code and that it imports, under names of their own.

Such a file is read together with those that its import statements name, and theirs: `import utils`, packages,
relative imports. They are modules of one package of a name that nobody else has, and only they find each other by
their own names. So a project's `utils.py` or `engine.py` takes no place of a module that others import. Modules of
the standard library come first.
"""

import ast
import builtins
import hashlib
import importlib
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import Any

from descent.common.errors import NOT_PYTHON, PresetError
from descent.common.files import read_regular
from descent.common.i18n import _

LARGEST = 1 << 24  # bytes of a file of code, and of all files of a project
MOST = 500  # files of a project
PREFIX = "descent_user_code_"  # begins the names of the packages
Before = Callable[[Path, bytes], object]  # called with a file before it is run


@dataclass(frozen=True)
class Project:
    """A file of code, and those beside it that it imports.

    root: the folder that imports begin from: the file's own, or that of its outermost package. entry: the file.
    files: contents by path below `root`, the entry among them.
    """

    root: Path
    entry: str
    files: Mapping[str, bytes]

    @property
    def content(self) -> bytes:
        return self.files[self.entry]

    @cached_property
    def name(self) -> str:
        """The name of its package. The same files in the same folder have the same."""
        digest = hashlib.sha256(str(self.root / self.entry).encode())
        for file, content in sorted(self.files.items()):
            digest.update(f"\0{file}\0{len(content)}\0".encode() + content)
        return f"{PREFIX}{digest.hexdigest()[:16]}"

    @cached_property
    def modules(self) -> dict[str, str]:
        """The files by the names of their modules within the package."""
        found = {}
        for file in self.files:
            parts = file.removesuffix(".py").split("/")
            if file == self.entry:
                parts[-1] = re.sub(r"\W", "_", parts[-1])
            found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = file
        return found

    @property
    def entry_name(self) -> str:
        """The whole name of the entry's module."""
        return f"{self.name}.{next(name for name, file in self.modules.items() if file == self.entry)}"

    def shown(self, text: str) -> str:
        """Return a message of Python's with the project's own names."""
        return text.replace(f"{self.name}.", "")

    def load(self, before: Before | None = None) -> ModuleType:
        """Return the entry's module, and run it if it is not yet. If it raises anything, nothing of it is left."""
        if self.entry_name in sys.modules:
            return sys.modules[self.entry_name]
        self.serve(before)
        try:
            return importlib.import_module(self.entry_name)
        except BaseException:
            self.taken_out()
            raise

    def serve(self, before: Before | None = None) -> None:
        """Let the modules be imported by their whole names from now on, in this process."""
        _served[self.name] = self, before
        if _Finder not in sys.meta_path:
            sys.meta_path.insert(0, _Finder)

    def taken_out(self) -> dict[str, ModuleType]:
        """Take the project's modules out of those that are loaded. Returns them, by name."""
        mine = [name for name in sys.modules if name == self.name or name.startswith(f"{self.name}.")]
        return {name: sys.modules.pop(name) for name in mine}

    def _own_import(self) -> Callable[..., Any]:
        """Return what `import` does in the project's files: it finds them by their own names."""
        own = {name.partition(".")[0] for name in self.modules} - sys.stdlib_module_names

        def import_(
            name: str,
            globals: Mapping[str, Any] | None = None,  # noqa: A002 - as Python calls it
            locals: Mapping[str, Any] | None = None,  # noqa: A002
            fromlist: Sequence[str] = (),
            level: int = 0,
        ) -> ModuleType:
            top = name.partition(".")[0]
            if level or top not in own:
                return builtins.__import__(name, globals, locals, fromlist, level)
            whole = f"{self.name}.{name}"
            if fromlist:
                return builtins.__import__(whole, globals, locals, fromlist, 0)
            importlib.import_module(whole)
            return sys.modules[f"{self.name}.{top}"]

        return import_

    def run(self, file: str, module: ModuleType, before: Before | None) -> None:
        """Run a file as this module."""
        path, source = self.root / file, self.files[file]
        if before is not None:
            before(path, source)
        if len(self.files) > 1:
            vars(module)["__builtins__"] = {**vars(builtins), "__import__": self._own_import()}
        exec(compile(source, str(path), "exec"), vars(module))


_served: dict[str, tuple[Project, Before | None]] = {}


class _Finder:
    """Finds the modules of projects that are served."""

    @staticmethod
    def find_spec(name: str, path: Sequence[str] | None, target: ModuleType | None = None) -> ModuleSpec | None:
        package, _dot, inner = name.partition(".")
        if package not in _served:
            return None
        project, before = _served[package]
        file = project.modules.get(inner)
        if file is None:
            if inner and not any(module.startswith(f"{inner}.") for module in project.modules):
                return None
            return ModuleSpec(name, None, is_package=True)
        is_package = file.endswith("/__init__.py")
        loader: Any = _Loader(project, file, before)  # importlib.abc, which has its class, takes long to import
        spec = ModuleSpec(name, loader, origin=str(project.root / file), is_package=is_package)
        spec.has_location = True
        return spec


@dataclass(frozen=True)
class _Loader:
    """Runs a file of a project as a module."""

    project: Project
    file: str
    before: Before | None

    def create_module(self, spec: ModuleSpec) -> None:
        return None

    def exec_module(self, module: ModuleType) -> None:
        self.project.run(self.file, module, self.before)


def read_project(path: Path) -> Project:
    """Read a file of code and those beside it that it imports.

    Raises OSError if it can't be read, and PresetError if the files are too many or too large.
    """
    path = path.absolute()
    root = path.parent
    while (root / "__init__.py").is_file() and root.parent != root:
        root = root.parent
    entry = path.relative_to(root).as_posix()
    files: dict[str, bytes] = {}
    waiting = [*_packages_of(root, entry), entry]
    while waiting:
        file = waiting.pop()
        if file in files:
            continue
        files[file] = read_regular(root / file, LARGEST)
        if len(files) > MOST or sum(map(len, files.values())) > LARGEST:
            raise PresetError(
                _(
                    "{file}: it imports more of the files beside it than a run keeps: {most} files, and {size} MiB "
                    "in all. Install them as a package, or put their folder on PYTHONPATH",
                    file=path,
                    most=MOST,
                    size=LARGEST >> 20,
                )
            )
        for parts in _imported(files[file], file):
            waiting += _files_of(root, parts)
    return Project(root, entry, files)


def _packages_of(root: Path, file: str) -> Iterator[str]:
    """Yield the `__init__.py` of each package that a file lies in."""
    for folder in Path(file).parents:
        if folder != Path() and (root / folder / "__init__.py").is_file():
            yield (folder / "__init__.py").as_posix()


def _imported(source: bytes, file: str) -> Iterator[tuple[str, ...]]:
    """Yield the modules, as parts of their names, that the import statements of a file may mean."""
    try:
        nodes = list(ast.walk(ast.parse(source)))
    except NOT_PYTHON:
        return  # running it will say so
    package = tuple(file.split("/")[:-1])
    for node in nodes:
        match node:
            case ast.Import(names=names):
                for alias in names:
                    yield from _absolute(tuple(alias.name.split(".")))
            case ast.ImportFrom(module=module, names=names, level=level):
                base = tuple((module or "").split(".")) if module else ()
                if level > len(package) + 1:
                    continue
                if level:
                    base = package[: len(package) - level + 1] + base
                for name in [base, *((*base, alias.name) for alias in names)]:
                    yield from (name,) if level else _absolute(name)


def _absolute(parts: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    if parts and parts[0] not in sys.stdlib_module_names:
        yield parts


def _files_of(root: Path, parts: Sequence[str]) -> list[str]:
    """Return the files below `root` that an import of this module runs. Those of others are not among them."""
    found: list[str] = []
    for depth in range(1, len(parts) + 1):
        base = "/".join(parts[:depth])
        if (root / base / "__init__.py").is_file():
            found.append(f"{base}/__init__.py")
        elif (root / f"{base}.py").is_file():
            return [*found, f"{base}.py"]
        elif not (root / base).is_dir():
            break
    return found
