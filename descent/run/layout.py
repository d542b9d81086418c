"""What a run's rows mean, and which files they are in: all that can be known of them without NumPy."""

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from descent.common.files import write_atomically
from descent.common.i18n import _
from descent.run.schema import LAYOUT, damaged_file, read_stored

LAYER_STATISTICS = ("grad_norm", "weight_norm", "update_ratio", "zero_grads", "dead", "non_finite")
PARAMETER = "parameter."  # begins the columns of a small model's trained numbers


@dataclass(frozen=True)
class Layout:
    """The meaning of a row's numbers.

    columns: names, in the order of a row. `parameter.NAME` is a trained number of a small model after the update.
    members: one dict each, with `member`, `seed` and `values`. layers: one dict each, with `name` and `kind`
    ("linear 784 × 128").
    """

    columns: tuple[str, ...]
    members: tuple[dict[str, Any], ...]
    layers: tuple[dict[str, str], ...]

    @classmethod
    def of(
        cls,
        *,
        accuracy: bool,
        members: tuple[dict[str, Any], ...],
        layers: tuple[dict[str, str], ...],
        parameters: tuple[str, ...] = (),
    ) -> "Layout":
        """Return the layout of a run. accuracy: whether there are classes. parameters: names of trained numbers."""
        columns = ["loss", *(["accuracy"] if accuracy else []), "lr", "time", "grad_norm", "clipped_norm"]
        columns += [f"layer.{layer['name']}.{statistic}" for layer in layers for statistic in LAYER_STATISTICS]
        columns += [PARAMETER + name for name in parameters]
        return cls(tuple(columns), members, layers)

    @property
    def row_bytes(self) -> int:
        return 4 * len(self.members) * len(self.columns)

    def save(self, run: Path) -> None:
        text = json.dumps({"columns": self.columns, "members": self.members, "layers": self.layers}, indent=1)
        write_atomically(run / "metrics.json", text.encode())

    @classmethod
    def load(cls, run: Path) -> "Layout | None":
        """Return the layout of the run in the folder `run`, or None before it is written."""
        stored = read_stored(run, "metrics.json", LAYOUT)
        if stored is None:
            return None
        for name in ("loss", "time"):  # results are made of these two
            if name not in stored["columns"]:
                raise damaged_file(run, "metrics.json", _('it has no column "{name}"', name=name))
        return cls(tuple(stored["columns"]), tuple(stored["members"]), tuple(stored["layers"]))


def generations(run: Path) -> list[tuple[int, int, Path]]:
    """Return (generation, first step, file) of each file of rows, oldest first.

    Raises DamagedError if one of them is a folder or a pipe.
    """
    folder, found = run / "metrics", []
    try:
        names = os.listdir(folder)  # a tenth of the time that Path.glob takes, and this is asked for often
    except OSError:
        return []
    for name in names:
        stem, ending = os.path.splitext(name)
        generation, _dash, start = stem.partition("-")
        if ending == ".f32" and generation.isdecimal() and start.isdecimal():
            file = folder / name
            if not file.is_file() and os.path.lexists(file):
                raise damaged_file(run, f"metrics/{name}", _("it is no regular file"))
            found.append((int(generation), int(start), file))
    return sorted(found)


def steps_in(files: Sequence[tuple[int, int, Path]], layout: Layout) -> int:
    """Return the number of steps that have a row. files: as `generations` lists them."""
    if not files:
        return 0
    _generation, start, file = files[-1]  # the last file voids all others from its first step on
    return start + file.stat().st_size // layout.row_bytes
