"""The models of a run that trains several together: which candidates, seeds and folds a preset asks for.

A candidate is one choice of values for what a sweep compares: every combination of some values, or draws from
ranges. Each is trained with each of the repeats' seeds, or on each of the folds.
"""

import itertools
import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from descent.common.errors import PresetError
from descent.common.text import clean, did_you_mean, show
from engine.preset import schema
from engine.preset.messages import Complaints
from engine.preset.schema import Range, describe

if TYPE_CHECKING:
    import numpy as np


Values = dict[str, Any]  # preset key -> value: {"optimizer.lr": 0.1}
Choices = Mapping[str, Range | Sequence[Any]]

LOCKSTEP = schema.LOCKSTEP
MOST = 1024  # models in one run
_FRUITLESS = 1000  # draws in a row that were there before, until a range counts as drawn empty


def candidates(settings: schema.PresetModel) -> list[Values]:
    """What the preset's sweep compares; one candidate without values where it has none."""
    wanted = settings.members
    if wanted.draws is None:
        return grid({key: values for key, values in wanted.sweep.items() if not isinstance(values, Range)})
    whole = {key for key in wanted.sweep if _is_whole(settings, key)}
    return random(wanted.sweep, wanted.draws, settings.train.seed, whole)


def grid(choices: Mapping[str, Sequence[Any]]) -> list[Values]:
    """Every combination, the last key's values changing fastest."""
    return [dict(zip(choices, values, strict=True)) for values in itertools.product(*choices.values())]


def random(choices: Choices, count: int, seed: int, whole: set[str] | None = None) -> list[Values]:
    """`count` candidates, no two the same, each key drawn from its range or list. Their first ones do not depend on
    the count. whole: the keys that take whole numbers only. PresetError where there are fewer than `count`."""
    import numpy as np

    generator = np.random.default_rng(seed)
    ordered = sorted(choices.items())  # TOML keeps no order between lists and tables
    drawn: dict[str, Values] = {}
    fruitless = 0
    while len(drawn) < count:
        values = {key: _draw(choice, generator, key in (whole or ())) for key, choice in ordered}
        fruitless = fruitless + 1 if repr(values) in drawn else 0
        if fruitless == _FRUITLESS:
            raise PresetError(f"members.draws = {count}: members.sweep holds {len(drawn)} candidates only")
        drawn[repr(values)] = values
    return list(drawn.values())


def _draw(choice: Range | Sequence[Any], generator: "np.random.Generator", whole: bool) -> Any:
    if not isinstance(choice, Range):
        return choice[int(generator.integers(len(choice)))]
    low, high = choice.low, choice.high
    if whole and not choice.log:
        return int(generator.integers(int(low), int(high) + 1))
    drawn = math.exp(generator.uniform(math.log(low), math.log(high))) if choice.log else generator.uniform(low, high)
    # Four digits: a number that a person can copy.
    return round(drawn) if whole else min(max(float(f"{drawn:.4g}"), low), high)


def words(repeats: int | None, folds: int | None, sweeps: Sequence[str], draws: int | None) -> list[str]:
    """The settings that --repeats, --folds, --sweep "optimizer.lr=[0.1, 0.01]" and --draws are short for."""
    counts = {"repeats": repeats, "folds": folds, "draws": draws}
    given = [f"members.{key}={count}" for key, count in counts.items() if count is not None]
    return [*given, *(f"members.sweep.{text.strip()}" for text in sweeps)]


# --- whether a preset's sweep can be trained -------------------------------------------------------------


