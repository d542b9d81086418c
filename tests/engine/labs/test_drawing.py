"""The learner's code drawn: without it a wrong sign or step is a number in a criterion, and not to be seen."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from engine.labs import drawing
from engine.labs.checks import evaluator
from engine.labs.checks.functions import FUNCTIONS
from engine.labs.checks.names import Names
from engine.labs.format import Draw, Graph, Walk
from engine.labs.library import Lab, all_labs
from engine.labs.messages import CheckError

Point = tuple[float, float]


class Scope:
    """The names of a check, with the learner's functions in this process."""

    def __init__(self, **functions: Callable[..., Any]) -> None:
        self.names = Names({})
        self._functions = {**FUNCTIONS, "learner": lambda name, *given: functions[name](*given)}

    def evaluate(self, source: str) -> Any:
        return evaluator.evaluate(source, self.names, self._functions)


WALK = Walk(
    names=("b", "w"),
    loss="(p[0] - 1) ** 2 + 2 * (p[1] + 1) ** 2",
    start=(0.0, 0.0),
    lr=0.1,
    steps=5,
    path='learner("descend", n)',
    gradient='learner("gradient", p)',
    at=((0.0, 0.0), (2.0, 1.0)),
)


def gradient(p: Any) -> list[float]:
    return [2 * (p[0] - 1), 4 * (p[1] + 1)]


def descend(n: int, *, sign: float = -1.0) -> list[float]:
    at = np.zeros(2)
    for _ in range(n):
        at = at + sign * 0.1 * np.array(gradient(at))
    return [float(number) for number in at]


def walked(**functions: Callable[..., Any]) -> dict[str, Any]:
    return drawing._walked(WALK, Scope(**functions))  # type: ignore[arg-type]


def test_right_code_agrees_at_each_point_and_step() -> None:
    """A learner would look for a mistake that is none."""
    found = walked(descend=descend, gradient=gradient)
    assert found["error"] == ""
    np.testing.assert_allclose(found["yours"], found["right"], atol=1e-6)
    assert [one["agree"] for one in (*found["gradients"], *found["steps"])] == [True] * 5
    assert np.shape(found["loss"]) == (drawing.GRID, drawing.GRID)
    assert found["loss"][3][5] == pytest.approx((found["x"][5] - 1) ** 2 + 2 * (found["y"][3] + 1) ** 2)


def test_a_step_uphill_and_a_half_gradient_are_told_with_their_numbers() -> None:
    """The picture would show that something is wrong, and not what."""
    found = walked(descend=lambda n: descend(n, sign=1.0), gradient=lambda p: [one / 2 for one in gradient(p)])
    assert not any(one["agree"] for one in (*found["gradients"], *found["steps"]))
    assert found["gradients"][0]["yours"] == [-1.0, 2.0]
    np.testing.assert_allclose(found["gradients"][0]["right"], [-2.0, 4.0], atol=1e-6)
    first = found["steps"][0]
    np.testing.assert_allclose(first["after"], [-0.2, 0.4])
    np.testing.assert_allclose(first["expected"], [0.2, -0.4], atol=1e-6)


@pytest.mark.slow
def test_code_that_raises_is_drawn_up_to_there() -> None:
    """What worked would not be seen, or the reason would be missing."""

    def ends(n: int) -> list[float]:
        if n > 2:
            raise CheckError("descend raised IndexError (lab.py, line 7)")
        return descend(n)

    found = walked(descend=ends, gradient=lambda p: None)
    assert len(found["yours"]) == 3
    assert found["error"] == "descend raised IndexError (lab.py, line 7)"
    assert len(found["steps"]) == 2
    assert found["gradients"] == []
    assert "None, not two numbers" in walked(descend=descend, gradient=lambda p: None)["error"]


def test_without_a_gradient_of_one_s_own_the_first_step_tells_it() -> None:
    """Code that updates in one line would have no arrow."""
    alone = WALK.model_copy(update={"gradient": None})
    found = drawing._walked(alone, Scope(descend=descend))  # type: ignore[arg-type]
    assert [one["agree"] for one in found["gradients"]] == [True]
    np.testing.assert_allclose(found["gradients"][0]["yours"], [-2.0, 4.0])


