"""Record what verdicts go by of real runs, a kind each: python -m tests.tools.verdict_runs

Writes tests/helpers/verdict_runs.json: of each run its losses, the gradient norms of its layers, and its events.
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from descent.run.folder import RunFolder
from descent.run.metrics import Metrics

FILE = Path(__file__).parents[1] / "helpers" / "verdict_runs.json"
DEEP = ["model.widths=[32,32,32,32,32,32,32,32]", 'model.activation="sigmoid"']
RUNS = {
    "learning": ("digits-mlp", ["train.epochs=5"]),
    "overfitting": ("digits-mlp", ["train.epochs=40"]),
    "plateau": ("digits-mlp", ["train.epochs=40", "optimizer.lr=1e-8"]),
    "collapsed": ("digits-mlp", ["train.epochs=5", "optimizer.lr=100"]),
    "vanishing": ("digits-mlp", ["train.epochs=8", "optimizer.lr=0.01", *DEEP]),
    "broken": ("linear-regression", ["train.epochs=60", "optimizer.lr=1e3", 'train.on_nan="stop"']),
}
EVENTS = ("evaluation", "anomaly", "collapse", "recovered", "stall", "spike")


def recorded(run: RunFolder) -> dict[str, Any]:
    """Return the losses and the norms, four digits each, and the events."""
    stored = Metrics(run.path)
    layout = stored.layout
    assert layout is not None
    rows = stored.rows()[:, 0]
    columns = ["loss", *(f"layer.{layer['name']}.grad_norm" for layer in layout.layers)]
    values = {name: _short(rows[:, layout.columns.index(name)]) for name in columns}
    facts = run.facts()
    events = [event for event in run.events() if event["event"] in EVENTS]
    kept = [{key: value for key, value in event.items() if key != "time"} for event in events]
    names = [layer["name"] for layer in layout.layers]
    return {"layers": names, "per_epoch": facts.get("steps_per_epoch"), "columns": values, "events": kept}


def _short(values: "np.ndarray[Any, Any]") -> list[float | None]:
    return [float(f"{value:.4g}") if np.isfinite(value) else None for value in values.tolist()]


def main() -> None:
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        for kind, (preset, changes) in RUNS.items():
            sets = [word for change in changes for word in ("--set", change)]
            command = [sys.executable, "-m", "descent", "run", preset, "--runs-dir", folder, "--id", kind, *sets]
            subprocess.run(command, check=kind != "broken")
            found[kind] = recorded(RunFolder(Path(folder) / kind))
    FILE.write_text(json.dumps(found, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    main()
