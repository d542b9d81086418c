"""Someone whose run has ended would be told to do what comes to the same end again."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from descent.run.folder import RunFolder
from descent.run.layout import Layout
from descent.run.metrics import MetricsWriter
from descent.run.remove import ended, free_id

FAILED = {"event": "state", "state": "failed", "reason": "no space is left"}
ANOMALY = {"event": "anomaly", "step": 3, "what": "loss"}
RUNNING = {"event": "state", "state": "running"}


def run_with(tmp_path: Path, *events: dict[str, Any], steps: int = 4) -> RunFolder:
    folder = RunFolder(tmp_path / "mine")
    folder.path.mkdir()
    layout = Layout.of(accuracy=False, members=({"member": 0, "seed": 0, "values": {}},), layers=())
    layout.save(folder.path)
    (folder.path / "run.json").write_text(json.dumps({"steps_per_epoch": 2, "started": 1.0}))
    writer = MetricsWriter(folder.path, 0)
    writer.append(np.zeros((steps, 1, len(layout.columns)), np.float32))
    writer.close()
    (folder.path / "events.jsonl").write_text("".join(json.dumps({"time": 0, **e}) + "\n" for e in events))
    return folder


@pytest.mark.parametrize(
    ("events", "steps", "said"),
    [
        ([RUNNING, {"event": "state", "state": "stopped"}], 4, "mine is stopped; continue with: descent resume mine"),
        (
            [RUNNING, {"event": "state", "state": "finished"}],
            4,
            "a new run can begin at a checkpoint of it: descent fork mine --at STEP",
        ),
        ([FAILED], 0, "mine has failed: no space is left; fix this and start a new run"),
        ([RUNNING, FAILED], 4, "no space is left; fix this, then continue with: descent resume mine"),
        ([RUNNING, ANOMALY, FAILED], 4, "descent fork mine --set optimizer.lr="),
        ([RUNNING, ANOMALY, {"event": "state", "state": "paused"}, RUNNING, FAILED], 4, "descent resume mine"),
    ],
    ids=["stopped", "finished", "at the start", "on the way", "not finite", "not finite, and gone on with"],
)
def test_what_helps(events: list[dict[str, Any]], steps: int, said: str, tmp_path: Path) -> None:
    assert said in ended(run_with(tmp_path, *events, steps=steps))


@pytest.mark.parametrize(
    ("events", "steps", "is_freed"),
    [
        ([FAILED], 0, True),
        ([RUNNING, FAILED], 4, False),
        ([RUNNING], 0, True),
        ([RUNNING], 4, False),
        ([RUNNING, {"event": "state", "state": "stopped"}], 0, False),
    ],
    ids=["failed", "failed later", "killed", "killed later", "stopped"],
)
def test_a_start_that_failed_or_was_killed_does_not_keep_its_id(
    events: list[dict[str, Any]], steps: int, is_freed: bool, tmp_path: Path
) -> None:
    """The next start by the same command would be refused, until somebody removes a run that never was."""
    folder = run_with(tmp_path, *events, steps=steps)
    folder.preset.write_text("")
    free_id(tmp_path, "another")
    free_id(tmp_path, None)
    free_id(tmp_path, folder.id)
    assert folder.path.exists() != is_freed