def test_a_path_that_flies_away_does_not_hide_the_bowl() -> None:
    """One step of 1e9 would make the right path a dot."""
    found = walked(descend=lambda n: [1e9**n, float("nan")], gradient=gradient)
    assert max(found["x"]) < 3


@pytest.mark.parametrize(
    ("yours", "right", "agrees"),
    [(1.0, 1.0005, True), (1.0, 1.1, False), ([1.0, 2.0], 1.0, False), (None, 1.0, False), (True, True, True),
     (float("nan"), 1.0, False)],
)  # fmt: skip
def test_what_agrees(yours: Any, right: Any, agrees: bool) -> None:
    """A wrong shape or no number at all would pass for right."""
    assert drawing._agree(yours, right) is agrees


@pytest.mark.parametrize(
    ("value", "cell"),
    [([4.0, 3.0], "4, 3"), (0.5, "0.500"), (True, "True"), (np.zeros(50), "an array of shape (50,)"),
     (float("nan"), "NaN")],
)  # fmt: skip
def test_a_cell_shows_few_numbers_and_counts_as_such(value: Any, cell: str) -> None:
    """A fold of 4.00 samples would puzzle, and fifty numbers would push the columns apart."""
    assert drawing._shown(value) == cell


GRAPH = Graph(
    nodes='learner("nodes")', gradients='learner("gradients")', right='[["a", 3, 2], ["f", 9, 1]]'
)  # of f = a · a


def graphed(nodes: object, gradients: Callable[[], object]) -> dict[str, Any]:
    return drawing._graphed(GRAPH, Scope(nodes=lambda: nodes, gradients=gradients))  # type: ignore[arg-type]


NODES = [["a", 3.0, []], ["f", 9.0, ["a", "a"]]]


def test_a_graph_stands_beside_the_right_values_and_gradients() -> None:
    """A gradient that was overwritten, not added, would be one wrong number among many."""
    found = graphed(NODES, lambda: [["a", 3.0], ["f", 1.0]])
    assert found["error"] == ""
    assert found["nodes"] == [
        {"name": "a", "inputs": [], "value": 3.0, "gradient": 3.0, "right": [3.0, 2.0], "agree": False},
        {"name": "f", "inputs": ["a", "a"], "value": 9.0, "gradient": 1.0, "right": [9.0, 1.0], "agree": True},
    ]


def test_values_are_drawn_before_backward_is_written() -> None:
    """A learner would see nothing until all of it is right."""

    def not_yet() -> object:
        raise CheckError("backward is not filled in yet (lab.py, line 30)")

    found = graphed(NODES, not_yet)
    assert found["error"] == "backward is not filled in yet (lab.py, line 30)"
    assert [(node["value"], node["gradient"], node["agree"]) for node in found["nodes"]] == [
        (3.0, None, False), (9.0, None, False)]  # fmt: skip


@pytest.mark.parametrize(
    ("nodes", "why"),
    [(None, "None, not a list"), ([["a", 3.0]], "not a list of lists of 3"),
     ([["a", "x", []]], "text, not one number"),
     ([["f", 9.0, ["a"]]], "f: its inputs must stand before it")],
)  # fmt: skip
def test_a_graph_that_is_none_says_why(nodes: object, why: str) -> None:
    """An error of Descent's would be shown for a slip of the learner's."""
    found = graphed(nodes, lambda: [["a", 1.0]])
    assert found["nodes"] == []
    assert why in found["error"]


def test_a_drawing_is_a_walk_or_a_graph_or_a_table() -> None:
    """A slip in lab.toml would show as an empty screen to a learner."""
    title = {"en": "t", "ko": "t"}
    with pytest.raises(ValueError, match="needs one of walk, graph and rows"):
        Draw.model_validate({"id": "a", "title": title})
    with pytest.raises(ValueError, match="needs one of walk, graph and rows"):
        Draw.model_validate({"id": "a", "title": title, "walk": WALK.model_dump(), "rows": [
            {"text": title, "yours": "1", "right": "1"}]})  # fmt: skip


@pytest.mark.slow
def test_shipped_labs_draw_paths_and_tables() -> None:
    """A learner's code would be told right or wrong only."""
    drawings = [one for lab in all_labs() if isinstance(lab, Lab) for one in lab.model.draw]
    assert any(one.walk is not None for one in drawings)
    assert any(one.graph is not None for one in drawings)
    assert any(one.rows for one in drawings)
