"""A GPU that fails in the middle of a run must leave the way back to its last checkpoint, and blame nobody else."""

from pathlib import Path

import pytest
import torch

from descent.run.folder import RunFolder
from engine.training import loop
from tests.engine.training.conftest import Train

SETTINGS = ("train.steps=9", "train.checkpoint_every.steps=4", "data.size=200", "train.evaluate_every=1000")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("CUDA error: an illegal memory access was encountered", r"The last whole checkpoint is of step 4: .*resume"),
        ("CUDA error: device-side assert triggered", "an index is out of range, such as a class number"),
    ],
)
def test_it_says_where_the_run_can_go_on(
    train: Train, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, told: str
) -> None:
    step, count = loop.train_step, 0

    def fails(*arguments: object, **more: object) -> object:
        nonlocal count
        count += 1
        if count == 7:
            raise torch.AcceleratorError(text)
        return step(*arguments, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(loop, "train_step", fails)
    with pytest.raises(AssertionError, match=told):
        train("digits-mlp", *SETTINGS)
    (folder,) = (tmp_path / "runs").iterdir()
    state = RunFolder(folder).last("state")
    assert state is not None
    assert state["state"] == "failed"
    assert text in state["reason"]
    assert "bug" not in state["reason"]
