"""Pictures made from a run's rows and events alone: they need no worker, and ended runs have them too."""

import contextlib
import math
import statistics
import time
import tomllib
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from descent.common.arrays import mean_over_members
from descent.common.errors import DescentError
from descent.common.i18n import _
from descent.common.mean import mean_of_finite
from descent.common.numbers import setting
from descent.common.settings import flatten
from descent.common.text import short_names
from descent.run.folder import RunFolder
from descent.run.metrics import Metrics
from descent.run.result_metrics import DECIDING, MetricName, Numbers, names_in
from descent.run.results import MemberResult, result_of

if TYPE_CHECKING:
    from numpy.typing import NDArray


Arrays = dict[str, "NDArray[Any]"]
_CHUNK = 2048  # rows that are read at once in the search for measured ones
_MOST_TRIALS = 30  # runs beside a run; each is read anew
_CHANGES_NOTHING = {  # settings of `train` that leave the result as it is
    f"train.{key}"
    for key in ("device", "threads", "checkpoint_every", "keep", "statistics_every", "on_nan", "evaluate_batch_size")
}


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
    ensemble: the score of the members' mean prediction, NaN if that was not tested. Where it was, "auto" of repeats
    is the test's score, to be compared with it.
    """
    import numpy as np

    result = result_of(folder)
    entries = result.members
    together: Numbers = result.ensemble.metrics if result.ensemble is not None else {}
    compared = [] if entries and entries[0].fold is not None else [name for name in DECIDING if name in together]
    metric = _metric(entries, str(options["metric"]), compared)
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
        "ensemble": np.array(_number(together.get(metric))),
        "best": np.array(sorted({groups.index(labels[member]) for member in winners}), int),
    }


def trials(folder: RunFolder, options: Mapping[str, Any]) -> Arrays:
    """Return the score of this run and of the other runs of its preset beside it, with the settings that differ.

    metric: the name of the score. labels: (T,) words, "lr 0.1, dropout 0.5", in the order of training. values, sd:
    (T,) mean and deviation over each run's members, NaN without one. now: the place of this run. key: the one setting
    that differs, if it alone does and is a number, or a list of one, in all, else "". x: (T,) its values, or empty.
    Of several runs with the same settings the latest counts.
    """
    import numpy as np

    known = {run.path.name: _settings(run) for run in _of_its_preset(folder)}
    results = {name: result_of(RunFolder(folder.path.parent / name)) for name in known}
    entries = [entry for result in results.values() for entry in result.members]
    metric = _metric(entries, str(options["metric"]))
    keys = dict.fromkeys(key for settings in known.values() for key in settings)
    differing = [key for key in keys if len({repr(settings.get(key)) for settings in known.values()}) > 1]
    latest = {tuple(repr(settings.get(key)) for key in differing): name for name, settings in known.items()}
    shown = [name for name in known if name in latest.values()]
    short = short_names(differing)
    scores = [
        [v for entry in results[name].members if math.isfinite(v := _number(entry.metrics.get(metric)))]
        for name in shown
    ]
    alone = differing[0] if len(differing) == 1 else ""
    x = [number for name in shown if (number := _number_in(known[name].get(alone))) is not None]
    if len(x) < len(shown):
        x = []
    return {
        "metric": np.array(metric),
        "labels": np.array(
            [
                ", ".join(f"{short[key]} {_word(known[name][key])}" for key in differing if key in known[name])
                for name in shown
            ]
        ),
        "values": np.array([_number(mean_of_finite(of_one)) for of_one in scores]),
        "sd": np.array([statistics.stdev(of_one) if len(of_one) > 1 else math.nan for of_one in scores]),
        "now": np.array(shown.index(folder.path.name)),
        "key": np.array(alone if x else ""),
        "x": np.array(x, float),
    }


def _of_its_preset(folder: RunFolder) -> list[RunFolder]:
    """Return the latest runs of the same preset in the same runs folder, by their starts, and `folder` at the end."""
    preset = folder.facts().get("preset")
    found: list[tuple[float, RunFolder]] = []
    for path in folder.path.parent.iterdir():
        other = RunFolder(path)
        with contextlib.suppress(OSError, DescentError, ValueError):
            if path.name != folder.path.name and other.facts().get("preset") == preset is not None:
                found.append((other.preset.stat().st_mtime, other))
    return [run for _time, run in sorted(found, key=lambda pair: pair[0])[-_MOST_TRIALS:]] + [folder]


def _settings(run: RunFolder) -> dict[str, Any]:
    """Return the settings of a run's preset that can change what it comes to, by their dotted keys."""
    found = flatten(tomllib.loads(run.preset.read_text(encoding="utf-8")))
    return {key: value for key, value in found.items() if key not in _CHANGES_NOTHING}


def _word(value: Any) -> str:
    return value if isinstance(value, str) else setting(value)


def _number_in(value: object) -> float | None:
    """Return a setting as a number; that of a list of one, such as `widths = [300]`, is its own. None for others."""
    if isinstance(value, list) and len(value) == 1:
        value = value[0]
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def _metric(entries: Sequence[MemberResult], wanted: str, first: Sequence[MetricName] = ()) -> MetricName:
    """Return the wanted score, or for "auto" the first of `first` and of the usual ones that is known."""
    known = names_in(entry.metrics for entry in entries)
    for name in (*first, *DECIDING, *known):
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
    "trials": trials,
}
