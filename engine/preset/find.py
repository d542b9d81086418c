"""Where presets are found: among the shipped ones, the user's own, and those in the current folder."""

import errno
import os
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import platformdirs

from descent.common.errors import PresetError
from descent.common.files import open_regular, read_regular
from descent.common.i18n import N_, _
from descent.common.text import clean, did_you_mean, show, why_unreadable

# The origins of presets and labs. `--json` prints them as they are; translate them where they are shown.
SHIPPED = N_("shipped")
YOURS = N_("yours")
CURRENT_FOLDER = N_("current folder")

_LOOKS_LIKE_PRESET = re.compile(r"^\s*\[?\s*(data|model|loss|optimizer|schedule|train)\s*[\].]", re.MULTILINE)
_IS_LAB = re.compile(r"^\s*\[\[?\s*lab\s*[\].]", re.MULTILINE)
_TABLE = N_(
    "{file}: is a table and not a preset. `descent data look {file}` shows its columns, and with --target COLUMN "
    "a preset that trains on it"
)
# What somebody may give for a preset, by its ending, and the way to train it or on it.
_NO_PRESETS = {
    ".py": N_(
        "{file}: is Python code and not a preset. Name it in one: descent run digits-mlp --set "
        "model.code={file}:CLASS --allow-code (loss.code and train.code name functions)"
    ),
    **dict.fromkeys((".csv", ".tsv", ".txt", ".dat", ".data", ".gz", ".bz2", ".xz", ".parquet"), _TABLE),
    ".npz": N_(
        "{file}: holds arrays and is not a preset. Name it in one: descent run digits-mlp --set "
        '\'data={{name="npz", path="{file}", inputs="x", targets="y"}}\''
    ),
}
LARGEST_FILE = 1 << 20  # bytes; a preset has a few hundred, /dev/zero has no end
# What tomllib says of the slips that beginners make. Its other messages stay in English.
_SLIPS = {
    N_("Invalid value"),
    N_("Invalid statement"),
    N_("Expected '=' after a key in a key/value pair"),
    N_("Expected newline or end of document after a statement"),
    N_("Expected ']' at the end of a table declaration"),
    N_("Invalid initial character for a key part"),
    N_("Unclosed array"),
    N_("Unclosed inline table"),
    N_("Unterminated string"),
    N_("Cannot overwrite a value"),
}


def shipped_presets() -> Path:
    """Return the folder of the shipped presets: in the package when installed, beside it in a checkout."""
    package = Path(__file__).resolve().parents[1]
    inside = package / "presets"
    return inside if inside.is_dir() else package.parent / "presets"


# --- presets ---------------------------------------------------------------------------------------------


def find_preset(name: str) -> Path:
    """Return the file of the preset called `name`. The nearest one wins: current folder, then yours, then shipped.

    Raises PresetError if there is none.
    """
    files = _preset_files()
    if name in files:
        return files[name][0]
    scripts = [path.name for path in Path().glob("*.py")]
    hint = did_you_mean(name, [*files, *scripts])
    if hint:
        raise PresetError(_("{name}: no preset of this name", name=show(name)) + hint)
    names = ", ".join(sorted(files)) or "–"
    raise PresetError(_("{name}: no preset of this name; there are: {names}", name=show(name), names=names))


def preset_names() -> list[str]:
    return list(_preset_files())


def _preset_files() -> dict[str, tuple[Path, str]]:
    """Return every preset's file and origin, by name."""
    folders = [*preset_folders(), (Path("presets"), CURRENT_FOLDER)]
    found = {path.stem: (path, origin) for folder, origin in folders for path in _toml_files(folder)}
    shipped = shipped_presets()
    if Path("presets").resolve() == shipped:  # in a checkout of Descent itself
        found |= {path.stem: (path, SHIPPED) for path in _toml_files(shipped)}
    # The current folder may hold a pyproject.toml, which is nobody's preset.
    return found | {path.stem: (path, CURRENT_FOLDER) for path in _toml_files(Path()) if _looks_like_preset(path)}


def _toml_files(folder: Path) -> Iterator[Path]:
    try:
        files = sorted(folder.absolute().iterdir())
    except OSError:
        return
    yield from (path for path in files if path.suffix == ".toml" and path.is_file() and not _is_lab(path))


