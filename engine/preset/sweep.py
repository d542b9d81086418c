"""The candidates of a run that trains several models together.

A candidate is one choice of values for the keys of a sweep. A sweep has every combination of some values, or random
draws from ranges. Each candidate is trained with each of the repeats' seeds, or on each of the folds.
"""

import itertools
import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from descent.common.errors import PresetError
from descent.common.i18n import _, ngettext
from descent.common.text import clean, did_you_mean, show
from engine.preset import schema
from engine.preset.messages import ProblemList
from engine.preset.schema import Range, describe

if TYPE_CHECKING:
    import numpy as np


Values = dict[str, Any]  # preset key -> value: {"optimizer.lr": 0.1}
Choices = Mapping[str, Range | Sequence[Any]]

LOCKSTEP = schema.LOCKSTEP
MOST = 1024  # models in one run
_FRUITLESS = 1000  # repeated draws in a row after which a range counts as exhausted


def candidates(settings: schema.PresetModel) -> list[Values]:
    """Return the candidates of the preset's sweep. Without a sweep there is one, which has no values."""
    wanted = settings.members
    if wanted.draws is None:
        return grid({key: values for key, values in wanted.sweep.items() if not isinstance(values, Range)})
    whole = {key for key in wanted.sweep if _is_whole(settings, key)}
    return random(wanted.sweep, wanted.draws, settings.train.seed, whole)


def grid(choices: Mapping[str, Sequence[Any]]) -> list[Values]:
    """Return every combination. The values of the last key change fastest."""
    return [dict(zip(choices, values, strict=True)) for values in itertools.product(*choices.values())]


def random(choices: Choices, count: int, seed: int, whole: set[str] | None = None) -> list[Values]:
    """Return `count` different candidates, each key drawn from its range or list.

    The first candidates do not depend on the count. whole: the keys that take whole numbers only. Raises PresetError
    if there are fewer than `count`.
    """
    import numpy as np

    generator = np.random.default_rng(seed)
    ordered = sorted(choices.items())  # TOML keeps no order between lists and tables
    drawn: dict[str, Values] = {}
    fruitless = 0
    while len(drawn) < count:
        values = {key: _draw(choice, generator, key in (whole or ())) for key, choice in ordered}
        fruitless = fruitless + 1 if repr(values) in drawn else 0
        if fruitless == _FRUITLESS:
            raise PresetError(
                _("members.draws = {draws}: members.sweep has only {most} candidates", draws=count, most=len(drawn))
            )
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
    """Return the settings that --repeats, --folds, --sweep "optimizer.lr=[0.1, 0.01]" and --draws stand for."""
    counts = {"repeats": repeats, "folds": folds, "draws": draws}
    given = [f"members.{key}={count}" for key, count in counts.items() if count is not None]
    return [*given, *(f"members.sweep.{text.strip()}" for text in sweeps)]


# --- whether a preset's sweep can be trained -------------------------------------------------------------


def checked(settings: schema.PresetModel, complaints: ProblemList) -> tuple[schema.PresetModel, list[str]]:
    """Return the settings with the sweep's values as their keys take them, and a line for each problem.

    A value 1 of a number becomes 1.0. complaints: knows where each key came from.
    """
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
    """Raise PresetError if a key can't differ between models that train together."""
    if key in LOCKSTEP:
        return
    if key == "train.seed":
        raise PresetError(_("train.seed: use members.repeats for several seeds"))
    section, _dot, name = key.partition(".")
    shown, names = clean(key), ", ".join(LOCKSTEP)
    if section not in describe.places_of(name):
        text = _("{key}: no such key; allowed: {names}", key=shown, names=names)
        raise PresetError(f"{text}{did_you_mean(key, LOCKSTEP)}")
    raise PresetError(
        _(
            "{key} can't differ between models that train together; use `descent study run PRESET --vary {key}=[…]` "
            "for it. These can differ: {names}",
            key=shown,
            names=names,
        )
    )


def _checked_choice(settings: schema.PresetModel, key: str, choice: tuple[Any, ...] | Range) -> Any:
    """Return the values or the range as the key takes them. Raises PresetError if one of them is not allowed."""
    if not isinstance(choice, Range):
        values = tuple(_checked_value(settings, key, value) for value in choice)
        twice = [value for at, value in enumerate(values) if value in values[:at]]
        if twice:
            raise PresetError(
                _("{key} has {given} twice; use members.repeats for several seeds", key=key, given=show(twice[0]))
            )
        return values
    low, high = choice.low, choice.high
    if not low < high:
        raise PresetError(
            _(
                "{key}: the range from {low:g} to {high:g} is empty; low must be less than high",
                key=key,
                low=low,
                high=high,
            )
        )
    for end in (low, high):
        value = int(end) if _is_whole(settings, key) and end.is_integer() else end
        _checked_value(settings, key, value)
    if choice.log and low <= 0:
        raise PresetError(
            _(
                "{key}: the range from {low:g} to {high:g} must begin above 0 for log = true",
                key=key,
                low=low,
                high=high,
            )
        )
    return choice


def _checked_value(settings: schema.PresetModel, key: str, value: Any) -> Any:
    """Return the value as the preset's key takes it. Raises PresetError if the key does not allow it."""
    section, _dot, name = key.partition(".")
    tables = settings.model_dump(by_alias=True, exclude_none=True, exclude={"members"})
    tables[section][name] = value
    try:
        changed = schema.PresetModel.model_validate(tables, by_alias=True, by_name=False)
    except ValidationError as error:
        own = ProblemList("", ())
        own.schema(error, tables)
        said = [line.removeprefix(": ") for line in own.lines()]
        given = f"{key} = {show(value)}"
        raise PresetError("\n".join(s if s.startswith(key) else f"{given}: {s}" for s in said)) from None
    return getattr(getattr(changed, section), name)


def _is_whole(settings: schema.PresetModel, key: str) -> bool:
    section, _dot, name = key.partition(".")
    now = getattr(getattr(settings, section), name, None)
    return isinstance(now, int) and not isinstance(now, bool)


def _too_many(settings: schema.PresetModel) -> list[str]:
    """Return a line if a run can't have that many members, or the sweep that many candidates."""
    wanted = settings.members
    count = wanted.draws or math.prod(len(v) for v in wanted.sweep.values() if not isinstance(v, Range))
    each = wanted.folds or wanted.repeats
    if count * each > MOST:
        factors = [ngettext("{count:,} candidate", "{count:,} candidates", count)] if wanted.sweep else []
        if wanted.folds:
            factors.append(_("{folds:,} folds", folds=each))
        elif each > 1:
            factors.append(_("{repeats:,} repeats", repeats=each))
        return [
            _(
                "members: {product} are {models:,} models; a run trains at most {most:,}",
                product=" × ".join(factors),
                models=count * each,
                most=MOST,
            )
        ]
    if wanted.draws is not None:
        try:
            candidates(settings)
        except PresetError as error:
            return [str(error)]
    return []
