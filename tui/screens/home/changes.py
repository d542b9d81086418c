"""What a run trains, and what was changed of its preset, in words: read of the runs in sight alone."""

import contextlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from descent.common.errors import DescentError
from descent.common.i18n import _, ngettext
from descent.common.numbers import setting
from descent.common.text import clean, short_names, show
from engine.preset import changes
from tui.data.runs import RunStatus

_SWEEP = "members.sweep."


class Changes(changes.Changes):
    """The same in words, which are kept."""

    def __init__(self) -> None:
        super().__init__()
        self._words: dict[Path, str] = {}
        self._jobs: dict[Path, dict[str, str]] = {}

    def take(self, presets: Mapping[str, Path]) -> None:
        super().take(presets)
        self._words.clear()
        self._jobs.clear()

    def words(self, run: RunStatus) -> str:
        """Return "lr 0.01, epochs 20", or of a sweep "lr × 4, 3 seeds"; of a study's job what varies in the study.

        Empty while the presets are being read.
        """
        path = run.folder.path
        if run.study is not None and run.folder.id in self._varied(run.study):
            return self._varied(run.study)[run.folder.id]
        if path not in self._words:
            found = self.of(run.folder, run.preset)
            if found is None:
                return ""
            self._words[path] = in_words(found)
        return self._words[path]

    def _varied(self, folder: Path) -> Mapping[str, str]:
        """Return what varies in the study by the ids of its runs; nothing if its plan can't be read."""
        if folder not in self._jobs:
            from engine.study.folder import load  # with the presets' schema, which the first frame does not wait for

            self._jobs[folder] = {}
            with contextlib.suppress(DescentError, OSError):
                study = load(folder)
                several = study.repeats > 1
                self._jobs[folder] = {
                    job.id: in_words(job.values | ({"train.seed": job.seed} if several else {})) for job in study.jobs
                }
        return self._jobs[folder]


def in_words(changed: Mapping[str, Any]) -> str:
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
