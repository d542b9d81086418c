"""What varies is read as it is meant, or the user is told what is wrong with it before anything trains."""

import tomllib
from typing import Any

import pytest

from descent.common.errors import DescentError
from engine.preset.overrides import toml
from engine.study.vary import axes, grid, label


def test_the_grid_has_every_combination() -> None:
    """A point of the study would be missing, or be there twice."""
    varied = axes(["model.widths=[[16], [64, 64]]", "optimizer.lr=[0.1, 1e-3]"])
    assert grid(varied) == [
        {"model.widths": [16], "optimizer.lr": 0.1},
        {"model.widths": [16], "optimizer.lr": 0.001},
        {"model.widths": [64, 64], "optimizer.lr": 0.1},
        {"model.widths": [64, 64], "optimizer.lr": 0.001},
    ]
    assert label(grid(varied)[2]) == "widths=[64, 64] lr=0.1"
    assert label({"data.seed": 1, "train.seed": 2}) == "data.seed=1 train.seed=2"
    assert grid([]) == [{}]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("model.widths", "must have the form section.key=[value, value …]"),
        ("optimizer.lr=0.1", "--vary optimizer.lr: must be a range, such as 1..12 or 100..60000*2, or a list"),
        ("model.activation=[relu, tanh]", 'or ["relu", "tanh"]; given "[relu, tanh]"'),
        ("model.degree=12..1", "12..1: is empty; a range goes from the lower number to the higher one"),
        ("optimizer.lr=0.1..1", "0.1..1: needs a step or a factor, such as 0.1..1+0.1 or 0.1..1*10"),
        ("data.size=0..10*2", "the factor after * must be more than 1, and the first number more than 0"),
        ("data.size=1..10+0", "the step after + must be more than 0"),
        ("data.size=1..1000000", "has more than 10,000 values"),
        ("optimizer.lr=[]", "is an empty list"),
        ("optimizer.lr=[0.1, 0.1]", "has 0.1 twice; for several seeds use --repeats"),
    ],
)
def test_what_is_no_list_of_values(text: str, says: str) -> None:
    """Someone who forgot the brackets would get a grid that was not meant."""
    with pytest.raises(DescentError) as caught:
        axes([text])
    assert says in str(caught.value)


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("model.degree=1..4", [1, 2, 3, 4]),
        ("data.size=100..1000*2", [100, 200, 400, 800]),
        ("data.size=100..300+100", [100, 200, 300]),
        ("data.noise=0..0.5+0.1", [0, 0.1, 0.2, 0.3, 0.4, 0.5]),
        ("optimizer.lr=1e-3..1*10", [0.001, 0.01, 0.1, 1.0]),
        ("data.shift=-1 .. 1", [-1, 0, 1]),
    ],
)
def test_a_range_is_the_numbers_that_a_person_would_write(text: str, values: list[float]) -> None:
    """Twelve degrees would have to be typed one by one, or 0.30000000000000004 stand in the table."""
    assert list(axes([text])[0].values) == values


def test_a_key_that_is_given_twice() -> None:
    """The second list would silently replace the first."""
    with pytest.raises(DescentError, match="given twice; put all its values into one list"):
        axes(["optimizer.lr=[0.1]", "optimizer.lr=[0.01]"])


@pytest.mark.parametrize(
    "value",
    [0.1, 1e-30, 10**20, True, 'a "b" \\ \n 한', [[16], [64, 64]], {"a b": [1.5, "x"]}, float("inf"), [], "\x7f"],
)
def test_a_value_reaches_the_run_unchanged(value: Any) -> None:
    """A job would train with another value than the table says."""
    assert tomllib.loads(f"value = {toml(value)}") == {"value": value}
