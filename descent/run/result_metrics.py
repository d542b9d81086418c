"""The metrics of a run's results: their names, titles and units, and which of several values is the best."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from descent.common.i18n import N_, _
from descent.common.numbers import metric as number_text
from descent.common.text import clean
from descent.run.schema import EVENT, NO_VALUES, Kind

Split = Literal["train", "validation", "test"]
Column = str  # one of COLUMNS, or any other name that an evaluation of the user's own has given
MetricName = str  # one of METRICS, or val_NAME or test_NAME of such a name; see metric_of
Numbers = dict[MetricName, float | None]  # of one model, or means over several; None: measured, and not finite
COLUMNS: dict[Column, str] = {  # f1: the mean over classes. rmse: the root mean squared error
    "loss": N_("loss"),
    "accuracy": N_("accuracy"),
    "balanced_accuracy": N_("balanced accuracy"),
    "f1": N_("F1"),
    "r2": N_("R²"),
    "rmse": N_("RMSE"),
}
SPLIT_HEADS: dict[Split, str] = {"train": N_("train"), "validation": N_("val"), "test": N_("test")}
_PREFIXES: dict[str, Split] = {"val_": "validation", "test_": "test"}


@dataclass(frozen=True)
class Metric:
    """A result of a run.

    title: in words, "validation accuracy". head: the head of a table's column, "val acc". `_` translates both where
    they are shown. split, column: what is measured. On the train split it is the mean of the last epoch's rows, on
    the others the result of the last evaluation. best: which of several values is the best; None where that is not
    known. unit: as it is shown.
    """

    name: MetricName
    title: str
    head: str
    split: Split
    column: Column
    best: Literal["lowest", "highest"] | None
    unit: Literal["", "%"] = ""

    @property
    def is_share(self) -> bool:
        """Return whether it is a number from 0 to 1, shown in percent."""
        return self.unit == "%"

    @property
    def narrow_head(self) -> str:
        """Return the head for a table that has little room: "val" for the validation loss."""
        return SPLIT_HEADS[self.split] if self.column == "loss" else self.head


METRICS: dict[MetricName, Metric] = {
    metric.name: metric
    for metric in (
        Metric("train_loss", N_("training loss"), N_("train loss"), "train", "loss", "lowest"),
        Metric("train_accuracy", N_("training accuracy"), N_("train acc"), "train", "accuracy", "highest", "%"),
        Metric("val_loss", N_("validation loss"), N_("val loss"), "validation", "loss", "lowest"),
        Metric("val_accuracy", N_("validation accuracy"), N_("val acc"), "validation", "accuracy", "highest", "%"),
        Metric(
            "val_balanced_accuracy",
            N_("validation balanced accuracy"),
            N_("val bal acc"),
            "validation",
            "balanced_accuracy",
            "highest",
            "%",
        ),
        Metric("val_f1", N_("validation F1"), N_("val F1"), "validation", "f1", "highest"),
        Metric("val_r2", N_("validation R²"), N_("val R²"), "validation", "r2", "highest"),
        Metric("val_rmse", N_("validation RMSE"), N_("val RMSE"), "validation", "rmse", "lowest"),
        Metric("test_loss", N_("test loss"), N_("test loss"), "test", "loss", "lowest"),
        Metric("test_accuracy", N_("test accuracy"), N_("test acc"), "test", "accuracy", "highest", "%"),
        Metric(
            "test_balanced_accuracy",
            N_("test balanced accuracy"),
            N_("test bal acc"),
            "test",
            "balanced_accuracy",
            "highest",
            "%",
        ),
        Metric("test_f1", N_("test F1"), N_("test F1"), "test", "f1", "highest"),
        Metric("test_r2", N_("test R²"), N_("test R²"), "test", "r2", "highest"),
        Metric("test_rmse", N_("test RMSE"), N_("test RMSE"), "test", "rmse", "lowest"),
    )
}
# The metrics of a run's result. The accuracy over its last epoch is read only for the jobs of a study.
OF_RESULTS: tuple[MetricName, ...] = tuple(name for name in METRICS if name != "train_accuracy")

# What results are told apart by. The test chooses nothing that a validation can; accuracy says more than loss.
DECIDING: tuple[MetricName, ...] = ("val_accuracy", "val_loss", "test_accuracy", "test_loss", "train_loss")


def standing(numbers: Mapping[MetricName, float | None]) -> tuple[float, ...]:
    """Return a result's place among others, the lower the better.

    The first of DECIDING that it has decides, of equal ones the next of the same split.
    """
    for place, name in enumerate(DECIDING):
        if numbers.get(name) is not None:
            same = (other for other in DECIDING[place:] if METRICS[other].split == METRICS[name].split)
            return place, *(_cost(other, value) for other in same if (value := numbers.get(other)) is not None)
    return (len(DECIDING),)


def best_of(results: Sequence[Mapping[MetricName, float | None]]) -> tuple[int, MetricName] | None:
    """Return the position of the best of several results, and the metric that decided.

    That is the first of DECIDING that several have; of equal ones, the next decides. The test decides only where no
    two have a validation. None if nothing tells them apart.
    """
    for split in ("validation", "test"):
        left, is_compared = list(range(len(results))), False
        for name in (name for name in DECIDING if METRICS[name].split == split):
            costs = {place: _cost(name, value) for place in left if (value := results[place].get(name)) is not None}
            if len(costs) < 2:
                continue
            is_compared, left = True, [place for place, cost in costs.items() if cost == min(costs.values())]
            if len(left) == 1:
                return left[0], name
        if is_compared:
            return None
    return None


def _cost(name: MetricName, value: float) -> float:
    return -value if METRICS[name].best == "highest" else value


def metric_named(name: str) -> Metric | None:
    """Return the metric of that name, or None.

    val_NAME and test_NAME are metrics of the user's own, whatever NAME.
    """
    if name in METRICS:
        return METRICS[name]
    for prefix, split in _PREFIXES.items():
        column = name.removeprefix(prefix)
        if name.startswith(prefix) and column:
            is_share = column.endswith("accuracy")
            best: Literal["lowest", "highest"] | None = "highest" if is_share else None
            return Metric(
                name, f"{split} {column}", f"{prefix[:-1]} {column}", split, column, best, "%" if is_share else ""
            )
    return None


def is_free(column: str) -> bool:
    """Return whether a metric of the user's own can have this name: no other key of an event has it."""
    shape = EVENT.optional.get(column)
    return column not in NO_VALUES and (shape is None or (isinstance(shape, Kind) and shape.fits(0.5)))


