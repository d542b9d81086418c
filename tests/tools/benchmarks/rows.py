"""The way of the numbers: from a step to the file, as the worker has it."""

import statistics
import time
from pathlib import Path

import torch

from descent.loop.recorder import Recorder
from descent.run.layout import LAYER_STATISTICS, Layout
from descent.run.metrics import MetricsWriter
from tests.tools.benchmarks.harness import Figure, Result

ROUNDS, ROWS = 9, 50_000
EVERY = 10  # steps between statistics of the layers
LAYERS = tuple({"name": f"hidden{number}", "kind": "linear"} for number in range(1, 4))  # as mnist-mlp has
STEP = 1e-3  # seconds: of a step that the share is told of


def metrics(folder: Path) -> Result:
    """Rows as quickly as they can be written: the ring, the copies to the host, the file, and its way to the disk."""
    layout = Layout.of(accuracy=True, members=({"member": 0, "seed": 0, "values": {}},), layers=LAYERS)
    layout.save(folder)
    times, looked = {"record": [], "flush": []}, 0
    for number in range(ROUNDS + 1):
        run = folder / f"run-{number}"
        run.mkdir()
        layout.save(run)
        recorded, flushed, looked = _write(run, layout)
        if number:
            times["record"].append(recorded)
            times["flush"].append(flushed)
    assert looked == ROWS, "each row is looked at once"
    stored = sum(file.stat().st_size for file in (folder / f"run-{ROUNDS}" / "metrics").iterdir())
    seconds = statistics.median(times["record"]) / ROWS
    figures = [
        Figure("rows a second, sustained", f"{1 / seconds:,.0f}"),
        Figure("a row, of a step of 1 ms", f"{100 * seconds / STEP:.1f} % ({1e6 * seconds:.1f} µs)"),
        Figure("the last rows' way to the disk", f"{1000 * statistics.median(times['flush']):.1f} ms"),
        Figure(f"on the disk, {len(layout.columns)} columns", f"{stored / ROWS:.0f} bytes a row"),
    ]
    return Result(figures, times, {"rows": ROWS, "columns": len(layout.columns)})


def _write(run: Path, layout: Layout) -> tuple[float, float, int]:
    """Seconds for ROWS rows, seconds until the last ones are on the disk, and how many rows were looked at."""
    writer, looked = MetricsWriter(run, 0), []
    recorder = Recorder(writer, layout, torch.device("cpu"), 0, lambda first, rows, seconds: looked.append(len(rows)))
    value, accuracy = torch.tensor(0.5), torch.tensor(0.9)
    statistics_row = torch.rand(len(LAYERS), len(LAYER_STATISTICS))
    begin = time.perf_counter()
    for step in range(ROWS):
        if step % EVERY == 0:
            recorder.norms(value, value)
            recorder.layers(statistics_row)
        recorder.record(value, accuracy, 0.1, time.perf_counter() - begin)
    recorder.drain()
    recorded = time.perf_counter()
    recorder.flush()
    flushed = time.perf_counter()
    writer.close()
    return recorded - begin, flushed - recorded, sum(looked)
