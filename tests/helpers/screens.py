"""Recorded runs with fixed times and ids, and a screen as plain text: for tests of what a user sees."""

import json
import os
import struct
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from textual.app import App
from textual.events import Key
from textual.pilot import Pilot

from descent.run.layout import Layout
from engine.preset import find
from engine.preset.loading import load_preset
from tests.helpers.waiting import until
from tui.app import DescentApp
from tui.terminal import Terminal

NOW = 1_790_000_000.0  # 2026-09-21 14:13:20 UTC
SNAPSHOTS = Path(__file__).parents[1] / "tui" / "snapshots"

PRESETS = {
    "line": ("regression", "Fit a straight line", "test MSE 0.0098", "line", "linear", "mse"),
    "digits-mlp": ("images", "Digits with a small MLP", "97.7% in 20 epochs", "digits", "mlp", "cross-entropy"),
    "digits-cnn": ("images", "Digits with a small CNN", "99.0% in 20 epochs", "digits", "cnn", "cross-entropy"),
}
_TEXT = """# {title}, for tests.

title = "{title}"
topic = "{topic}"
reaches = "{reaches}"

[data]
name = "{data}"

[model]
name = "{model}"

[loss]
name = "{loss}"

[optimizer]
name = "sgd"
lr = 0.1

[train]
epochs = 20
batch_size = 32
"""


def write_presets(folder: Path) -> None:
    """Three presets, so that a new one in the product changes no test's screen."""
    folder.mkdir(exist_ok=True)
    for name, (topic, title, reaches, data, model, loss) in PRESETS.items():
        text = _TEXT.format(topic=topic, title=title, reaches=reaches, data=data, model=model, loss=loss)
        (folder / f"{name}.toml").write_text(text)


def record(
    runs: Path,
    run_id: str,
    state: str,
    *,
    preset: str = "digits-mlp",
    steps: int = 800,
    total: int = 800,
    ended: float = 3600.0,
    accuracy: float | None = 0.977,
    reason: str | None = None,
    overrides: Sequence[str] = (),
    host: str = "gpu-box",
) -> Path:
    """The folder of a run that came to `steps` and wrote `state` `ended` seconds ago; a live one trains on `host`."""
    run = runs / run_id
    (run / "checkpoints").mkdir(parents=True)
    (run / "metrics").mkdir()
    (run / "preset.toml").write_text(load_preset(preset, overrides).to_toml())
    started = NOW - ended - 60
    facts = {"preset": preset, "device": "cpu", "device_name": "CPU", "threads": 1, "host": host}
    facts |= {"parameters": 4810, "steps_per_epoch": 40, "total_steps": total, "started": started}
    facts |= {"samples": {"train": 1258}}
    (run / "run.json").write_text(json.dumps(facts))
    layers = ({"name": "head", "kind": "linear 64 × 10"},)
    layout = Layout.of(accuracy=True, members=({"member": 0, "seed": 0, "values": {}},), layers=layers)
    layout.save(run)
    width = len(layout.columns)
    values = ([2.3 / (1 + step / 40), 0.5, 0.1, (step + 1) / 1000, 1.0, 1.0] for step in range(steps))
    rows = b"".join(struct.pack(f"<{width}f", *row, *[float("nan")] * (width - len(row))) for row in values)
    (run / "metrics" / "0-0.f32").write_bytes(rows)
    events: list[dict[str, Any]] = [{"time": started, "event": "state", "state": "running", "step": 0}]
    if accuracy is not None:
        for split in ("validation", "test") if state == "finished" else ("validation",):
            evaluated = {"time": started + 1, "event": "evaluation", "step": steps, "split": split, "member": 0}
            events.append({**evaluated, "loss": 0.0812, "accuracy": accuracy})
    events.append({"time": NOW - ended, "event": "state", "state": state, "step": steps})
    events[-1] |= {"reason": reason} if reason else {}
    (run / "events.jsonl").write_text("".join(json.dumps(event) + "\n" for event in events))
    os.utime(run / "events.jsonl", (NOW - ended, NOW - ended))
    os.utime(run / "preset.toml", (started, started))
    return run


def record_some(runs: Path) -> None:
    """A live run, a paused one, and four that ended each in its own way."""
    record(runs, "digits-mlp-260921-131000-kqzt", "running", steps=452, ended=1.0)
    record(runs, "digits-cnn-260921-130000-aefg", "paused", preset="digits-cnn", steps=100, ended=600.0)
    record(runs, "baseline", "finished", ended=7200.0, overrides=["optimizer.lr=0.01"])
    record(runs, "digits-mlp-260920-090000-bbcd", "failed", steps=12, ended=90_000.0, accuracy=None,
           reason="the loss became NaN or infinite at step 12")  # fmt: skip
    record(runs, "line-260919-090000-wxyz", "stopped", preset="line", steps=300, ended=180_000.0, accuracy=None)
    record(runs, "digits-cnn-260918-090000-mnop", "lost", preset="digits-cnn", steps=700, ended=260_000.0)


def console(**options: Any) -> DescentApp:
    """The app as a terminal with all signs would open it, at a fixed time."""
    app = DescentApp(terminal=options.pop("terminal", Terminal()), theme="dark", **options)
    app.clock = lambda: NOW
    return app


def burst(app: App[Any], *keys: str) -> None:
    """Press keys as a line that stalls delivers them: all at once, none waiting for what the one before it did."""
    for key in keys:
        character = key if len(key) == 1 else None
        app.post_message(Key("space" if key == " " else key, character))


def text(app: App[Any]) -> str:
    """What is on the screen, without what is blank at the ends of its lines."""
    strips = app.screen._compositor.render_strips()  # as Textual's own screenshots do
    return "\n".join(strip.text.rstrip() for strip in strips)


async def seen(pilot: Pilot[Any], what: str) -> str:
    """Wait until `what` is on the screen; the screen's text then."""
    return str(await until(pilot, lambda: text(pilot.app) if what in text(pilot.app) else "", what))


async def looks_like(pilot: Pilot[Any], name: str) -> None:
    """Wait until the screen is as in the snapshot of that name; with UPDATE_SNAPSHOTS=1 set, write what settles."""
    file = SNAPSHOTS / f"{name}.txt"
    if os.environ.get("UPDATE_SNAPSHOTS"):
        SNAPSHOTS.mkdir(exist_ok=True)
        await pilot.pause(2)
        file.write_text(text(pilot.app) + "\n")
    wanted = file.read_text()
    await until(pilot, lambda: text(pilot.app) + "\n" == wanted, f"the screen of {file.name}:\n{wanted}\nand not:")


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The current folder of a user with three presets; its runs/ is empty. Local time is UTC."""
    write_presets(tmp_path / "shipped")
    monkeypatch.setattr(find, "shipped_presets", lambda: tmp_path / "shipped")
    work = tmp_path / "work"
    (work / "runs").mkdir(parents=True)
    monkeypatch.chdir(work)
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    yield work
    monkeypatch.undo()
    time.tzset()
