"""A change by hand must be made whole or not at all, whatever the script's own functions do."""

import pytest
import torch

from descent.common.errors import DescentError
from descent.loop.edits import LiveEdits
from descent.loop.hooks import Rates


def test_a_setting_that_the_script_cannot_take_changes_nothing() -> None:
    """A typing mistake in somebody's function would end their training, or leave one half of a change."""
    values = {"beta": 0.5, "gamma": 0.1}

    def broken(value: float) -> None:
        raise KeyError("no such row")

    edits = LiveEdits(Rates())
    edits.know([torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.1)])
    edits.declare("beta", lambda: values["beta"], lambda x: values.update(beta=x), None, None)
    edits.declare("gamma", lambda: values["gamma"], broken, None, None)
    why = r"the script's function raised KeyError: 'no such row' \(test_edits.py:\d+\)"
    with pytest.raises(DescentError, match=why):
        edits.take(["lr_scale=0.1", "beta=0.7", "gamma=0.2"])
    assert values == {"beta": 0.5, "gamma": 0.1}
    assert edits.state()["lr_scale"] == 1.0
    assert edits.take(["beta=0.7"]) == {"beta": 0.7}
    assert values["beta"] == 0.7