def _is_lab(path: Path) -> bool:
    """Return whether this is a lab's own file. It holds a preset but is not one."""
    return path.name == "lab.toml" and _holds(path, _IS_LAB)


def _looks_like_preset(path: Path) -> bool:
    return _holds(path, _LOOKS_LIKE_PRESET)


def _holds(path: Path, words: re.Pattern[str]) -> bool:
    try:
        with open_regular(path) as file:
            return words.search(file.read(1 << 16).decode(errors="replace")) is not None
    except OSError:
        return False


def preset_folders() -> list[tuple[Path, str]]:
    """Return the folders of presets that do not depend on the current folder, with their origin, the nearest last."""
    own = Path(platformdirs.user_config_dir("descent")) / "presets"
    named = [Path(part).expanduser() for part in os.environ.get("DESCENT_PRESETS", "").split(os.pathsep) if part]
    return [(shipped_presets(), SHIPPED), (own, YOURS), *((folder, YOURS) for folder in reversed(named))]


def read_tables(path: Path) -> dict[str, Any]:
    """Return the tables of a TOML file, unchecked. Raises PresetError if it can't be read."""
    text = read_text(path)
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise PresetError(f"{path_shown(path)}: {_syntax(error, text)}") from None
    except (ValueError, RecursionError):
        shown = path_shown(path)
        raise PresetError(
            _("{file}: a number is too long, or lists are nested too deep to read", file=shown)
        ) from None


def find(source: str | Path) -> Path:
    """Return a file by its path, or a preset's file by its name. A name wins over a file that is called the same.

    Raises PresetError, with what to do, for a file of code or data.
    """
    text = os.path.expanduser(source)
    path = Path(text)
    if not (isinstance(source, Path) or os.sep in text or text.endswith(".toml")):
        try:
            return find_preset(text)
        except PresetError:
            if not path.exists():
                raise
    other = _NO_PRESETS.get(path.suffix.lower())
    if other is not None and path.is_file() and not _looks_like_preset(path):
        raise PresetError(_(other, file=path_shown(path)))
    return path


def read_text(path: Path) -> str:
    """Return the text of a preset file. Raises PresetError if it can't be read, is too large or is not UTF-8."""
    shown = path_shown(path)
    try:
        content = read_regular(path, LARGEST_FILE)
    except FileNotFoundError:
        if path.stem not in _preset_files():
            raise PresetError(_("{file}: no such file", file=shown)) from None
        raise PresetError(
            _("{file}: no such file; to run the preset {name}, leave out .toml", file=shown, name=path.stem)
        ) from None
    except IsADirectoryError:
        raise PresetError(
            _(
                "{file}: is a folder and not a preset. If it holds images, `descent data look {file}` shows its "
                "classes. Name it in a preset: descent run digits-cnn --set "
                '\'data={{name="images", path="{file}", image_size=32}}\'',
                file=shown,
            )
        ) from None
    except (OSError, ValueError) as error:
        if isinstance(error, OSError) and error.errno == errno.EFBIG:
            raise PresetError(
                _("{file}: is larger than {most} MiB, so it is not a preset", file=shown, most=LARGEST_FILE >> 20)
            ) from None
        raise PresetError(_("{file}: can't be read: {reason}", file=shown, reason=why_unreadable(error))) from None
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise PresetError(_("{file}, line {line}: is not UTF-8 text", file=shown, line=line)) from None


def path_shown(path: Path) -> str:
    """Return the path as people write it: relative to the current folder if it lies below it, else as it is."""
    try:
        return clean(str(path.absolute().relative_to(Path.cwd())))
    except (ValueError, OSError):
        return clean(str(path))


def _syntax(error: tomllib.TOMLDecodeError, text: str) -> str:
    """Return tomllib's message with its place in front: 'line 3, column 5: …'."""
    reason, _at, place = str(error).rpartition(" (at ")
    reason = _(reason) if reason in _SLIPS else clean(reason)
    found = re.fullmatch(r"line (\d+), column (\d+)\)", place)
    if found is None:  # at the end of the document
        return _("line {line}: {reason}", line=text.count("\n") + 1, reason=reason)
    return _("line {line}, column {column}: {reason}", line=found[1], column=found[2], reason=reason)
