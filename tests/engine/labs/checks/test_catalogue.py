"""The table of functions that instructors read is that of the code, and a lab that names others is refused."""

from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest

from descent.common.errors import PresetError
from engine.labs.checks.catalogue import FUNCTIONS, NAMES, problems
from engine.labs.checks.names import Scope
from engine.labs.library import load_lab
from tests.helpers.small_lab import LAB, make_lab
from tests.tools import check_functions

SCOPE = Scope(cast(Any, None))  # no run and no code: names and functions alone


def test_the_catalogue_is_that_of_the_code() -> None:
    """A function would be refused that there is, or accepted and missing when a learner is graded."""
    assert set(FUNCTIONS) == set(SCOPE.functions)
    assert {one.name for one in NAMES} == set(SCOPE.names)


def test_the_page_is_up_to_date() -> None:
    """Instructors would read of functions that there are not: `python -m tests.tools.check_functions` writes it."""
    text = check_functions.PAGE.read_text(encoding="utf-8")
    assert text == check_functions.page(text)


@pytest.mark.parametrize("name", [one.name for one in FUNCTIONS.values() if one.gives])
def test_an_example_gives_what_it_says(name: str) -> None:
    """Instructors would copy an example that fails, or learn the wrong thing from it."""
    function = FUNCTIONS[name]
    assert list(problems(function.example)) == []
    assert np.asarray(SCOPE.evaluate(function.example)).tolist() == SCOPE.evaluate(function.gives)


def test_examples_about_runs_and_code_can_be_read() -> None:
    """The same, where no value can be shown without a run."""
    assert [problem for one in FUNCTIONS.values() for problem in problems(one.example)] == []


@pytest.mark.parametrize(
    ("source", "why"),
    [
        ("maen(train_loss)", r"maen\(…\): there is no such function; did you mean mean\?"),
        ("mean(train_los)", r"train_los: there is no such name; did you mean train_loss\?"),
        ("mean + 1", r"mean: is a function; it needs \(…\)"),
        ("apart(1)", r"apart\(gave, wanted\): is called with 1 argument"),
        ("off(1, 2, 3)", r"off\(gave, wanted\): is called with 3 arguments"),
        ("mean(train_loss, axes=0)", r"mean\(values, axis=None\): takes no axes=…"),
        ("of_part('deep', 'meen(test_loss)')", r"meen\(…\): there is no such function"),
    ],
)
def test_a_lab_with_an_unknown_function_is_refused(tmp_path: Path, source: str, why: str) -> None:
    """Learners would see a ✗ that they can do nothing about."""
    folder = make_lab(tmp_path, lab=LAB.replace('"mean(train_loss)"', f'"{source}"'))
    with pytest.raises(PresetError, match=rf"lab\.checks\.loss\.value: {why}"):
        load_lab(folder)