def checked(settings: schema.PresetModel, complaints: Complaints) -> tuple[schema.PresetModel, list[str]]:
    """The settings with the sweep's values as their keys have them (1 becomes 1.0), and a line for each thing that is
    wrong with its keys and values. `complaints` knows where each came from."""
    wanted = settings.members
    sweep: dict[str, Any] = {}
    problems: list[str] = []
    for key, choice in wanted.sweep.items():
        place = f"{complaints.origin(('members', 'sweep', key))}: members.sweep"
        try:
            check_key(key)
            sweep[key] = _checked_choice(settings, key, choice)
        except PresetError as error:
            problems += [f"{place}: {line}" for line in str(error).splitlines()]
    if not problems and sweep:
        settings = settings.model_copy(update={"members": wanted.model_copy(update={"sweep": sweep})})
    if not problems:
        problems = [f"{complaints.origin(('members',))}: {line}" for line in _too_many(settings)]
    return settings, problems


def check_key(key: str) -> None:
    """PresetError where a key can't differ between models that train in lockstep."""
    if key in LOCKSTEP:
        return
    if key == "train.seed":
        raise PresetError("train.seed: for other seeds, members.repeats")
    section, _, name = key.partition(".")
    shown = clean(key)
    if section not in describe.places_of(name):
        raise PresetError(f"{shown}: no such key{did_you_mean(key, LOCKSTEP)}; allowed: {', '.join(LOCKSTEP)}")
    raise PresetError(
        f"{shown} can't differ between models that train in lockstep; for it, "
        f"`descent study run PRESET --vary {shown}=[…]`. What can: {', '.join(LOCKSTEP)}"
    )


def _checked_choice(settings: schema.PresetModel, key: str, choice: tuple[Any, ...] | Range) -> Any:
    """The values or the range as the key has them. PresetError with what is wrong with one of them."""
    if not isinstance(choice, Range):
        values = tuple(_checked_value(settings, key, value) for value in choice)
        twice = [value for at, value in enumerate(values) if value in values[:at]]
        if twice:
            raise PresetError(f"{key} has {show(twice[0])} twice; for several seeds of each, members.repeats")
        return values
    ends = f"{key}: a range from {choice.low:g} to {choice.high:g}"
    if not choice.low < choice.high:
        raise PresetError(f"{ends} is empty; low must be less than high")
    for end in (choice.low, choice.high):
        value = int(end) if _is_whole(settings, key) and end.is_integer() else end
        _checked_value(settings, key, value)
    if choice.log and choice.low <= 0:
        raise PresetError(f"{ends}: with log = true, it begins above 0")
    return choice


def _checked_value(settings: schema.PresetModel, key: str, value: Any) -> Any:
    """What the preset's key is with this value. PresetError where that is no preset."""
    section, _, name = key.partition(".")
    tables = settings.model_dump(by_alias=True, exclude_none=True, exclude={"members"})
    tables[section][name] = value
    try:
        changed = schema.PresetModel.model_validate(tables, by_alias=True, by_name=False)
    except ValidationError as error:
        own = Complaints("", ())
        own.schema(error, tables)
        said = [line.removeprefix(": ") for line in own.lines()]
        given = f"{key} = {show(value)}"
        raise PresetError("\n".join(s if s.startswith(key) else f"{given}: {s}" for s in said)) from None
    return getattr(getattr(changed, section), name)


def _is_whole(settings: schema.PresetModel, key: str) -> bool:
    section, _, name = key.partition(".")
    now = getattr(getattr(settings, section), name, None)
    return isinstance(now, int) and not isinstance(now, bool)


def _too_many(settings: schema.PresetModel) -> list[str]:
    """A line where the members are more than a run can have, or the candidates more than there are."""
    wanted = settings.members
    count = wanted.draws or math.prod(len(v) for v in wanted.sweep.values() if not isinstance(v, Range))
    each = wanted.folds or wanted.repeats
    if count * each > MOST:
        times = f" × {each:,} {'folds' if wanted.folds else 'repeats'}" if each > 1 else ""
        many = (
            f"{count:,} candidates{times}" if wanted.sweep else f"{each:,} {'folds' if wanted.folds else 'repeats'}"
        )
        return [f"members: {many} are {count * each:,} models; a run trains {MOST:,} at most"]
    if wanted.draws is not None:
        try:
            candidates(settings)
        except PresetError as error:
            return [str(error)]
    return []
