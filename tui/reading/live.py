"""What of a live run can be changed, and the values in force now: read from its preset and its events."""

import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from engine.run import RunFolder


@dataclass(frozen=True)
class LiveKey:
    """A setting that a worker takes while it trains."""

    key: str
    label: str
    hint: str


LIVE = (
    LiveKey("lr_scale", "rate ×", "× the planned rate"),
    LiveKey("optimizer.lr", "base rate", "the schedule multiplies it"),
    LiveKey("optimizer.momentum", "momentum", "0 to below 1"),
    LiveKey("optimizer.beta1", "beta1", "of Adam's mean gradient, below 1"),
    LiveKey("optimizer.weight_decay", "weight decay", "≥ 0"),
    LiveKey("model.dropout", "dropout", "share of units left out"),
    LiveKey("train.clip_norm", "clip norm", "limit of the gradient's norm"),
    LiveKey("train.batch_size", "batch size", "from the next epoch on"),
    LiveKey("train.threads", "threads", "CPU threads"),
    LiveKey("train.statistics_every", "statistics", "every so many steps"),
    LiveKey("data.augment", "augment", "true or false"),
)
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
    for live in LIVE[1:]:
        section, _, key = live.key.partition(".")
        table = preset.get(section, {})
        if key in table or live.key == "train.clip_norm":
            found[live.key] = table.get(key)
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
    from engine import overrides

    given, _ = overrides.parse(list(texts))
    return {".".join(override.path): override.value for override in given}


def shown(value: Any) -> str:
    """A value as a person types it."""
    if value is None:
        return NO_VALUE
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:g}" if isinstance(value, float) else str(value)
