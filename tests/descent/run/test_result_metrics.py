"""Home, studies and comparisons call the same run the best, and never one that only the test prefers."""

import pytest

from descent.run.result_metrics import Numbers, best_of, standing

LOW: Numbers = {"val_accuracy": 0.9, "val_loss": 0.2, "test_accuracy": 0.99}
HIGH: Numbers = {"val_accuracy": 0.95, "val_loss": 0.3, "test_accuracy": 0.91}


@pytest.mark.parametrize(
    ("results", "best"),
    [
        ([LOW, HIGH], (1, "val_accuracy")),
        ([HIGH, LOW | {"val_accuracy": 0.95}], (1, "val_loss")),  # of equal accuracies the lower loss
        ([HIGH, LOW, LOW | {"val_accuracy": 0.95, "val_loss": 0.3, "test_accuracy": 1.0}], None),  # not by the test
        ([{"test_loss": 0.2}, {"test_loss": 0.1}, LOW], (1, "test_loss")),  # where no two have a validation
        ([HIGH], None),
        ([{"train_loss": 0.1}, {"train_loss": 0.2}], None),
        ([{"val_loss": None}, {"val_loss": 0.3}, {"val_loss": 0.5}], (1, "val_loss")),  # one that is not finite
    ],
)
def test_the_best_is_chosen_by_validation(results: list[Numbers], best: tuple[int, str] | None) -> None:
    assert best_of(results) == best


def test_results_are_ordered_by_the_same_metric() -> None:
    other: Numbers = {"test_loss": 0.1}
    lower, tested = HIGH | {"val_loss": 0.1}, HIGH | {"test_accuracy": 1.0}
    assert sorted([other, {}, LOW, HIGH, tested, lower], key=standing) == [lower, HIGH, tested, LOW, other, {}]
