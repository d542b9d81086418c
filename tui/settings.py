"""The user's settings, in settings.toml of the configuration folder. The app starts with a bad file too."""

import tomllib
from collections.abc import Callable
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import platformdirs

from descent.common.errors import DescentError
from descent.common.files import write_atomically
from descent.common.i18n import N_, _
from descent.common.text import clean, did_you_mean, show

NOTIFY = ("bell", "osc9", "off")
THEMES = (
    "auto", "dark", "light", "contrast", "ansi", "nord", "gruvbox", "catppuccin-mocha", "catppuccin-latte",
    "tokyo-night", "dracula", "solarized-dark", "solarized-light",
)  # fmt: skip


@dataclass(frozen=True)
class Settings:
    """fps: None where the terminal decides. smoothing: of curves, 0 to 0.99. keys: binding id → "key,key".

    hosts: other machines, each "HOST" or "HOST COMMAND", whose runs Home lists.
    """

    theme: str = "auto"
    fps: float | None = None
    smoothing: float = 0.6
    log_y: bool = True
    notify: str = "bell"
    hosts: tuple[str, ...] = ()
    keys: dict[str, str] = field(default_factory=dict)


# For each key: what is allowed, in words or as the values themselves, and whether a value of the file is that.
_RULES: dict[str, tuple[str | tuple[str, ...], Callable[[Any], bool]]] = {
    "theme": (THEMES, lambda value: value in theme_names()),
    "fps": (N_("a number from 0.2 to 60"), lambda value: _is_number(value) and 0.2 <= value <= 60),
    "smoothing": (N_("a number from 0 to 0.99"), lambda value: _is_number(value) and 0 <= value <= 0.99),
    "log_y": (N_("true or false"), lambda value: isinstance(value, bool)),
    "notify": (NOTIFY, lambda value: value in NOTIFY),
    "hosts": (
        N_('a list of "HOST" or "HOST COMMAND"'),
        lambda value: isinstance(value, list) and all(isinstance(host, str) and _is_host(host) for host in value),
    ),
    "keys": (
        N_('a table of binding = "key,key"'),
        lambda value: isinstance(value, dict) and all(isinstance(keys, str) and keys for keys in value.values()),
    ),
}


def settings_file() -> Path:
    """Where the settings are; it may not exist."""
    return Path(platformdirs.user_config_dir("descent")) / "settings.toml"


def theme_files() -> list[Path]:
    """Return the files of the user's own themes, by name."""
    return sorted((settings_file().parent / "themes").glob("*.toml"))


def theme_names() -> tuple[str, ...]:
    """Return what the setting `theme` can be: those that come with Descent, and the user's own."""
    return (*THEMES, *(file.stem for file in theme_files() if file.stem not in THEMES))


def load(path: Path | None = None) -> tuple[Settings, str | None]:
    """Return the settings, and one message of all that is wrong in the file. A wrong value is left at its default."""
    path = path or settings_file()
    try:
        stored = _read(path)
    except DescentError as error:
        return Settings(), str(error)
    problems = [problem for key, value in stored.items() if (problem := _problem(key, value)) is not None]
    good = {key: value for key, value in stored.items() if _problem(key, value) is None}
    if "hosts" in good:
        good["hosts"] = tuple(good["hosts"])
    if not problems:
        return Settings(**good), None
    return Settings(**good), "\n".join(f"{_shown(path)}: {problem}" for problem in problems)


def save(settings: Settings, path: Path | None = None) -> None:
    """Write the file as a whole. Unknown keys in it stay. Raises DescentError if it can't be written."""
    import tomli_w

    path = path or settings_file()
    stored = _read(path)  # a file that is no TOML is the user's to mend, not ours to overwrite
    for item in fields(settings):
        value = getattr(settings, item.name)
        if value in (None, {}, ()):
            if _problem(item.name, stored.get(item.name)) is None:  # else it is the user's to mend
                stored.pop(item.name, None)
        else:
            stored[item.name] = value
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_atomically(path, tomli_w.dumps(stored).encode())
    except OSError as error:
        raise DescentError(_("{path}: can't be written: {error}", path=_shown(path), error=error.strerror)) from None


def _read(path: Path) -> dict[str, Any]:
    """Return what the file holds; nothing if there is no file. Raises DescentError if it is not TOML."""
    try:
        return tomllib.loads(path.read_bytes().decode("utf-8-sig"))
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise DescentError(_("{path}: can't be read: {error}", path=_shown(path), error=error.strerror)) from None
    except (ValueError, RecursionError) as error:  # UnicodeDecodeError and TOMLDecodeError are ValueErrors
        raise DescentError(_("{path}: is not TOML: {error}", path=_shown(path), error=clean(str(error)))) from None


def _problem(key: str, value: Any) -> str | None:
    if key not in _RULES:
        hint, allowed = did_you_mean(key, _RULES), ", ".join(_RULES)
        return _("{key}: unknown key{hint}; allowed: {allowed}", key=clean(key), hint=hint, allowed=allowed)
    rule, is_good = _RULES[key]
    if is_good(value):
        return None
    if key == "theme":
        rule = theme_names()
    words = _(rule) if isinstance(rule, str) else _("one of {choices}", choices=", ".join(rule))
    return _("{key} = {value}: must be {allowed}", key=key, value=show(value), allowed=words)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_host(text: str) -> bool:
    return bool(text.strip()) and not text.strip().startswith("-")  # which ssh would take for an option


def _shown(path: Path) -> str:
    return clean(str(path))
