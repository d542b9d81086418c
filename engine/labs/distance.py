"""How far what was given is from what is wanted: one number to grade, and the two that it comes from to be shown."""

import ast
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.labs.operations import arithmetic

MOST_SHOWN = 3  # numbers of each; of longer ones the two that are farthest apart

Distance = Callable[[Any, Any], NDArray[np.float64]]


@dataclass(frozen=True)
class Pair:
    """Numbers that were given, and those that are wanted in their places. distance: the greatest between two."""

    gave: tuple[float, ...]
    wanted: tuple[float, ...]
    distance: float

    def is_beyond(self, other: "Pair | None") -> bool:
        """Whether it is the farther one; what is not a number is farthest."""
        return other is None or not self.distance <= other.distance


def apart(gave: Any, wanted: Any) -> NDArray[np.float64]:
    """The absolute difference of each number."""
    return np.abs(np.asarray(arithmetic(ast.Sub, gave, wanted), np.float64))


def off(gave: Any, wanted: Any) -> NDArray[np.float64]:
    """The same, as a share of what is wanted."""
    return np.abs(np.asarray(arithmetic(ast.Sub, arithmetic(ast.Div, gave, wanted), 1.0), np.float64))


def pair(distance: Distance, gave: Any, wanted: Any) -> Pair:
    """ValueError where the two can't be held against each other, or are empty."""
    found = distance(gave, wanted)
    if not found.size:
        raise ValueError("takes one number or more, and got none")
    given, goal = (np.broadcast_to(np.asarray(one, np.float64), found.shape).ravel() for one in (gave, wanted))
    distances = found.ravel()
    farthest = int(np.argmax(np.where(np.isnan(distances), np.inf, distances)))
    shown = slice(None) if found.size <= MOST_SHOWN else slice(farthest, farthest + 1)
    return Pair(tuple(given[shown].tolist()), tuple(goal[shown].tolist()), float(distances[farthest]))