def metric_of(name: MetricName) -> Metric:
    """Return a metric that a result has."""
    found = metric_named(name)
    assert found is not None
    return found


def names_in(results: Iterable[Iterable[str]]) -> list[MetricName]:
    """Return the metrics that any of the results has: those of METRICS in their order, then the user's own.

    results: names, of which those of no metric are left out.
    """
    there = dict.fromkeys(name for names in results for name in names)
    return [name for name in METRICS if name in there] + [
        name for name in there if name not in METRICS and metric_named(name) is not None
    ]


def loss_and_accuracy(numbers: Mapping[MetricName, float | None], split: Split) -> tuple[float | None, float | None]:
    """Return loss and accuracy of a split, each None if it was not measured."""
    found = values_on(numbers, split)
    return found.get("loss"), found.get("accuracy")


def score_words(values: Mapping[Any, Any]) -> list[str]:
    """Return "R² 0.953", "RMSE 2.10" … for each column beside loss and accuracy that has a value."""
    columns = [*COLUMNS, *(column for column in values if column not in COLUMNS)]
    return [
        f"{_(COLUMNS[column]) if column in COLUMNS else clean(column)} {number_text(column, values[column])}"
        for column in columns
        if column not in ("loss", "accuracy") and values.get(column) is not None
    ]


def values_on(numbers: Mapping[Any, Any], split: Split) -> dict[Column, float | None]:
    """Return what was measured on a split, by column."""
    there = [metric_of(name) for name in names_in([numbers])]
    return {each.column: numbers[each.name] for each in there if each.split == split}
