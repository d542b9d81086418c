"""What a run has come to, read from its folder alone; with members, what each has and what all have together."""

import math
import statistics
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from descent.common.settings import key_of
from descent.run.events import epochs_before, epochs_since
from descent.run.folder import RunFolder
from descent.run.metrics import METRICS, OF_RESULTS, Layout, Metrics, Numbers
from descent.run.state import State

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


_OF_EVENTS = ("time", "event")  # what a summary does not repeat of one


def summary(
    run: RunFolder, state: State | None = None, events: Sequence[dict[str, Any]] | None = None
) -> dict[str, Any]:
    """The object that `descent run --json` prints. `state` where the caller is the worker itself, or knows it.

    events: those that are valid, or their follow.Gist, of who has read them already: a long log is not read again.

    With several members, `metrics` are means over those that did not diverge, and there are also `spread` (sample
    standard deviation, standard error and n of each metric), `members`; of a sweep `candidates`, the best first;
    and, once they are known, `winner` and `ensemble`.

    Of a run that early stopping has ended, validation and test are of the same models: the best ones.
    """
    facts, stored = run.facts(), Metrics(run.path)
    events = run.events() if events is None else events
    layout, step = stored.layout, len(stored)
    state = state or run.state()
    reached: list[Numbers] = [{}]
    ended: dict[int, dict[str, Any]] = {}
    seconds, epoch = 0.0, 0
    if layout is not None:
        reached = [{} for _ in layout.members]
        ended = {int(event["member"]): event for event in events if event["event"] == "member"}
    if layout is not None and step:
        epoch = _epochs(events, step, facts)
        ends = [min(step, int(ended[m]["step"])) if m in ended else step for m in range(len(reached))]
        for numbers, loss in zip(reached, means_of_last_epoch(stored, "loss", ends, events, facts), strict=True):
            numbers["train_loss"] = loss
        seconds = _seconds(stored, layout, step)
    chosen = dict(enumerate((_last(events, "best") or {}).get("steps", ())))
    for member, numbers in enumerate(reached):
        own = [event for event in events if event.get("member", 0) == member]
        numbers.update(_evaluated(own, chosen=chosen.get(member)))
    found = {
        "run": run.id,
        "dir": str(run.path),
        "state": state,
        "step": step,
        "epoch": epoch,
        "seconds": round(seconds, 4),
        "metrics": reached[0],
        "device": facts.get("device"),
        "threads": facts.get("threads"),
    }
    if layout is None or len(reached) == 1:
        return found
    alone = _edits_of_one(events)
    members = [
        {
            **entry,
            **alone.get(m, {}),
            "state": ended.get(m, {}).get("state", state),
            "step": ended.get(m, {}).get("step", step),
        }
        | {"metrics": reached[m]}
        for m, entry in enumerate(layout.members)
    ]
    return found | of_members(members, events)


def _edits_of_one(events: Sequence[Mapping[str, Any]]) -> dict[int, dict[str, Any]]:
    """By member, {"edits": [{"step", "set"}]} of the live edits that were for it alone."""
    found: dict[int, dict[str, Any]] = {}
    for event in events:
        if event["event"] != "command" or event["command"] != "set":
            continue
        edits = [str(text) for text in event["arguments"]["edits"]]
        named = [text.partition("=")[2].strip() for text in edits if key_of(text) == "member"]
        if named and named[-1].isdigit():
            given = {"step": event["step"], "set": [text for text in edits if key_of(text) != "member"]}
            found.setdefault(int(named[-1]), {"edits": []})["edits"].append(given)
    return found


# --- members ---------------------------------------------------------------------------------------------


