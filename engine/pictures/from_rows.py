"""Pictures made from a run's rows and events alone: they need no worker, and ended runs have them too."""

import math
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from descent.common.arrays import mean_of_finite, mean_over_members
from descent.common.errors import DescentError
from descent.common.i18n import _
from descent.common.numbers import setting
from descent.common.text import short_names
from descent.run.folder import RunFolder
from descent.run.metrics import Metrics
from descent.run.result_metrics import OF_RESULTS, MetricName
from descent.run.results import MemberResult, result_of
from engine.pictures.kinds import SCORES

if TYPE_CHECKING:
    from numpy.typing import NDArray


Arrays = dict[str, "NDArray[Any]"]
_CHUNK = 2048  # rows that are read at once in the search for measured ones


def make(folder: RunFolder, kind: str, options: Mapping[str, Any]) -> Arrays:
    """Return the arrays of a picture of one of `KINDS`. Raises DescentError if the run has no numbers for it yet."""
    import numpy as np

    began = time.perf_counter()
    arrays = KINDS[kind](folder, options)
    return arrays | {"seconds": np.array(time.perf_counter() - began)}


def gradients_by_layer(folder: RunFolder, options: Mapping[str, Any]) -> Arrays:
    """Return the norm of each layer's gradient at the first and at the last measured step.

    layers, kinds: (L,) words. first, last: (L,) norms, each a mean over the members that have one. first_step,
    last_step: the number of updates before each.
    """
    import numpy as np

    stored = Metrics(folder.path)
    layout = stored.layout
    columns = [] if layout is None else [f"layer.{layer['name']}.grad_norm" for layer in layout.layers]
    if layout is None or not columns:
        raise DescentError(_("nothing has been measured yet"))
    places = [layout.columns.index(column) for column in columns]
    found: list[tuple[int, NDArray[np.float64]]] = []
    for starts in (range(0, len(stored), _CHUNK), reversed(range(0, len(stored), _CHUNK))):
        for start in starts:
            rows = stored.rows(start, start + _CHUNK)[:, :, places]
            measured = np.flatnonzero(np.any(np.isfinite(rows).all(axis=2), axis=1))
            if len(measured):
                row = int(measured[-1 if found else 0])
                found.append((start + row, mean_over_members(rows[row].T.astype(np.float64))))
                break
    if not found:
        raise DescentError(_("no gradient has been measured yet"))
    (first_step, first), (last_step, last) = found
    return {
        "layers": np.array([layer["name"] for layer in layout.layers]),
        "kinds": np.array([layer["kind"] for layer in layout.layers]),
        "first": first,
        "last": last,
        "first_step": np.array(first_step),
        "last_step": np.array(last_step),
    }


def spread(folder: RunFolder, options: Mapping[str, Any]) -> Arrays:
    """Return the score of each member, and its mean and spread for each candidate.

    metric: the name of the score. values: (M,), NaN for a member without one. group: (M,) the place of a member's
    candidate in `groups`, which has the candidates' words. mean, sd, se: (groups,), over the finite values; NaN if
    there are too few. members, seeds, folds: (M,), folds −1 without folds. best: the groups that have won.
    """
    import numpy as np

    result = result_of(folder)
    entries = result.members
    metric = _metric(entries, str(options["metric"]))
    values = [_number(entry.metrics.get(metric)) for entry in entries]
    keys = short_names(list(entries[0].values))
    labels = [", ".join(f"{keys[key]} {setting(value)}" for key, value in e.values.items()) for e in entries]
    groups = list(dict.fromkeys(labels))
    of_groups = [
        [v for v, label in zip(values, labels, strict=True) if label == group and math.isfinite(v)]
        for group in groups
    ]
    deviations = [statistics.stdev(of_one) if len(of_one) > 1 else math.nan for of_one in of_groups]
    winners = result.winner.members if result.winner is not None else []
    return {
        "metric": np.array(metric),
        "values": np.array(values, float),
        "members": np.array([entry.member for entry in entries]),
        "seeds": np.array([entry.seed for entry in entries]),
        "folds": np.array([-1 if entry.fold is None else entry.fold for entry in entries]),
        "group": np.array([groups.index(label) for label in labels]),
        "groups": np.array(groups),
        "mean": np.array([_number(mean_of_finite(of_one)) for of_one in of_groups]),
        "sd": np.array(deviations),
        "se": np.array([sd / math.sqrt(max(1, len(v))) for sd, v in zip(deviations, of_groups, strict=True)]),
        "best": np.array(sorted({groups.index(labels[member]) for member in winners}), int),
    }


def _metric(entries: Sequence[MemberResult], wanted: str) -> MetricName:
    """Return the wanted score, or for "auto" the first of the usual ones that is known."""
    known = [name for name in OF_RESULTS if any(name in entry.metrics for entry in entries)]
    for name in SCORES:
        if name in known and wanted in ("auto", name):
            return name
    if wanted != "auto":
        raise DescentError(
            _("this run has no {metric}; it has: {known}", metric=wanted, known=", ".join(known) or "–")
        )
    raise DescentError(_("no score is known yet: it comes with the first evaluation"))


def _number(value: float | None) -> float:
    return math.nan if value is None else float(value)


KINDS: dict[str, Callable[[RunFolder, Mapping[str, Any]], Arrays]] = {
    "gradients-by-layer": gradients_by_layer,
    "spread": spread,
}
