"""A run folder as a worker would have left it, the same at every making: for pictures of the screen."""

import json
from pathlib import Path

import numpy as np

from descent.run.folder import RunFolder, create
from descent.run.histograms import KINDS, SHARES, HistogramWriter
from descent.run.layout import LAYER_STATISTICS, Layout
from descent.run.metrics import MetricsWriter

STEPS, PER_EPOCH, NOON = 2150, 430, 1_700_000_000.0
PRESET = """
[data]
name = "digits"
[model]
name = "mlp"
widths = [128, 64]
[loss]
name = "cross-entropy"
[optimizer]
name = "sgd"
lr = 0.1
momentum = 0.9
[schedule]
name = "cosine"
[train]
epochs = 5
batch_size = 128
"""
LAYERS = (("hidden1", "linear 784 × 128"), ("hidden2", "linear 128 × 64"), ("head", "linear 64 × 10"))


def record(runs: Path, *, accuracy: bool = True) -> RunFolder:
    """A finished run of three layers, five epochs and one turn of the dial on the rate."""
    run = create(runs, "mnist-mlp-231114-221320-kqzt", PRESET, {})
    facts = {
        "preset": "mnist-mlp", "device": "cpu", "device_name": "CPU", "threads": 1, "statistics_every": 10,
        "steps_per_epoch": PER_EPOCH, "total_steps": STEPS, "samples": {"train": 55000, "validation": 5000},
        "started": NOON, "task": "classification", "parameters": 109386, "parent": None,
    }  # fmt: skip
    (run.path / "run.json").write_text(json.dumps(facts))
    layers = tuple({"name": name, "kind": kind} for name, kind in LAYERS)
    layout = Layout.of(accuracy=accuracy, members=({"member": 0, "seed": 0, "values": {}},), layers=layers)
    layout.save(run.path)
    writer = MetricsWriter(run.path, 0)
    writer.append(_rows(layout))
    writer.close()
    histograms = HistogramWriter(run.path, len(LAYERS), 0)
    for step in range(0, STEPS, 50):
        spread = np.linspace(-1, 1, len(SHARES)) * (1 + step / STEPS)
        histograms.append(step, np.broadcast_to(spread, (len(KINDS), len(LAYERS), len(SHARES))).astype(np.float32))
    histograms.close()
    (run.path / "events.jsonl").write_text("".join(json.dumps(event) + "\n" for event in _events(accuracy=accuracy)))
    return run


def _rows(layout: Layout) -> "np.ndarray[tuple[int, int, int], np.dtype[np.float32]]":
    steps = np.arange(STEPS)
    columns = {
        "loss": 2.3 * np.exp(-steps / 150) + 0.05,
        "accuracy": 1 - 0.9 * np.exp(-steps / 150),
        "lr": 0.05 * (1 + np.cos(np.pi * steps / (STEPS - 1))) * np.where(steps < 702, 1.0, 0.5),
        "time": steps / 800,
        "grad_norm": 1.5 * np.exp(-steps / 300) + 0.1,
        "clipped_norm": 1.5 * np.exp(-steps / 300) + 0.1,
    }
    values = dict(zip(LAYER_STATISTICS, (0.0421, 11.3, 1.1e-3, 0.1, 0.12, 0.0), strict=True))
    ratios = {"hidden1": 1.1e-3, "hidden2": 1.0e-5, "head": 6.0e-3}
    for name, _ in LAYERS:
        for statistic, value in values.items():
            of_layer = ratios[name] if statistic == "update_ratio" else value
            falling = of_layer * np.exp(-steps / 900) if statistic == "grad_norm" else np.full(STEPS, of_layer)
            columns[f"layer.{name}.{statistic}"] = np.where(steps % 10 == 0, falling, np.nan)
    return np.stack([columns[name] for name in layout.columns], axis=1)[:, None, :].astype(np.float32)


def _events(*, accuracy: bool) -> list[dict[str, object]]:
    pace = {"total": STEPS, "per_epoch": PER_EPOCH, "since_step": 0, "since_position": 0.0, "speed": 1.0}
    plan = {"event": "plan", "lr": 0.1, "plateau": 1.0, "pace": pace, "total_steps": STEPS}
    events: list[dict[str, object]] = [
        {"event": "state", "state": "starting"},
        {"event": "checkpoint", "step": 0, "file": "step-0.pt", "best": None},
        {**plan, "step": 0, "lr_scale": 1.0},
        {"event": "state", "state": "running", "step": 0},
    ]
    for epoch in range(1, 6):
        loss = {"loss": 0.3 / epoch} | ({"accuracy": 0.95 + epoch / 200} if accuracy else {})
        if epoch == 2:
            turned = {"edits": ["lr_scale=0.5"]}
            events += [{"event": "command", "step": 702, "command": "set", "arguments": turned}]
            events += [{**plan, "step": 702, "lr_scale": 0.5}]
        events += [{"event": "evaluation", "step": epoch * PER_EPOCH, "split": "validation", "member": 0, **loss}]
    events += [{"event": "checkpoint", "step": STEPS, "file": f"step-{STEPS}.pt", "best": STEPS}]
    events += [{"event": "state", "state": "finished"}]
    return [{"time": NOON + 3 * i, **event} for i, event in enumerate(events)]
