"""What a run trains, and what was changed of its preset: read of the runs in sight alone."""

import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from descent.common.errors import DescentError
from descent.common.i18n import _, ngettext
from descent.common.numbers import setting
from descent.common.settings import flatten
from descent.common.text import clean, short_names, show
from descent.run.schema import LOOP, LOOP_FILE, read_stored
from engine.preset.listing import Entry
from tui.data.runs import RunStatus

_SWEEP = "members.sweep."
_UNTOLD = ("members.way", "title", "topic", "reaches")
Settings = dict[str, Any]  # by dotted key


class Changes:
    """The settings of runs that differ from those of their presets. Each file is read once."""

    def __init__(self) -> None:
        self._presets: dict[str, Entry] = {}
        self._before: dict[str, Settings | None] = {}  # by preset
        self._stored: dict[Path, dict[str, Any]] = {}
        self._scripts: dict[Path, str | None] = {}
        self._words: dict[Path, str] = {}

    def take(self, presets: Sequence[Entry]) -> None:
        """Take the presets as they are now; the schema is loaded by then."""
        self._presets = {entry.name: entry for entry in presets if not entry.broken}
        self._before.clear()
        self._words.clear()

    def words(self, run: RunStatus) -> str:
        """Return "lr 0.01, epochs 20", or of a sweep "lr × 4, 3 seeds". Empty while the presets are being read."""
        path = run.folder.path
        if path not in self._words:
            found = self.of(run)
            if found is None:
                return ""
            self._words[path] = in_words(found)
        return self._words[path]

    def of(self, run: RunStatus) -> Settings | None:
        """Return the settings that differ; None if the preset is not known, and of a loop of one's own."""
        # A script may have the name of a preset, whose settings are none of its.
        before = self._settings(run.preset) if self.script(run) is None else None
        if before is None:
            return None
        after = flatten(self.stored(run))
        if "train.on_nan" not in before and after.get("train.on_nan") == "pause":
            after.pop("train.on_nan")  # by the console, which is there to ask
        missing = before.get("train.on_nan")
        if missing is not None and after.get("train.on_nan") == "pause" and missing == "stop":
            after.pop("train.on_nan")
        return {key: value for key, value in after.items() if before.get(key) != value and key not in _UNTOLD}

    def script(self, run: RunStatus) -> str | None:
        """Return the file name of a loop of one's own, "" if it came from no file; None for a preset."""
        path = run.folder.path
        if path not in self._scripts:
            self._scripts[path] = _script_of(path)
        return self._scripts[path]

    def stored(self, run: RunStatus) -> dict[str, Any]:
        """Return the settings that the run was started with; empty if they can't be read."""
        path = run.folder.path
        if path not in self._stored:
            try:
                self._stored[path] = tomllib.loads(run.folder.preset.read_text(encoding="utf-8"))
            except (OSError, ValueError, RecursionError):
                return {}
        return self._stored[path]

    def _settings(self, name: str) -> Settings | None:
        if name not in self._before:
            entry = self._presets.get(name)
            if entry is None:
                return None
            from engine.preset.loading import load_preset

            try:
                self._before[name] = flatten(tomllib.loads(load_preset(entry.path).to_toml()))
            except DescentError:  # it was good a moment ago; the next reading of the presets says what is wrong
                self._before[name] = None
        return self._before[name]


def _script_of(run: Path) -> str | None:
    try:
        start = read_stored(run, LOOP_FILE, LOOP)
    except DescentError:  # damaged
        return ""
    return None if start is None else clean(Path(start.get("script") or start.get("file") or "").name)


def in_words(changed: Settings) -> str:
    """Return settings as few words, with the last parts of their keys."""
    names = short_names(list(changed))
    parts = []
    for key, value in changed.items():
        if key.startswith(_SWEEP) and isinstance(value, list):
            parts.append(f"{key.rpartition('.')[2].replace('_', ' ')} × {len(value)}")
        elif key == "members.repeats":
            parts.append(ngettext("{count} seed", "{count} seeds", int(value)))
        elif key == "members.folds":
            parts.append(ngettext("{count} fold", "{count} folds", int(value)))
        else:
            number = isinstance(value, int | float) and not isinstance(value, bool)
            shown = setting(value) if number else show(value).strip('"')
            parts.append(f"{names[key].replace('_', ' ')} {shown}")
    return clean(", ".join(parts))


def trained(stored: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return data, model and optimizer of a run, a label and some words each."""
    fields = []
    for section, label, keys in (
        ("data", _("data"), ("path", "n", "noise")),
        ("model", _("model"), ("widths", "activation", "code")),
        ("optimizer", _("optimizer"), ("lr", "momentum", "weight_decay")),
    ):
        table = stored.get(section)
        if not isinstance(table, Mapping) or not table.get("name"):
            continue
        words = [str(table["name"])]
        for key in keys:
            value = table.get(key)
            if isinstance(value, list):
                words += ["-".join(map(str, value))] if value else []
            elif isinstance(value, str):
                words.append(value)
            elif value:
                words.append(f"{key.replace('_', ' ')} {setting(value)}")
        if section == "optimizer":
            schedule = stored.get("schedule")
            name = schedule.get("name") if isinstance(schedule, Mapping) else None
            words += [str(name)] if name and name != "constant" else []
        fields.append((label, clean(", ".join(words))))
    return fields
