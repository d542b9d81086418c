"""The candidates of a sweep: which members are of the same settings, and how each candidate is called."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from descent.common.numbers import setting
from descent.common.text import clean, short_names


@dataclass(frozen=True)
class SweepPoint:
    """One candidate: a name such as "lr 0.1", the values it is called by, and its members."""

    name: str
    values: Mapping[str, Any]
    members: tuple[int, ...]


def points_of(members: Sequence[Mapping[str, Any]]) -> tuple[SweepPoint, ...]:
    """Return the candidates in the order of their first members. Empty for a run with fewer than two.

    members: those of metrics.json, each with its `values`.
    """
    of_values: dict[str, list[int]] = {}
    for place, member in enumerate(members):
        if member.get("values"):
            of_values.setdefault(repr(member["values"]), []).append(place)
    if len(of_values) < 2:
        return ()
    return tuple(
        SweepPoint(name_of(members[places[0]]["values"]), members[places[0]]["values"], tuple(places))
        for places in of_values.values()
    )


def member_name(points: Sequence[SweepPoint], member: int) -> str:
    """Return "#3", or of a sweep's member its candidate's name, with the number where the candidate has several."""
    point = next((each for each in points if member in each.members), None)
    if point is None:
        return f"#{member}"
    return point.name if len(point.members) == 1 else f"{point.name} #{member}"


def name_of(values: Mapping[str, Any]) -> str:
    """Return "lr 0.1, momentum 0.9"."""
    short = short_names(list(values))
    return clean(", ".join(f"{short[key].replace('_', ' ')} {setting(value)}" for key, value in values.items()))
