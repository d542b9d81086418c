"""What was changed of its preset before a run began, by the files of both."""

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from descent.common.errors import DescentError
from descent.common.settings import flatten
from descent.common.text import clean
from descent.run.folder import RunFolder
from descent.run.schema import LOOP, LOOP_FILE, read_stored

_UNTOLD = ("members.way", "title", "topic", "reaches")
IMPLIED = {"members.repeats": 1}  # what holds in a preset that has no members
Settings = dict[str, Any]  # by dotted key


class Changes:
    """The settings of runs that differ from those of their presets. Each file is read once."""

    def __init__(self) -> None:
        self._presets: Mapping[str, Path] = {}
        self._before: dict[str, Settings | None] = {}  # by preset
        self._stored: dict[Path, dict[str, Any]] = {}
        self._scripts: dict[Path, str | None] = {}

    def take(self, presets: Mapping[str, Path]) -> None:
        """Take the presets as they are now: their files by name."""
        self._presets = presets
        self._before.clear()

    def of(self, run: RunFolder, preset: str) -> Settings | None:
        """Return the settings that differ; None if the preset is not known, and of a loop of one's own."""
        # A script may have the name of a preset, whose settings are none of its.
        before = self._settings(preset) if self.script(run) is None else None
        if before is None:
            return None
        after = flatten(self.stored(run))
        if "train.on_nan" not in before and after.get("train.on_nan") == "pause":
            after.pop("train.on_nan")  # by the console, which is there to ask
        missing = before.get("train.on_nan")
        if missing is not None and after.get("train.on_nan") == "pause" and missing == "stop":
            after.pop("train.on_nan")
        before = IMPLIED | before
        return {key: value for key, value in after.items() if before.get(key) != value and key not in _UNTOLD}

    def script(self, run: RunFolder) -> str | None:
        """Return the file name of a loop of one's own, "" if it came from no file; None for a preset."""
        if run.path not in self._scripts:
            self._scripts[run.path] = _script_of(run.path)
        return self._scripts[run.path]

    def stored(self, run: RunFolder) -> dict[str, Any]:
        """Return the settings that the run was started with; empty if they can't be read."""
        if run.path not in self._stored:
            try:
                self._stored[run.path] = tomllib.loads(run.preset.read_text(encoding="utf-8"))
            except (OSError, ValueError, RecursionError):
                return {}
        return self._stored[run.path]

    def _settings(self, name: str) -> Settings | None:
        if name not in self._before:
            path = self._presets.get(name)
            if path is None:
                return None
            from engine.preset.loading import load_preset

            try:
                self._before[name] = flatten(tomllib.loads(load_preset(path).to_toml()))
            except DescentError:  # its file is broken, or has changed since it was found
                self._before[name] = None
        return self._before[name]


def _script_of(run: Path) -> str | None:
    try:
        start = read_stored(run, LOOP_FILE, LOOP)
    except DescentError:  # damaged
        return ""
    return None if start is None else clean(Path(start.get("script") or start.get("file") or "").name)
