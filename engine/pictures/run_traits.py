"""The facts of a run that decide which pictures it can have, read from its folder."""

import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from descent.run.folder import RunFolder
from descent.run.layout import Layout

# Of one sample, for data sets that always have the same shape.
_SHAPES: dict[str, tuple[int, ...]] = {
    **dict.fromkeys(("line", "sine", "quiz", "point"), (1,)),
    **dict.fromkeys(("xor", "stripes", "moons", "circles", "spirals"), (2,)),
    **dict.fromkeys(("mnist", "fashion-mnist"), (1, 28, 28)),
    **dict.fromkeys(("cifar10", "cifar100"), (3, 32, 32)),
    "digits": (1, 8, 8),
    "breast-cancer": (30,),
    "wine": (13,),
    "iris": (4,),
    "diabetes": (10,),
}


@dataclass(frozen=True)
class Traits:
    """Facts of a run. A fact is None if the folder does not tell it, and only the worker knows.

    input_shape: of one sample. trained: how many parameters are trained. layers: the kind of each in words, as in
    metrics.json. members: how many models train in the run.
    """

    task: str | None = None
    input_shape: tuple[int, ...] | None = None
    trained: int | None = None
    layers: tuple[str, ...] | None = None
    members: int | None = None


def traits(run: Path) -> Traits:
    """Return the traits as far as the folder tells them: from the preset, the facts and the layout of the rows."""
    facts = RunFolder(run).facts()
    layout = Layout.load(run)
    return Traits(
        task=facts.get("task"),
        input_shape=_input_shape(run, facts),
        trained=facts.get("parameters"),
        layers=None if layout is None else tuple(layer["kind"] for layer in layout.layers),
        members=None if layout is None else len(layout.members),
    )


def _input_shape(run: Path, facts: dict[str, Any]) -> tuple[int, ...] | None:
    if "input_shape" in facts:
        return tuple(facts["input_shape"])
    try:
        data = tomllib.loads((run / "preset.toml").read_text(encoding="utf-8"))["data"]
        return (int(data["features"]),) if data["name"] == "blobs" else _SHAPES.get(data["name"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
