"""A training that changes no weight must be told of: its curves look like those of a hard task, for hours."""

import numpy as np
import pytest
import torch

from descent.loop.untrained import Untrained
from descent.run.layout import Layout
from tests.helpers.loops import DRIVEN, PLAIN, TASK, Made

NEW = "model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2))\n"  # after the optimizer was made
TOLD = "steps of the AdamW none of its parameters has changed. Mostly they have no gradient when it steps"
HOLDS_NONE = "the optimizer has none of the model's parameters"

LAYOUT = Layout.of(accuracy=False, members=({"member": 0},), layers=({"name": "0", "kind": "linear"},))


def rows(count: int, lr: float, norm: float = np.nan, update: float = np.nan) -> np.ndarray:
    made = np.full((count, 1, len(LAYOUT.columns)), np.nan, np.float32)
    for name, value in (("lr", lr), ("grad_norm", norm), ("layer.0.update_ratio", update)):
        made[0 if name != "lr" else slice(None), 0, LAYOUT.columns.index(name)] = value
    return made


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
def test_only_steps_with_a_rate_that_change_nothing_are_told(dtype: torch.dtype) -> None:
    """A warm-up that begins at 0, or gradients that are gathered first, would be called a mistake."""
    weights, told = [torch.ones(3, dtype=dtype), torch.zeros((), dtype=dtype)], []

    def watch() -> Untrained:
        return Untrained(lambda: weights, lambda *found: told.append(found), after=20)

    warming = watch()
    warming.rows(rows(50, lr=0.0, norm=2.0, update=0.0), LAYOUT)
    warming.end()
    moved = watch()
    moved.rows(rows(10, lr=0.1, norm=2.0, update=1e-6), LAYOUT)
    moved.rows(rows(90, lr=0.1, norm=2.0, update=0.0), LAYOUT)
    gathering = watch()
    gathering.rows(rows(19, lr=0.1, norm=2.0, update=0.0), LAYOUT)
    weights[1] += 1  # at a step that was not measured
    gathering.rows(rows(10, lr=0.1), LAYOUT)
    assert told == []
    for count, norm, found in ((20, 2.0, True), (60, 0.0, False), (20, np.nan, None)):
        still = watch()
        still.rows(rows(count, lr=0.1, norm=norm, update=0.0), LAYOUT)
        still.end()
        assert told.pop() == (count, found)
        assert told == []
    short = watch()
    short.rows(rows(2, lr=0.1, norm=0.0, update=0.0), LAYOUT)
    assert told == []
    short.end()
    assert told == [(2, False)]


@pytest.mark.slow
@pytest.mark.parametrize("watched", [False, True])
@pytest.mark.parametrize("change", [("    loss.backward()\n", ""), ("\ndef turn", f"\n{NEW}\ndef turn")])
def test_a_loop_that_trains_nothing_is_told(script: Made, change: tuple[str, str], *, watched: bool) -> None:
    """backward() was forgotten, or the optimizer has the weights of a model that is no longer used."""
    still = script("still").start((PLAIN if watched else DRIVEN).replace(*change), watched=watched).end()
    told = [event["message"] for event in still.run.events() if event["event"] == "warning"]
    assert sum(TOLD in message for message in told) == 1, told
    assert any(HOLDS_NONE in message for message in told) == (not watched and NEW in change[1])


@pytest.mark.slow
def test_a_loop_that_is_right_is_told_nothing(script: Made) -> None:
    """Nobody would read the warnings."""
    assert script("right").start(DRIVEN).end().run.last("warning") is None
    frozen = DRIVEN.replace("CosineAnnealingLR(optimizer, 40)", "LambdaLR(optimizer, lambda step: 0.0)")
    assert script("frozen").start(frozen).end().run.last("warning") is None


@pytest.mark.slow
@pytest.mark.parametrize(
    ("text", "why"),
    [
        (DRIVEN.replace("    optimizer.step()\n", ""), "the optimizer that run.watch() was given made no step"),
        (
            f"{TASK}\nimport descent\nrun = descent.init('driven', id='driven', runs_dir='runs')\n"
            "for x, y in loader:\n    run.log(loss=turn(x, y))\n",
            "run.watch(model, optimizer) was not called",
        ),
    ],
)
def test_a_loop_that_records_nothing_says_why(script: Made, text: str, why: str) -> None:
    """A run without a row would stand there as finished."""
    idle = script("idle").start(text).end()
    assert idle.code == 0, idle.err
    assert f"descent: nothing was recorded: {why}\n" in idle.err
    assert idle.run.last("warning")["message"] == f"nothing was recorded: {why}"  # type: ignore[index]
