"""A run folder as a worker would have left it after very many steps."""

import json
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from descent.run.folder import RunFolder, create
from descent.run.layout import Layout
from descent.run.metrics import MetricsWriter
from tests.helpers.recorded_run import NOON, PRESET

LAYERS = tuple({"name": f"hidden{number}", "kind": "linear 64 × 64"} for number in range(1, 7))
PER_EPOCH, CHUNK = 500, 100_000


def write(runs: Path, steps: int) -> RunFolder:
    """A finished run of six layers, 42 columns, with an evaluation each epoch; statistics at every 10th step."""
    run = create(runs, "long-231114-221320-kqzt", PRESET, {})
    facts = {
        "preset": "long", "device": "cpu", "device_name": "CPU", "threads": 1, "statistics_every": 10,
        "steps_per_epoch": PER_EPOCH, "total_steps": steps, "samples": {"train": 64000, "validation": 5000},
        "started": NOON, "task": "classification", "parameters": 109386, "parent": None,
    }  # fmt: skip
    (run.path / "run.json").write_text(json.dumps(facts))
    layout = Layout.of(accuracy=True, members=({"member": 0, "seed": 0, "values": {}},), layers=LAYERS)
    layout.save(run.path)
    writer, draw = MetricsWriter(run.path, 0), np.random.default_rng(0)
    for first in range(0, steps, CHUNK):
        writer.append(_rows(layout, np.arange(first, min(first + CHUNK, steps)), draw))
    writer.close()
    (run.path / "events.jsonl").write_text("".join(json.dumps(event) + "\n" for event in _events(steps)))
    return run


def _rows(layout: Layout, steps: NDArray[np.int64], draw: np.random.Generator) -> NDArray[np.float32]:
    """(n, 1, columns) float32, noisy as batches are."""
    rows = draw.gamma(2.0, 0.5, (len(steps), 1, len(layout.columns))).astype(np.float32)
    measured = (steps % 10 == 0)[:, None]
    for column, name in enumerate(layout.columns):
        if name.startswith("layer."):
            level = {"update_ratio": 1e-3, "dead": 0.1}.get(name.rpartition(".")[2], 1.0)
            rows[:, :, column] = np.where(measured, level * rows[:, :, column], np.nan)
    falling = 2.3 / (1 + steps / 2000)
    exact = {"accuracy": 1 - falling / 2.6, "lr": 0.1, "time": steps / 2000}
    rows[:, 0, layout.columns.index("loss")] *= falling
    for name, values in exact.items():
        rows[:, 0, layout.columns.index(name)] = values
    return rows


def _events(steps: int) -> list[dict[str, object]]:
    pace = {"total": steps, "per_epoch": PER_EPOCH, "since_step": 0, "since_position": 0.0, "speed": 1.0}
    events: list[dict[str, object]] = [
        {"event": "state", "state": "starting"},
        {"event": "plan", "step": 0, "lr": 0.1, "lr_scale": 1.0, "plateau": 1.0, "pace": pace, "total_steps": steps},
        {"event": "state", "state": "running", "step": 0},
    ]
    for step in range(PER_EPOCH, steps + 1, PER_EPOCH):
        reached = {"loss": 2.3 / (1 + step / 2000), "accuracy": 0.9}
        events.append({"event": "evaluation", "step": step, "split": "validation", "member": 0, **reached})
    events.append({"event": "state", "state": "finished"})
    return [{"time": NOON + 3 * i, **event} for i, event in enumerate(events)]
