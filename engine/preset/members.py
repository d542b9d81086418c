"""The members of a run: their seeds, folds and swept values."""

from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

from engine.preset import schema
from engine.preset.overrides import toml
from engine.preset.sweep import Values, candidates

if TYPE_CHECKING:
    from engine.preset.loading import Preset


class Member(NamedTuple):
    """One model of a run.

    member: its number, from 0. seed: of its initial weights and its batches. values: from the sweep, by preset key.
    fold: the number of its fold; None without folds. preset: of a run that would train this member alone.
    """

    member: int
    seed: int
    values: Values
    fold: int | None
    preset: "Preset"


def roster(preset: "Preset") -> list[Member]:
    """Return the members of a run, sorted by candidate, then by seed or fold. Without [members] there is one.

    Candidates are compared with the same seeds: the same initial weights, in the same order of samples.
    """
    wanted, seed = preset.members, preset.train.seed
    alone = replace(preset, settings=preset.settings.model_copy(update={"members": schema.Members()}), notes=())
    made: list[Member] = []
    for values in candidates(preset.settings):
        for turn in range(wanted.folds or wanted.repeats):
            fold = turn if wanted.folds else None
            own_seed = seed if wanted.folds else seed + turn
            texts = [f"{key}={toml(value)}" for key, value in values.items()]
            texts += [f"train.seed={own_seed}"] if own_seed != seed else []
            made.append(Member(len(made), own_seed, values, fold, alone.changed(texts) if texts else alone))
    return made
