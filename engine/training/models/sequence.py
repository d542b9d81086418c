"""Models that read a sequence (T, F), or an image (C, H, W) as H rows of C · W numbers."""

from collections import OrderedDict

import torch
from torch import Tensor, nn

from descent.common.errors import PresetError
from engine.preset import schema
from engine.training.models.layers import initialise, refuse


class Rows(nn.Module):
    """(B, C, H, W) -> (B, H, C · W); sequences (B, T, F) stay as they are."""

    def forward(self, x: Tensor) -> Tensor:
        return x.transpose(1, 2).flatten(2) if x.ndim == 4 else x


class Last(nn.Module):
    """The state of the last layer after the last row, from what nn.RNN and nn.LSTM return. -> (B, hidden)"""

    def forward(self, output_and_state: tuple[Tensor, object]) -> Tensor:
        return output_and_state[0][:, -1]


class Position(nn.Module):
    """Adds to each token a vector that is learned for its place. (B, T, width) -> (B, T, width)"""

    def __init__(self, length: int, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(length, width) * 0.02)  # as BERT and ViT begin

    def forward(self, x: Tensor) -> Tensor:
        return x + self.weight


class Attention(nn.Module):
    """Multi-head self-attention (Vaswani et al., 2017). (B, T, width) -> (B, T, width)

    Written out, since F.scaled_dot_product_attention has no vmap rule on the CPU, and the fast path that
    nn.TransformerEncoderLayer takes in evaluation has none at all.
    """

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.project = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.qkv(x).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)  # each (B, heads, T, -1)
        attention = (q @ k.transpose(-1, -2) / q.shape[-1] ** 0.5).softmax(dim=-1)  # (B, heads, T, T)
        out: Tensor = self.project((attention @ v).transpose(1, 2).flatten(2))
        return out


class Block(nn.Module):
    """Attention, then a small MLP on each token; both after a norm and past a shortcut."""

    def __init__(self, section: schema.TransformerModel) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(section.width)
        self.attention = Attention(section.width, section.heads)
        self.dropout1 = nn.Dropout(section.dropout)
        self.norm2 = nn.LayerNorm(section.width)
        self.up = nn.Linear(section.width, section.feedforward)
        self.act = nn.GELU()
        self.down = nn.Linear(section.feedforward, section.width)
        self.dropout2 = nn.Dropout(section.dropout)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.dropout1(self.attention(self.norm1(x)))
        out: Tensor = x + self.dropout2(self.down(self.act(self.up(self.norm2(x)))))
        return out


class Mean(nn.Module):
    """(B, T, width) -> (B, width)"""

    def forward(self, x: Tensor) -> Tensor:
        return x.mean(dim=1)


def rnn(section: schema.RecurrentModel, input_shape: tuple[int, ...], outputs: int) -> nn.Module:
    """An Elman net with tanh units."""
    return _recurrent(nn.RNN, section, input_shape, outputs)


def lstm(section: schema.RecurrentModel, input_shape: tuple[int, ...], outputs: int) -> nn.Module:
    """Long short-term memory (Hochreiter and Schmidhuber, 1997)."""
    return _recurrent(nn.LSTM, section, input_shape, outputs)


def transformer(section: schema.TransformerModel, input_shape: tuple[int, ...], outputs: int) -> nn.Module:
    """A Transformer encoder with the norms before the blocks, and learned positions."""
    length, features = _rows_of("transformer", input_shape)
    parts = OrderedDict[str, nn.Module](
        rows=Rows(), embed=nn.Linear(features, section.width), position=Position(length, section.width)
    )
    for i in range(1, section.layers + 1):
        parts[f"block{i}"] = Block(section)
    parts["norm"] = nn.LayerNorm(section.width)
    parts["mean"] = Mean()
    parts["head"] = nn.Linear(section.width, outputs)
    return initialise(nn.Sequential(parts), section)


def _recurrent(
    kind: type[nn.RNN] | type[nn.LSTM],
    section: schema.RecurrentModel,
    input_shape: tuple[int, ...],
    outputs: int,
) -> nn.Module:
    _, features = _rows_of(section.name, input_shape)
    if section.dropout and section.layers == 1:
        raise PresetError(
            f"model.dropout = {section.dropout} drops between recurrent layers, and model.layers = 1 has "
            "none: set model.layers = 2 or more, or model.dropout = 0.0"
        )
    recurrent = kind(features, section.hidden, section.layers, batch_first=True, dropout=section.dropout)
    parts = OrderedDict[str, nn.Module](
        rows=Rows(), recurrent=recurrent, last=Last(), head=nn.Linear(section.hidden, outputs)
    )
    return initialise(nn.Sequential(parts), section)


def _rows_of(name: str, input_shape: tuple[int, ...]) -> tuple[int, int]:
    """(T, F) of the sequence as which an input is read."""
    match input_shape:
        case (channels, height, width):
            return height, channels * width
        case (length, features):
            return length, features
    raise refuse(name, "images, read row by row, or sequences (steps, features)", input_shape)
