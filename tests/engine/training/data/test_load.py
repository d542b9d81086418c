"""Without this, a user's own function could not give data, or its mistakes would look like ours."""

import numpy as np
import pytest
import torch

from descent.common.errors import DataError, PresetError


def given(function):
    return {"name": "code", "code": "mine.py:load"}, lambda spec: function


@pytest.mark.parametrize("kind", [np.asarray, torch.as_tensor, lambda value: value])
def test_arrays_or_tensors(read, kind):
    """Only one of arrays, tensors and lists would do."""
    section, loader = given(lambda n: (kind([[float(i), 1.0] for i in range(n)]), kind([0, 1] * (n // 2))))
    data = read(**section, arguments={"n": 40}, loader=loader)
    assert data.name == "mine.py:load"
    assert data.input_shape == (2,)
    assert data.num_classes == 2


def test_the_users_array_is_left_alone(read):
    """Scaling would change the arrays of the user's own code."""
    x = np.arange(40.0)[:, None]
    section, loader = given(lambda: (x, [0, 1] * 20))
    read(**section, scaling="standard", validation=0.0, test=0.0, loader=loader)
    assert x[39] == 39


def test_not_agreed_to(read):
    """Code would run that nobody agreed to, or the refusal be a traceback."""
    with pytest.raises(PresetError, match="--allow-code"):
        read(name="code", code="mine.py:load")


def test_failure(read):
    """A mistake in the user's code would look like a bug of ours, without its line."""
    section, loader = given(lambda: 1 / 0)
    with pytest.raises(PresetError, match=r"test_load\.py, line \d+: ZeroDivisionError: "):
        read(**section, loader=loader)


@pytest.mark.parametrize(
    ("returned", "message"),
    [
        (None, r"must return \(inputs, targets\); it returned NoneType"),
        ((1, 2, 3), r"must return \(inputs, targets\)"),
        (([[1, 2], [3]], [0, 1]), "the inputs are not an array"),
        (("abc", [0, 1]), "not an array, but have the type str"),
    ],
)
def test_wrong_returns(read, returned, message):
    """A wrong return value would end in a traceback."""
    section, loader = given(lambda: returned)
    with pytest.raises(DataError, match=message):
        read(**section, loader=loader)
