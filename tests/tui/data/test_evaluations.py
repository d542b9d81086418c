"""Evaluations as curves take them: a point that is lost or counted twice is a curve that lies."""

import math

import pytest

from descent.run.follower import Member
from tui.data.evaluations import EvaluationHistory


def _evaluated(step: int, loss: float | None, member: int = 0) -> dict[str, object]:
    return {"event": "evaluation", "split": "validation", "step": step, "member": member, "loss": loss}


def _told(history: EvaluationHistory, member: Member = "mean") -> list[tuple[float, float]]:
    points = history.points("validation", "loss", member)
    return list(zip(points.steps.tolist(), points.values.tolist(), strict=True))


@pytest.mark.parametrize("diverged", [frozenset[int](), frozenset({0})])
def test_the_only_member_is_its_own_mean(diverged: frozenset[int]) -> None:
    history = EvaluationHistory(diverged, alone=True)
    for step in range(1000):
        history.add(_evaluated(step, step / 2))
    assert _told(history) == _told(history, 0) == [(step, step / 2) for step in range(1000)]
    assert _told(history, 1) == []


def test_the_mean_is_of_those_that_have_not_diverged() -> None:
    history = EvaluationHistory(frozenset({2}), alone=False)
    for member, loss in enumerate([1.0, 3.0, 1e30]):
        history.add(_evaluated(10, loss, member))
    history.add(_evaluated(20, None, 0))
    history.add(_evaluated(20, 5.0, 1))
    assert _told(history) == [(10, 2.0), (20, 5.0)]
    assert _told(history, 2) == [(10, 1e30)]


def test_the_last_value_may_be_corrected() -> None:
    history = EvaluationHistory(frozenset(), alone=True)
    history.add(_evaluated(10, 1.0))
    history.add(_evaluated(10, 2.0))
    history.add(_evaluated(20, None))
    points = history.points("validation", "loss")
    assert points.values[:-1].tolist() == [2.0]
    assert math.isnan(points.values[-1])
    assert points.latest is None


def test_loss_and_accuracy_lie_at_the_same_steps() -> None:
    history = EvaluationHistory(frozenset(), alone=True)
    for step in range(256):
        history.add(_evaluated(10 * step, step / 2) | {"accuracy": step / 1000})
    before = history.points("validation", "accuracy")
    for step in range(256, 1000):  # more than there was room for
        history.add(_evaluated(10 * step, step / 2) | {"accuracy": step / 1000})
    accuracy = history.points("validation", "accuracy")
    assert (
        accuracy.steps.tolist() == history.points("validation", "loss").steps.tolist() == list(range(0, 10_000, 10))
    )
    assert accuracy.values.tolist() == [step / 1000 for step in range(1000)]
    assert before.values.tolist() == accuracy.values[:256].tolist()


def test_a_name_that_no_evaluation_tells_has_no_points() -> None:
    history = EvaluationHistory(frozenset(), alone=False)
    history.add(_evaluated(10, 1.0))
    assert len(history.points("validation", "accuracy").steps) == 0
    assert len(history.points("validation", "accuracy", 0).steps) == 0
    history.add(_evaluated(20, 2.0) | {"accuracy": 0.5})
    assert history.points("validation", "accuracy").values[1:].tolist() == [0.5]
    assert history.points("validation", "accuracy").latest == 0.5


def test_any_name_has_its_points() -> None:
    """The console of a loop that measures something of its own would end with an error."""
    history = EvaluationHistory(frozenset(), alone=False)
    history.add(_evaluated(10, 1.0))
    history.add(_evaluated(20, 2.0) | {"kl": 3.0})
    history.add(_evaluated(20, 2.0, 1) | {"kl": 4.0})
    assert history.names("validation") == ("loss", "kl")
    points = history.points("validation", "kl")
    assert points.steps.tolist() == [10, 20]
    assert math.isnan(points.values[0])
    assert points.values[1] == 3.5
