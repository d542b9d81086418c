"""Models that read a sequence (T, F), or an image (C, H, W) as H rows of C · W numbers."""

from collections import OrderedDict

import torch
from torch import Tensor, nn

from descent.common.errors import PresetError
from descent.common.i18n import _
from engine.preset import schema
from engine.training.models.layers import initialise, refuse


class Rows(nn.Module):
    """The rows of images as a sequence: (B, C, H, W) -> (B, H, C · W). Sequences (B, T, F) stay as they are."""

    def forward(self, x: Tensor) -> Tensor:
        return x.transpose(1, 2).flatten(2) if x.ndim == 4 else x


class Last(nn.Module):
    """The state of the last layer after the last row, (B, hidden), from the outputs of nn.RNN and nn.LSTM."""

    def forward(self, output_and_state: tuple[Tensor, object]) -> Tensor:
        return output_and_state[0][:, -1]


class Position(nn.Module):
    """Learned positions, a vector added to the token at each place: (B, T, width) -> (B, T, width)."""

    def __init__(self, length: int, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(length, width) * 0.02)  # as in BERT and ViT

    def forward(self, x: Tensor) -> Tensor:
        return x + self.weight


class Attention(nn.Module):
    """Multi-head self-attention (Vaswani et al., 2017): (B, T, width) -> (B, T, width).

    It is written out because F.scaled_dot_product_attention has no vmap rule on the CPU. The fast path of
    nn.TransformerEncoderLayer in evaluation has no vmap rule at all.
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
    """Attention, then a small MLP on each token. Each follows a norm and has a shortcut."""

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
    """The mean over all tokens: (B, T, width) -> (B, width)."""

    def forward(self, x: Tensor) -> Tensor:
        return x.mean(dim=1)


def rnn(section: schema.RecurrentModel, input_shape: tuple[int, ...], outputs: int) -> nn.Module:
    """Build an Elman network with tanh units."""
    return _recurrent(nn.RNN, section, input_shape, outputs)


def lstm(section: schema.RecurrentModel, input_shape: tuple[int, ...], outputs: int) -> nn.Module:
    """Build a network of long short-term memory (Hochreiter and Schmidhuber, 1997)."""
    return _recurrent(nn.LSTM, section, input_shape, outputs)


def transformer(section: schema.TransformerModel, input_shape: tuple[int, ...], outputs: int) -> nn.Module:
    """Build a Transformer encoder with learned positions. Each block begins with a norm."""
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
    features = _rows_of(section.name, input_shape)[1]
    if section.dropout and section.layers == 1:
        raise PresetError(
            _(
                "model.dropout = {share} drops units between recurrent layers, but model.layers = 1: set "
                "model.layers = 2 or more, or model.dropout = 0.0",
                share=section.dropout,
            )
        )
    recurrent = kind(features, section.hidden, section.layers, batch_first=True, dropout=section.dropout)
    parts = OrderedDict[str, nn.Module](
        rows=Rows(), recurrent=recurrent, last=Last(), head=nn.Linear(section.hidden, outputs)
    )
    return initialise(nn.Sequential(parts), section)


def _rows_of(name: str, input_shape: tuple[int, ...]) -> tuple[int, int]:
    """Return (T, F) of the sequence as which an input is read. Raises PresetError if it can't be read so."""
    match input_shape:
        case (channels, height, width):
            return height, channels * width
        case (length, features):
            return length, features
    raise refuse(name, _("images, read row by row, or sequences (steps, features)"), input_shape)
