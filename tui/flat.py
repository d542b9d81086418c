"""The settings of a preset as dotted keys, each with its value as TOML writes it."""

import tomllib
from collections.abc import Sequence

from engine.flat import flat
from engine.texts import show

_SECTIONS = ("train", "optimizer", "schedule", "model", "loss", "data")  # the most often changed first


def flat_settings(source: str, overrides: Sequence[str]) -> dict[str, str]:
    """The settings of a preset with overrides laid over it, the most often changed first.

    PresetError with all that is wrong.
    """
    from engine.preset import load_preset

    stored = tomllib.loads(load_preset(source, overrides).to_toml())
    settings = flat({section: stored[section] for section in _SECTIONS if section in stored})
    return {key: show(value) for key, value in settings.items()}
