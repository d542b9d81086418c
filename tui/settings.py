"""What the user likes, in settings.toml of the user's configuration folder. A bad file never keeps the app shut."""

import tomllib
from collections.abc import Callable
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import platformdirs

from descent.common.errors import DescentError
from descent.common.files import write_atomically
from descent.common.text import clean, did_you_mean, show

NOTIFY = ("bell", "osc9", "off")
THEMES = ("auto", "dark", "light", "contrast", "ansi")


@dataclass(frozen=True)
class Settings:
    """fps: None where the terminal decides. smoothing: of curves, 0 to 0.99. keys: binding id → "key,key"."""

    theme: str = "auto"
    fps: float | None = None
    smoothing: float = 0.6
    log_y: bool = True
    notify: str = "bell"
    keys: dict[str, str] = field(default_factory=dict)


# For each key: what is allowed, in words, and whether a value of the file is that.
_RULES: dict[str, tuple[str, Callable[[Any], bool]]] = {
    "theme": (f"one of {', '.join(THEMES)}", lambda value: value in THEMES),
    "fps": ("a number from 0.2 to 60", lambda value: _is_number(value) and 0.2 <= value <= 60),
    "smoothing": ("a number from 0 to 0.99", lambda value: _is_number(value) and 0 <= value <= 0.99),
    "log_y": ("true or false", lambda value: isinstance(value, bool)),
    "notify": (f"one of {', '.join(NOTIFY)}", lambda value: value in NOTIFY),
    "keys": (
        'a table of binding = "key,key"',
        lambda value: isinstance(value, dict) and all(isinstance(keys, str) and keys for keys in value.values()),
    ),
}


def settings_file() -> Path:
    """Where the settings are; it may not exist."""
    return Path(platformdirs.user_config_dir("descent")) / "settings.toml"


def load(path: Path | None = None) -> tuple[Settings, str | None]:
    """The settings, and one message of all that is wrong in the file; what is wrong there is left at its default."""
    path = path or settings_file()
    try:
        stored = _read(path)
    except DescentError as error:
        return Settings(), str(error)
    problems = [problem for key, value in stored.items() if (problem := _problem(key, value)) is not None]
    good = {key: value for key, value in stored.items() if _problem(key, value) is None}
    if not problems:
        return Settings(**good), None
    return Settings(**good), "\n".join(f"{_shown(path)}: {problem}" for problem in problems)


def save(settings: Settings, path: Path | None = None) -> None:
    """Write the file as a whole; unknown keys in it stay. DescentError where it can't be written."""
    import tomli_w

    path = path or settings_file()
    stored = _read(path)  # a file that is no TOML is the user's to mend, not ours to overwrite
    for item in fields(settings):
        value = getattr(settings, item.name)
        if value in (None, {}):
            stored.pop(item.name, None)
        else:
            stored[item.name] = value
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_atomically(path, tomli_w.dumps(stored).encode())
    except OSError as error:
        raise DescentError(f"{_shown(path)}: can't be written: {error.strerror}") from None


def _read(path: Path) -> dict[str, Any]:
    """What the file holds; nothing where there is none. DescentError where it is no TOML."""
    try:
        return tomllib.loads(path.read_bytes().decode("utf-8-sig"))
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise DescentError(f"{_shown(path)}: can't be read: {error.strerror}") from None
    except (ValueError, RecursionError) as error:  # UnicodeDecodeError and TOMLDecodeError are ValueErrors
        raise DescentError(f"{_shown(path)}: is no TOML: {clean(str(error))}") from None


def _problem(key: str, value: Any) -> str | None:
    if key not in _RULES:
        return f"{clean(key)}: unknown key{did_you_mean(key, _RULES)}; allowed: {', '.join(_RULES)}"
    allowed, is_good = _RULES[key]
    return None if is_good(value) else f"{key} = {show(value)}: must be {allowed}"


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _shown(path: Path) -> str:
    return clean(str(path))
