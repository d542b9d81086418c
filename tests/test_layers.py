"""A room that imports from a room to its right makes a circle, and a change there breaks what nobody expected."""

import ast
import functools
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

ROOT = Path(__file__).parents[1]
# From left to right: a room may import from those before it. A module's room is the longest name that it begins with.
DESCENT = ["descent.common", "descent.run", "descent.control", "descent.loop", "descent", "descent.warm"]
ENGINE = ["preset", "pictures", "training", "labs", "launch", "study"]
TUI = [
    "themes",
    "terminal",
    "settings",
    "user_themes",
    "base",
    "data",
    "plot",
    "widgets",
    "pictures",
    "screens",
    "app",
]
# Commands open the console, and the entry loads the commands.
ENTRY = ["engine.cli", "descent.__main__"]
ROOMS = [*DESCENT, *(f"engine.{room}" for room in ENGINE), *(f"tui.{room}" for room in TUI), "tui", *ENTRY]
# What else a room must not import, though it lies to the left of it.
CLOSED = {"tui": ("engine.training",)}
# What a run has learned is a model of the engine's. It is loaded when it is asked for.
ALLOWED = {("descent.learned", "engine.training.learned")}


@functools.cache
def modules() -> dict[str, Path]:
    files = [file for package in ("descent", "engine", "tui") for file in (ROOT / package).rglob("*.py")]
    return {".".join(file.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): file for file in files}


@functools.cache
def imports(file: Path) -> tuple[tuple[int, str], ...]:
    """Line and module of each import of ours, also inside functions and for types alone."""
    return tuple(_imports(file, modules()))


def _imports(file: Path, known: dict[str, Path]) -> Iterator[tuple[int, str]]:
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        match node:
            case ast.Import(names=names):
                found = [alias.name for alias in names]
            case ast.ImportFrom(module=str(module), names=names):
                inner = [f"{module}.{alias.name}" for alias in names]
                found = [name if name in known else module for name in inner]
            case _:
                continue
        yield from ((node.lineno, name) for name in found if name in known)


def room_of(module: str) -> str | None:
    fitting = [room for room in ROOMS if f"{module}.".startswith(f"{room}.")]
    return max(fitting, key=len, default=None)


def breaches() -> dict[tuple[str, str], str]:
    known, found = modules(), {}
    for module, file in known.items():
        for line, imported in imports(file):
            here, there = room_of(module), room_of(imported)
            if here is None or there is None:
                continue  # `engine` itself, which is empty
            closed = CLOSED.get(module.partition(".")[0], ())
            if ROOMS.index(there) > ROOMS.index(here) or there in closed:
                where = f"{file.relative_to(ROOT)}:{line}"
                found[module, imported] = f"{where}: {module} (room {here}) imports {imported} (room {there})"
    return found


def test_every_room_imports_only_from_those_to_its_left() -> None:
    """Else a newcomer has to read everything to understand anything."""
    found = breaches()
    assert [text for pair, text in found.items() if pair not in ALLOWED] == []
    assert [pair for pair in sorted(ALLOWED) if pair not in found] == []


def test_only_the_app_imports_screens_of_other_kinds() -> None:
    """Else nobody can change one screen, such as Home, without reading the console and the labs."""
    known, found = modules(), []
    kinds = {package.parent.name for package in (ROOT / "tui" / "screens").glob("*/__init__.py")}

    def kind_of(module: str) -> str | None:
        """home, console or lab; None for what is no screen, or shared by all."""
        _, _, inner = module.partition("tui.screens.")
        kind = inner.partition(".")[0]
        return kind if kind in kinds else None

    for module, file in known.items():
        for line, imported in imports(file):
            if module != "tui.app" and kind_of(imported) not in (None, kind_of(module)):
                found.append(f"{file.relative_to(ROOT)}:{line}: {module} imports {imported}")
    assert found == []


def test_every_module_is_in_a_room() -> None:
    """A file that belongs nowhere is found by nobody."""
    loose = {module for module in modules() if room_of(module) in (None, "descent", "tui")}
    assert loose == {
        "descent",
        "descent.accelerate",
        "descent.child",
        "descent.handle",
        "descent.keras",
        "descent.learned",
        "descent.lightning",
        "descent.mcp_server",
        "descent.sync",
        "descent.transformers",
        "engine",
        "tui",
    }


def test_no_file_imports_itself_by_way_of_others() -> None:
    """Else nobody can read one file of a circle without the others, and one that is imported first may not load."""
    known = modules()
    needs = {module: {other for _, other in imports(file)} - {module} for module, file in known.items()}
    TopologicalSorter(needs).prepare()  # raises CycleError, which names the circle
