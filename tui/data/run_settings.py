"""The settings of a live run that can be changed, and their values now, as dotted keys."""

import tomllib
from collections.abc import Sequence
from typing import Any

from descent.common.i18n import N_, _
from descent.common.numbers import setting
from descent.common.settings import flatten
from descent.common.text import show
from descent.run.folder import RunFolder
from descent.run.live_settings import KEYS, LOOP_KEYS

_SECTIONS = ("optimizer", "train", "schedule", "model", "loss", "data")  # the most often changed first
_HINTS = {
    "lr_scale": N_("× the planned learning rate"),
    "optimizer.lr": N_("the schedule multiplies it"),
    "optimizer.momentum": N_("0 to below 1"),
    "optimizer.beta1": N_("Adam's momentum, below 1"),
    "optimizer.weight_decay": "≥ 0",
    "model.dropout": N_("share of units left out"),
    "train.clip_norm": N_("max gradient norm"),
    "train.batch_size": N_("from the next epoch"),
    "train.threads": N_("CPU threads"),
    "train.statistics_every": N_("steps between statistics"),
    "data.augment": N_("true or false"),
}
HINTS = {key: _HINTS[key] for key in KEYS}  # for each setting that a worker takes while it trains
NO_VALUE = "none"  # how a setting that is off, such as clip_norm, is shown


def flat_settings(source: str, overrides: Sequence[str]) -> dict[str, str]:
    """Return the settings of a preset with its overrides, the most often changed first.

    Raises PresetError with all that is wrong.
    """
    from engine.preset.loading import load_preset

    stored = tomllib.loads(load_preset(source, overrides).to_toml())
    settings = flatten({section: stored[section] for section in _SECTIONS if section in stored})
    return {key: show(value) for key, value in settings.items()}


def settings(folder: RunFolder) -> dict[str, Any]:
    """Return the run's preset as it was started, with every default. Empty if it can't be read."""
    try:
        return tomllib.loads(folder.preset.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}


def values(preset: dict[str, Any], facts: dict[str, Any], edited: dict[str, Any]) -> dict[str, Any]:
    """Return the value of each key that this run can take, None for one that is off. edited: set by commands."""
    found: dict[str, Any] = {"lr_scale": 1.0}
    if facts.get("task") == "loop":
        optimizer = dict(preset.get("optimizer", {}))
        if optimizer.get("scheduled"):
            optimizer.pop("lr", None)  # its scheduler would set it anew
        found |= {key: optimizer[name] for key in LOOP_KEYS if (name := key.removeprefix("optimizer.")) in optimizer}
        return found | {told["name"]: told.get("value") for told in facts.get("settings", ())} | edited
    for live in KEYS:
        section, _, key = live.partition(".")
        table = preset.get(section, {})
        if key in table or live == "train.clip_norm":
            found[live] = table.get(key)
    if any((found.pop("data.augment", None) or {}).values()):
        found["data.augment"] = True  # switches what the preset has; a preset without any has no switch
    for name in ("threads", "statistics_every"):
        if f"train.{name}" in found and name in facts:
            found[f"train.{name}"] = facts[name]  # the number that "auto" stands for
    if not found.get("model.dropout"):
        found.pop("model.dropout", None)  # a model that was built without dropout can't take it
    found.update(edited)
    return found


def hints(values: dict[str, Any], facts: dict[str, Any]) -> dict[str, str]:
    """Return in a few words what each setting may be, in the order in which they are shown."""
    known = {key: _(text) for key, text in HINTS.items() if key in values}
    return known | {told["name"]: _limits(told) for told in facts.get("settings", ()) if told["name"] in values}


def _limits(told: dict[str, Any]) -> str:
    limits = [("≥", told.get("minimum")), ("≤", told.get("maximum"))]
    return ", ".join(f"{sign} {setting(limit)}" for sign, limit in limits if limit is not None)


def edits(texts: Sequence[str]) -> dict[str, Any]:
    """Return the values in "key=value" texts that a worker has accepted."""
    from descent.common.settings import parse

    return {".".join(override.path): override.value for override in parse(list(texts))[0]}


def shown(value: Any) -> str:
    """Return a value as a person types it."""
    if value is None:
        return NO_VALUE
    if isinstance(value, bool):
        return str(value).lower()
    return setting(value) if isinstance(value, float) else str(value)
