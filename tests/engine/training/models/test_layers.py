"""If these fail, the table of layers says something wrong or unreadable about a layer."""

import pytest
import torch
from torch import nn

from engine.training.models import describe, layers
from engine.training.models.sequence import Position
from engine.training.models.transfer import FrozenBatchNorm2d


@pytest.mark.parametrize(
    ("module", "text"),
    [
        (nn.Linear(784, 128), "linear 784 × 128"),
        (nn.Conv2d(1, 32, 3), "conv 1 → 32, 3 × 3"),
        (nn.BatchNorm1d(64), "batch norm 64"),
        (nn.BatchNorm2d(64), "batch norm 64"),
        (FrozenBatchNorm2d(64), "batch norm 64"),
        (nn.LayerNorm(32), "layer norm 32"),
        (nn.GroupNorm(2, 8), "group norm 8"),
        (nn.LSTM(8, 64), "lstm 8 → 64"),
        (nn.RNN(8, 64, 2), "rnn 8 → 64, 2 layers"),
        (nn.Embedding(100, 16), "embedding 100 × 16"),
        (nn.MultiheadAttention(32, 4), "attention 32, 4 heads"),
        (Position(28, 32), "position 28 × 32"),
        (nn.Bilinear(2, 3, 4), "bilinear, 28 parameters"),
    ],
)
def test_layers_in_words(module: nn.Module, text: str) -> None:
    """The layer could not be recognised."""
    assert describe(module) == text


def test_only_modules_with_parameters_of_their_own_are_layers() -> None:
    """Containers would be counted twice, and a model with a bare parameter would lose it."""

    class Mine(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.scale = nn.Parameter(torch.ones(3))
            self.body = nn.Sequential(nn.Linear(3, 3), nn.ReLU())

    assert [name for name, _ in layers(Mine())] == ["model", "body.0"]
    assert describe(Mine()) == "mine 3"
