"""Where presets and runs are found: shipped, the user's own, the current folder."""

import os
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import platformdirs

from descent.common.errors import PresetError
from descent.common.text import clean, did_you_mean, show

_LOOKS_LIKE_PRESET = re.compile(r"^\s*\[?\s*(data|model|loss|optimizer|schedule|train)\s*[\].]", re.MULTILINE)
_IS_LAB = re.compile(r"^\s*\[\[?\s*lab\s*[\].]", re.MULTILINE)


def shipped_presets() -> Path:
    """The folder of the shipped presets: in the package when installed, beside it in a checkout."""
    package = Path(__file__).resolve().parents[1]
    inside = package / "presets"
    return inside if inside.is_dir() else package.parent / "presets"


# --- presets ---------------------------------------------------------------------------------------------


def find_preset(name: str) -> Path:
    """The file of the preset called `name`; the nearest one wins: current folder, the user's, shipped."""
    files = _preset_files()
    if name in files:
        return files[name][0]
    names = ", ".join(sorted(files)) or "none"
    hint = did_you_mean(name, files)
    raise PresetError(f"{show(name)}: no preset of this name{hint or f'; there are: {names}'}")


def _preset_files() -> dict[str, tuple[Path, str]]:
    """Every preset's file and origin, by name."""
    folders = [*preset_folders(), (Path("presets"), "current folder")]
    found = {path.stem: (path, origin) for folder, origin in folders for path in _toml_files(folder)}
    shipped = shipped_presets()
    if Path("presets").resolve() == shipped:  # in a checkout of Descent itself
        found |= {path.stem: (path, "shipped") for path in _toml_files(shipped)}
    # The current folder may hold a pyproject.toml, which is nobody's preset.
    return found | {path.stem: (path, "current folder") for path in _toml_files(Path()) if _looks_like_preset(path)}


def _toml_files(folder: Path) -> Iterator[Path]:
    try:
        files = sorted(folder.absolute().iterdir())
    except OSError:
        return
    yield from (path for path in files if path.suffix == ".toml" and path.is_file() and not _is_lab(path))


def _is_lab(path: Path) -> bool:
    """Whether this is a lab's own file, which holds a preset and is none."""
    return path.name == "lab.toml" and _holds(path, _IS_LAB)


def _looks_like_preset(path: Path) -> bool:
    return _holds(path, _LOOKS_LIKE_PRESET)


def _holds(path: Path, words: re.Pattern[str]) -> bool:
    try:
        with path.open(encoding="utf-8", errors="replace") as file:
            return words.search(file.read(1 << 16)) is not None
    except OSError:
        return False


def preset_folders() -> list[tuple[Path, str]]:
    """The folders of presets that are everywhere, with their origin, the nearest last."""
    own = Path(platformdirs.user_config_dir("descent")) / "presets"
    named = [Path(part).expanduser() for part in os.environ.get("DESCENT_PRESETS", "").split(os.pathsep) if part]
    return [(shipped_presets(), "shipped"), (own, "yours"), *((folder, "yours") for folder in reversed(named))]


def read_tables(path: Path) -> dict[str, Any]:
    """What a TOML file says, unchecked. PresetError where it can't be read."""
    text = read_text(path)
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise PresetError(f"{path_shown(path)}: {_syntax(error, text)}") from None
    except (ValueError, RecursionError):
        raise PresetError(f"{path_shown(path)}: holds a number too long or lists too deep to read") from None


def find(source: str | Path) -> Path:
    """A file by its path, or a preset by its name; a name wins over a file that happens to be called so."""
    text = os.path.expanduser(source)
    path = Path(text)
    if isinstance(source, Path) or os.sep in text or text.endswith(".toml"):
        return path
    try:
        return find_preset(text)
    except PresetError:
        if path.is_file():
            return path
        raise


def read_text(path: Path) -> str:
    """The text of a preset file; PresetError where there is none."""
    shown = path_shown(path)
    try:
        with path.open("rb") as file:
            content = file.read(LARGEST_FILE + 1)
    except FileNotFoundError:
        known = path.stem in _preset_files()
        hint = f"; the preset {path.stem} is run by its name, without .toml" if known else ""
        raise PresetError(f"{shown}: no such file{hint}") from None
    except IsADirectoryError:
        raise PresetError(f"{shown}: is a folder; name a preset's .toml file") from None
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise PresetError(f"{shown}: can't be read: {reason}") from None
    if len(content) > LARGEST_FILE:
        raise PresetError(f"{shown}: is larger than {LARGEST_FILE >> 20} MiB; that is no preset")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise PresetError(f"{shown}, line {line}: is not UTF-8 text") from None


def path_shown(path: Path) -> str:
    """The path as people write it: from the current folder where it lies below it."""
    try:
        return clean(str(path.absolute().relative_to(Path.cwd())))
    except (ValueError, OSError):
        return clean(str(path))


LARGEST_FILE = 1 << 20  # bytes; a preset has a few hundred, /dev/zero has no end


def _syntax(error: tomllib.TOMLDecodeError, text: str) -> str:
    """tomllib's message, with the place in front: 'line 3, column 5: …'."""
    reason, _, place = str(error).rpartition(" (at ")
    place = place.rstrip(")")
    if place == "end of document":
        place = f"line {text.count(chr(10)) + 1}"
    return clean(f"{place}: {reason}")