def of_members(members: Sequence[dict[str, Any]], events: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """What a run with several members has besides: metrics, spread, members, candidates, winner and ensemble.

    members: dicts with `member`, `values`, `state` and `metrics`.
    """
    metrics, spread = _together(members)
    found: dict[str, Any] = {"metrics": metrics, "spread": spread, "members": list(members)}
    winner = _last(events, "winner")
    if any(entry["values"] for entry in members):
        found["candidates"] = _candidates(members, winner)
    if winner is not None:
        metrics, spread = _together([members[member] for member in winner["members"]])
        found["winner"] = {**winner, "metrics": metrics, "spread": spread}
    ensemble = [event for event in events if event["event"] == "ensemble"]
    if ensemble:
        found["ensemble"] = {"step": ensemble[-1]["step"], **_evaluated(ensemble, "ensemble")}
    return found


def _candidates(members: Sequence[dict[str, Any]], winner: Mapping[str, Any] | None) -> list[dict[str, Any]]:
    """What the sweep compares, the best by validation loss first, and what diverged, though in part, last."""
    of_values: dict[str, list[dict[str, Any]]] = {}
    for entry in members:
        of_values.setdefault(repr(entry["values"]), []).append(entry)
    candidates = []
    for entries in of_values.values():
        metrics, spread = _together(entries)
        candidates.append(
            {
                "values": entries[0]["values"],
                "members": [entry["member"] for entry in entries],
                "diverged": [entry["member"] for entry in entries if entry["state"] == "diverged"],
                "metrics": metrics,
                "spread": spread,
            }
        )
    by = "val_loss" if any("val_loss" in candidate["metrics"] for candidate in candidates) else "train_loss"

    def rank(candidate: dict[str, Any]) -> tuple[bool, bool, float]:
        won = winner is not None and candidate["members"] == winner["members"]
        return not won, bool(candidate["diverged"]), candidate["metrics"].get(by, math.inf)

    return sorted(candidates, key=rank)


def _together(members: Sequence[Mapping[str, Any]]) -> tuple[dict[str, float], dict[str, dict[str, Any]]]:
    """The mean of each metric over the members that did not diverge and that have it, and its spread."""
    kept = [entry["metrics"] for entry in members if entry["state"] != "diverged"]
    metrics: dict[str, float] = {}
    spread: dict[str, dict[str, Any]] = {}
    for name in OF_RESULTS:
        values = [numbers[name] for numbers in kept if numbers.get(name) is not None]
        if values:
            n = len(values)
            metrics[name] = statistics.fmean(values)
            std = statistics.stdev(values) if n > 1 else None
            spread[name] = {"std": std, "stderr": None if std is None else std / math.sqrt(n), "n": n}
    return metrics, spread


def _last(events: Sequence[Mapping[str, Any]], kind: str) -> dict[str, Any] | None:
    found = _last_of(events, kind)
    return None if found is None else {key: value for key, value in found.items() if key not in _OF_EVENTS}


def _last_of(events: Sequence[Mapping[str, Any]], kind: str) -> Mapping[str, Any] | None:
    return next((event for event in reversed(events) if event["event"] == kind), None)


# --- numbers ---------------------------------------------------------------------------------------------


def _evaluated(events: Sequence[Mapping[str, Any]], kind: str = "evaluation", chosen: int | None = None) -> Numbers:
    """The last of each split, as val_loss, val_accuracy, test_loss and test_accuracy.

    chosen: the step of the model that was tested, where that was not the last one.
    """
    evaluations = [event for event in events if event["event"] == kind]
    last = {event["split"]: event for event in evaluations}
    of_chosen = [event for event in evaluations if event["split"] == "validation" and event["step"] == chosen]
    if of_chosen:
        last["validation"] = of_chosen[-1]
    metrics = [metric for metric in METRICS.values() if metric.split in last and metric.split != "train"]
    return {
        metric.name: last[metric.split][metric.column] for metric in metrics if metric.column in last[metric.split]
    }


def means_of_last_epoch(
    stored: Metrics, name: str, ends: Sequence[int], events: Sequence[Mapping[str, Any]], facts: Mapping[str, Any]
) -> list[float | None]:
    """Of a column, each member's mean over the last epoch that it trained; `ends`: the steps that each has made.

    events, facts: of the run; a live batch size changes how many steps an epoch has. A frozen member has rows of NaN,
    which are left out; the NaN of a run's only model is its loss.
    """
    import numpy as np

    assert stored.layout is not None
    column, several = stored.layout.columns.index(name), len(ends) > 1
    changes = [event for event in events if event["event"] == "batch_size"]
    firsts = {end: max(0, end - epochs_before(end, changes, facts).per_epoch) for end in set(ends)}
    windows = {end: stored.rows(first, end)[:, :, column] for end, first in firsts.items()}
    means: list[float | None] = []
    for member, end in enumerate(ends):
        own = windows[end][:, member]
        own = own[np.isfinite(own)] if several else own
        mean = float(np.mean(own, dtype=np.float64)) if len(own) else math.nan
        means.append(mean if math.isfinite(mean) else None)
    return means


def mean_curves(stored: Metrics, names: Sequence[str]) -> "dict[str, NDArray[np.float32]]":
    """(steps,) of each of the columns `names` that there are: the mean over the members that have a number there."""
    import numpy as np

    layout = stored.layout
    if layout is None:
        return {}
    places = {name: layout.columns.index(name) for name in names if name in layout.columns}
    curves: dict[str, list[NDArray[np.float32]]] = {name: [] for name in places}
    for rows in stored.pieces():
        for name, place in places.items():
            curves[name].append(_mean(rows[:, :, place]))
    return {name: np.concatenate(pieces) if pieces else np.empty(0, np.float32) for name, pieces in curves.items()}


def _mean(values: "NDArray[np.float32]") -> "NDArray[np.float32]":
    """(n, M) -> (n,); NaN where none has a number."""
    import numpy as np

    if values.shape[1] == 1:
        return values[:, 0].copy()  # a view would keep the whole rows
    finite = np.isfinite(values)
    with np.errstate(invalid="ignore"):
        mean: NDArray[np.float32] = np.sum(values, axis=1, where=finite) / finite.sum(axis=1, dtype=np.float32)
    return mean


def _seconds(stored: Metrics, layout: Layout, step: int) -> float:
    """Of training, until the last row."""
    import numpy as np

    times = stored.rows(step - 1)[-1, :, layout.columns.index("time")]
    return float(np.max(times, initial=0.0, where=np.isfinite(times)))


def _epochs(events: Sequence[Mapping[str, Any]], step: int, facts: Mapping[str, Any]) -> int:
    """Epochs completed at `step`, counted from the last event that told: not every epoch writes one."""
    told = [event for event in events if event["event"] in ("epoch", "batch_size")]
    epoch, since = (int(told[-1]["epoch"]), int(told[-1]["step"])) if told else (0, 0)
    return epoch + max(0, step - since) // epochs_since(_last_of(told, "batch_size"), facts).per_epoch
