"""How a model's weights lie in memory: it decides how fast convolutions are, and nothing else."""

import copy

import pytest
import torch
from torch import nn

from descent.loop import checkpoint
from engine.preset.loading import load_preset
from engine.training import models
from tests.engine.training.conftest import Train

CPU = torch.device("cpu")


def _conv_weights(model: nn.Module) -> list[torch.Tensor]:
    return [module.weight for module in model.modules() if isinstance(module, nn.Conv2d)]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["digits-cnn", "mnist-lenet", "cifar-resnet18"])
def test_channels_last_and_the_same_numbers(name: str) -> None:
    """A CNN would take a quarter longer for each step, and twice as long for each evaluation."""
    torch.manual_seed(0)
    section, shape = load_preset(name, []).model, (3, 32, 32) if name.startswith("cifar") else (1, 28, 28)
    model = models.build(section, input_shape=shape, outputs=10, code=None).eval()
    images, expected = torch.rand(4, *shape), copy.deepcopy(model)
    laid = models.lay_out(model, section, CPU)
    assert all(weight.is_contiguous(memory_format=torch.channels_last) for weight in _conv_weights(laid))
    torch.testing.assert_close(laid(images), expected(images))


def test_a_run_trains_the_model_laid_out(train: Train) -> None:
    """The layout would be of use to nobody."""
    state, _ = checkpoint.latest(train("digits-cnn", "train.steps=2"))
    assert state is not None
    kernels = [weight for weight in state["model"].values() if weight.ndim == 4]
    assert kernels
    assert all(weight.is_contiguous(memory_format=torch.channels_last) for weight in kernels)
