"""The numbers of a run as they were at an earlier step, all of them read from its files."""

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from descent.run.epochs import epochs_since
from descent.run.follower import Follower, Member
from descent.run.series import MinMaxPyramid
from descent.run.verdict import SHORTEST, WINDOW
from tui.data.candidates import standings
from tui.data.evaluations import best_of, history_of
from tui.data.log import LogLine
from tui.data.recent import mean_before
from tui.data.snapshot import TREND, BestEvaluation, LayerRow, Snapshot

OF_LAYERS = ("grad_norm", "weight_norm", "update_ratio", "dead", "non_finite")


def moment(now: Snapshot, follower: Follower, who: Member, step: int, log: Sequence[LogLine] = ()) -> Snapshot:
    """Return the snapshot with what was known after `step` updates. What steers the run stays as it is now.

    who: the members that are shown. log: its lines until then. For whoever may read the follower now.
    """
    columns = follower.layout.columns if follower.layout is not None else ()
    candidates = tuple(standings(follower, step)) if now.candidates else ()
    if candidates and now.member is None:
        who = candidates[0].point.members  # which were the best then
    loss = mean_before(follower, "loss", who, step)
    before = step - max(SHORTEST, int(WINDOW * step))
    earlier = mean_before(follower, "loss", who, before) if before > 0 else None
    val_loss, val_change = _evaluated(follower, "validation", "loss", who, step)
    return replace(
        now,
        past=step,
        past_epoch=_epoch(follower, step),
        loss=loss,
        accuracy=mean_before(follower, "accuracy", who, step) if "accuracy" in columns else None,
        val_loss=val_loss,
        val_accuracy=_evaluated(follower, "validation", "accuracy", who, step)[0],
        val_balanced_accuracy=_evaluated(follower, "validation", "balanced_accuracy", who, step)[0],
        val_r2=_evaluated(follower, "validation", "r2", who, step)[0],
        val_trend=val_change,
        loss_trend=loss / earlier - 1 if loss is not None and earlier else 0.0,
        layers=_layers(now.layers, follower, who, step),
        log=tuple(log),
        winner="",
        reason="",
        verdict=None,
        best=best_evaluation(follower, who, step),
        candidates=candidates,
    )


def best_evaluation(follower: Follower, who: Member, until: int | None = None) -> BestEvaluation | None:
    """Return the best evaluation up to a step, or so far. None without two evaluations."""
    found = best_of(follower, who, until)
    if found is None:
        return None
    step, name, value = found
    at = _epoch(follower, step)
    epoch = round(at) if at is not None and abs(at - round(at)) < 1e-6 else None
    points = history_of(follower).points("validation", "accuracy", who)
    accuracy = points.values[points.steps == step].tolist()[:1]
    return BestEvaluation(step, epoch, value, name.endswith("accuracy"), *accuracy)


def trend_of(series: MinMaxPyramid, end: int) -> tuple[float | None, ...]:
    """Return the highest of each of TREND stretches up to step `end`, on a logarithmic scale from 0 to 1.

    A stretch in which nothing was measured has the value of the one before: seldom measured is no hole.
    """
    if not end:
        return ()
    edges = np.unique(np.linspace(0, end, TREND + 1).astype(np.int64))
    _, high = series.envelope(edges)
    logs = [math.log10(value) if math.isfinite(value) and value > 0 else None for value in high.tolist()]
    measured = [value for value in logs if value is not None]
    if not measured:
        return ()
    for at, value in enumerate(logs[1:], 1):
        logs[at] = logs[at - 1] if value is None else value
    low, span = min(measured), max(measured) - min(measured)
    span = max(span, 0.3)  # a factor of two fills half the height or less: noise is no trend
    return tuple(None if value is None else (value - low) / span for value in logs)


def _epoch(follower: Follower, step: int) -> float | None:
    changes = [event for event in history_of(follower).resized if int(event["step"]) <= step]
    epochs = epochs_since(changes[-1] if changes else None, follower.facts)
    return None if epochs is None else epochs.at(step)


def _evaluated(follower: Follower, split: str, name: str, who: Member, step: int) -> tuple[float | None, float]:
    """The last value up to a step, and by which share of the one before it has changed."""
    last = history_of(follower).points(split, name, who).until(step).values[-2:].tolist()
    value = last[-1] if last and math.isfinite(last[-1]) else None
    known = len(last) == 2 and all(map(math.isfinite, last)) and last[0]
    return value, last[1] / last[0] - 1 if known else 0.0


def _layers(rows: Sequence[LayerRow], follower: Follower, who: Member, step: int) -> tuple[LayerRow, ...]:
    if follower.layout is None:
        return ()
    names = [str(layer["name"]) for layer in follower.layout.layers]
    found = follower.latest_before(step, (f"layer.{name}.{key}" for name in names for key in OF_LAYERS), who)
    layers = []
    for row in rows:
        name = names[row.index]
        grad_norm, weight_norm, update_ratio, dead, non_finite = (
            found.get(f"layer.{name}.{key}") for key in OF_LAYERS
        )
        trend = trend_of(follower.series(f"layer.{name}.grad_norm", who), step) if row.trend else ()
        layers.append(
            replace(
                row,
                grad_norm=grad_norm,
                weight_norm=weight_norm,
                update_ratio=update_ratio,
                dead=dead,
                non_finite=bool(non_finite),
                trend=trend,
                judged="",
            )
        )
    return tuple(layers)
