"""The best model of a loop must be kept by what its script says is the best, and be named."""

from pathlib import Path

import pytest

from descent.common.errors import DescentError
from descent.loop.best import BestEvaluation
from descent.run.results import result_of
from tests.helpers.loops import DRIVEN, Script

# During the first epoch run.epoch is 0, although the screen says 1.
MORE = """assert run.epoch == (run.step - 1) // 6
    if run.epoch_is_over:
        run.evaluation(loss=1, f1=[0.1, 0.9, 0.5, float("nan"), 0.2][run.epoch])
"""
EVALUATED = DRIVEN.replace(
    "statistics_every=2", 'statistics_every=2, keep=1, best={"metric": "f1", "mode": "max"}'
).replace("# MORE", MORE)


@pytest.mark.slow
def test_the_checkpoint_of_the_best_evaluation_is_kept_and_named(tmp_path: Path) -> None:
    """The model that a person wanted would have been removed for later, worse ones."""
    script = Script(tmp_path / "best").start(EVALUATED).end()
    assert script.code == 0, script.err
    result = result_of(script.run)
    assert result.best is not None
    assert result.best.step == 12  # the second of five epochs of six steps
    assert result.best.checkpoint == script.run.checkpoint(12)
    assert result.metrics["val_f1"] == 0.9


def test_a_wrong_choice_is_refused() -> None:
    """It would be accepted, and the last model be taken for the best."""
    for wrong in ({"metric": "f1"}, {"metric": "f1", "mode": "most"}, "f1"):
        with pytest.raises(DescentError, match=r"must be .*metric.*mode"):
            BestEvaluation(wrong)  # type: ignore[arg-type]
    best = BestEvaluation({"metric": "loss", "mode": "min"})
    assert best.is_missed
    assert [best.observe({"loss": loss}, step) for step, loss in enumerate([2.0, float("nan"), 1.0, 1.0])] == [
        True,
        False,
        True,
        False,
    ]
    again = BestEvaluation({"metric": "loss", "mode": "min"})
    again.restore(best.state())
    assert again.step == 2
    assert not again.observe({"loss": 1.5}, 5)
