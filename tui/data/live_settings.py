"""What of a live run can be changed, and the values in force now, as dotted keys."""

import tomllib
from collections.abc import Sequence
from typing import Any

from descent.common.numbers import setting
from descent.common.settings import flatten
from descent.common.text import show
from descent.run.folder import RunFolder
from descent.run.live_settings import KEYS

_SECTIONS = ("train", "optimizer", "schedule", "model", "loss", "data")  # the most often changed first


def flat_settings(source: str, overrides: Sequence[str]) -> dict[str, str]:
    """The settings of a preset with overrides laid over it, the most often changed first.

    PresetError with all that is wrong.
    """
    from engine.preset.loading import load_preset

    stored = tomllib.loads(load_preset(source, overrides).to_toml())
    settings = flatten({section: stored[section] for section in _SECTIONS if section in stored})
    return {key: show(value) for key, value in settings.items()}


_HINTS = {
    "lr_scale": "× the planned rate",
    "optimizer.lr": "the schedule multiplies it",
    "optimizer.momentum": "0 to below 1",
    "optimizer.beta1": "of Adam's mean gradient, below 1",
    "optimizer.weight_decay": "≥ 0",
    "model.dropout": "share of units left out",
    "train.clip_norm": "limit of the gradient's norm",
    "train.batch_size": "from the next epoch on",
    "train.threads": "CPU threads",
    "train.statistics_every": "every so many steps",
    "data.augment": "true or false",
}
HINTS = {key: _HINTS[key] for key in KEYS}  # of every setting that a worker takes while it trains
NO_VALUE = "none"  # how a setting that is off, such as clip_norm, is shown


def settings(folder: RunFolder) -> dict[str, Any]:
    """The run's preset as it was started, every default written out; empty where it can't be read."""
    try:
        return tomllib.loads(folder.preset.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}


def values(preset: dict[str, Any], facts: dict[str, Any], edited: dict[str, Any]) -> dict[str, Any]:
    """Each key that this run could take, with the value in force; None for one that is off. edited: by commands."""
    found: dict[str, Any] = {"lr_scale": 1.0}
    for live in KEYS:
        section, _, key = live.partition(".")
        table = preset.get(section, {})
        if key in table or live == "train.clip_norm":
            found[live] = table.get(key)
    if any((found.pop("data.augment", None) or {}).values()):
        found["data.augment"] = True  # a switch of what the preset has; nothing to switch where it has none
    for name in ("threads", "statistics_every"):
        if f"train.{name}" in found and name in facts:
            found[f"train.{name}"] = facts[name]  # what auto has chosen
    if not found.get("model.dropout"):
        found.pop("model.dropout", None)  # a model that was built without dropout can't take it
    found.update(edited)
    return found


def edits(texts: Sequence[str]) -> dict[str, Any]:
    """The values in "key=value" texts that a worker has taken."""
    from descent.common.settings import parse

    given, _ = parse(list(texts))
    return {".".join(override.path): override.value for override in given}


def shown(value: Any) -> str:
    """A value as a person types it."""
    if value is None:
        return NO_VALUE
    if isinstance(value, bool):
        return str(value).lower()
    return setting(value) if isinstance(value, float) else str(value)
