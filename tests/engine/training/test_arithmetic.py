"""What a preset asks of the arithmetic must hold for that run, and not for the next one in the same process."""

import os

import pytest
import torch

from engine.preset.loading import load_preset
from engine.training import arithmetic
from engine.training.train_state import TrainState
from tests.engine.training.conftest import Train

CPU = torch.device("cpu")


def test_repeatable_algorithms_are_asked_for_and_given_up_again(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("CUBLAS_WORKSPACE_CONFIG", "PYTORCH_ALLOC_CONF", "PYTORCH_CUDA_ALLOC_CONF"):
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    train = load_preset("digits-mlp", ["train.deterministic=true"]).train
    arithmetic.prepare(train)
    arithmetic.use(train, CPU)
    assert torch.are_deterministic_algorithms_enabled()
    assert os.environ["CUBLAS_WORKSPACE_CONFIG"] == ":4096:8"
    assert os.environ["PYTORCH_ALLOC_CONF"] == "expandable_segments:True"
    arithmetic.use(load_preset("digits-mlp").train, CPU)
    assert not torch.are_deterministic_algorithms_enabled()


def test_an_operation_that_is_not_repeatable_is_named(train: Train, monkeypatch: pytest.MonkeyPatch) -> None:
    """It would be called a bug of Descent."""

    def fails(self: TrainState, *arguments: object) -> None:
        raise RuntimeError("reflection_pad2d_backward_cuda does not have a deterministic implementation, but you set")

    monkeypatch.setattr(TrainState, "loss", fails)
    with pytest.raises(AssertionError, match="true: reflection_pad2d_backward_cuda has no repeatable form"):
        train("linear-regression", "train.threads=1")
