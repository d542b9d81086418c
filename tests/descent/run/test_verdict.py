"""A wrong alarm, or a broken run that nothing is said of, misleads whoever looks: verdicts are tried on real runs."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from descent.run.events import Events
from descent.run.folder import RunFolder
from descent.run.follower import Follower
from descent.run.layout import Layout
from descent.run.metrics import MetricsWriter
from descent.run.verdict import Evidence, Layer, Verdict, Watch, evidence_of, judge, words

RUNS = json.loads((Path(__file__).parents[2] / "helpers" / "verdict_runs.json").read_text())


def at(folder: Path, recorded: dict[str, Any], share: float) -> Verdict | None:
    """The verdict on a recorded run when that share of its steps was done."""
    layers = tuple({"name": name, "kind": "linear"} for name in recorded["layers"])
    layout = Layout.of(accuracy=False, members=({"member": 0, "seed": 0, "values": {}},), layers=layers)
    layout.save(folder)
    columns = {name: np.array(values, np.float32) for name, values in recorded["columns"].items()}
    steps = round(share * len(columns["loss"]))
    rows = np.full((steps, 1, len(layout.columns)), np.nan, np.float32)
    for name, values in columns.items():
        rows[:, 0, layout.columns.index(name)] = values[:steps]
    writer = MetricsWriter(folder, 0)
    writer.append(rows)
    writer.close()
    events = Events(folder)
    events.state("running", step=0)
    for event in recorded["events"]:
        if event["step"] <= steps:
            events.write(**event)
    if any(event["event"] == "anomaly" for event in recorded["events"]):
        events.state("stopped", step=steps)
    follower = Follower(RunFolder(folder))
    return judge(evidence_of(follower, Watch(), 0, recorded["per_epoch"]))


@pytest.mark.parametrize("kind", RUNS)
def test_the_end_of_a_real_run_of_each_kind(kind: str, tmp_path: Path) -> None:
    verdict = at(tmp_path, RUNS[kind], 1.0)
    assert verdict is not None
    assert verdict.kind == kind
    assert words(verdict)


def test_a_healthy_run_is_never_warned_of(tmp_path: Path) -> None:
    for share in (0.05, 0.1, 0.2, 0.3, 0.5, 0.7, 0.9):
        folder = tmp_path / str(share)
        folder.mkdir()
        verdict = at(folder, RUNS["learning"], share)
        assert verdict is None or verdict.kind == "learning"


def test_overfitting_is_told_since_its_best_epoch_and_not_before_it_is_sure(tmp_path: Path) -> None:
    recorded = RUNS["overfitting"]
    losses = [event["loss"] for event in recorded["events"] if event.get("split") == "validation"]
    best = int(np.argmin(losses)) + 1
    told = []
    for share in np.linspace(0.1, 1.0, 19):
        folder = tmp_path / f"{share:.2f}"
        folder.mkdir()
        verdict = at(folder, recorded, float(share))
        if verdict is not None and verdict.kind == "overfitting":
            told.append((share, verdict))
    assert told
    assert told[-1][1].epoch == best
    assert told[-1][1].change == pytest.approx(losses[-1] / min(losses) - 1, rel=1e-3)
    assert told[0][0] * len(losses) > best + 2


HEALTHY = Evidence(step=1000, start=2.3, now=0.5, before=0.6, window=100)


@pytest.mark.parametrize(
    ("changes", "kind"),
    [
        ({}, "learning"),
        ({"now": None}, None),
        ({"before": 0.501}, None),  # no more than noise
        ({"now": 4.0, "before": 4.0}, "rate"),
        ({"now": 4.0, "before": 5.0}, "learning"),  # it comes down again
        ({"before": 0.5, "spikes": (900, 950)}, "rate"),
        ({"before": 0.5, "spikes": (100, 950)}, None),
        ({"broken": 7, "collapsed": 5}, "broken"),
        ({"before": 0.5, "stalled": (400, 0.5)}, "plateau"),
        ({"before": 0.5, "stalled": (400, 0.6)}, None),  # it has fallen since
        ({"before": 0.5, "stalled": (400, 0.5), "validation": ([500, 950], [0.9, 0.8])}, None),  # val improves
        ({"now": 0.01, "before": 0.01, "stalled": (400, 0.01)}, None),  # all is learned
        ({"validation": ([1, 2, 3, 4], [0.9, 1.2, 1.3, 1.4]), "at_best": 0.7}, "overfitting"),
        ({"validation": ([1, 2, 3, 4], [0.9, 1.2, 1.3, 1.4]), "at_best": 0.4}, "learning"),  # no better on train
        ({"validation": ([1, 2, 3, 4], [0.9, 1.2, 0.95, 0.91]), "at_best": 0.7}, "learning"),
        ({"validation": ([1, 2, 3], [0.9, 1.2, 1.3]), "at_best": 0.7}, "learning"),  # too few
    ],
)  # fmt: skip
def test_each_rule(changes: dict[str, Any], kind: str | None) -> None:
    verdict = judge(Evidence(**{**HEALTHY.__dict__, **changes}))
    assert (None if verdict is None else verdict.kind) == kind


def test_a_gradient_that_vanishes() -> None:
    layers = [Layer("a", 1e-9), Layer("b", 1e-6), Layer("c", 1e-2)]
    stuck = Evidence(step=1000, start=2.3, now=2.3, before=2.3, window=100, layers=layers)
    verdict = judge(stuck)
    assert verdict is not None
    assert (verdict.kind, verdict.layer) == ("vanishing", "a")
    assert judge(Evidence(**{**stuck.__dict__, "now": 1.0, "before": 1.0})) is None  # it has learned all the same
    assert judge(Evidence(**{**stuck.__dict__, "layers": layers[1:]})) is None  # too shallow


def test_what_a_rewind_voids_is_forgotten() -> None:
    watch = Watch()
    events = [
        {"event": "evaluation", "step": 10, "split": "validation", "member": 0, "loss": 1.0},
        {"event": "evaluation", "step": 10, "split": "validation", "member": 1, "loss": 3.0},
        {"event": "stall", "step": 20, "since": 5, "loss": 1.0},
        {"event": "collapse", "step": 20, "since": 15, "why": "back"},
    ]
    watch.take(events, 0)
    assert (watch.losses, watch.stalled, watch.collapse) == ([2.0], (5, 1.0), events[-1])
    watch.take([*events, {"event": "rewound", "to": 10}], 0)
    assert (watch.losses, watch.stalled, watch.collapse) == ([2.0], None, None)
