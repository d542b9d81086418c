"""A loss that a script did not give is no NaN, and a NaN must still be told as one."""

import json

import numpy as np
import pytest

import descent
from descent.common.errors import DescentError
from descent.run.follower import Follower
from descent.run.metrics import Metrics
from descent.run.not_given import is_given
from descent.run.results import result_of
from engine.cli import runs_view
from tests.helpers.loops import TASK, Made

# No backward is called, so that the loss is what the script says alone.
SCRIPT = f"""{TASK}
import descent
run = descent.init("driven", id="driven", runs_dir="runs")
run.watch(model, optimizer)
for step in run.steps(12):
    loss = model(torch.ones(2, 4)).square().mean()
    for p, g in zip(model.parameters(), torch.autograd.grad(loss, list(model.parameters()))):
        p.grad = g
    optimizer.step()
    # MORE
"""


@pytest.mark.slow
def test_a_loss_that_was_not_given_is_told_from_one_that_is_nan(
    script: Made, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whoever logs every second loss would be told of a broken training, or of none where it is broken."""
    some = script("some").start(SCRIPT.replace("# MORE", "step % 2 or run.log(loss=loss)")).end()
    none = script("none").start(SCRIPT).end()
    nan = script("nan").start(SCRIPT.replace("# MORE", "run.log(loss=float('nan') if step > 5 else loss)")).end()
    for one, given in ((some, [True, False] * 6), (none, [False] * 12), (nan, [True] * 12)):
        assert one.code == 0, one.err
        loss = Metrics(one.run.path).column("loss")
        assert is_given(loss).tolist() == given
        told = one.run.last("anomaly")
        assert (told and told["step"]) == (6 if one is nan else None)
        follower = Follower(one.run)
        follower.look()
        assert follower.series("loss").breaks == ([6] if one is nan else [])
    losses = Metrics(some.run.path).column("loss")[::2]
    assert result_of(some.run).metrics["train_loss"] == pytest.approx(float(np.mean(losses)))
    assert result_of(none.run).metrics == {}
    assert result_of(nan.run).metrics == {"train_loss": None}
    runs_view.show_run("driven", none.run.path.parent, as_json=False)
    shown = capsys.readouterr().out
    assert "not measured" in shown
    assert "preset" not in shown
    assert "epoch" not in shown  # a loop over run.steps has none
    saved = none.run.checkpoint(12)
    with pytest.raises(DescentError, match=rf"is a training loop .* is in torch.load\(\"{saved}\"\)"):
        descent.load(none.run.path)
    runs_view.show_run("driven", none.run.path.parent, as_json=True)
    assert "train_loss" not in json.loads(capsys.readouterr().out)["metrics"]
