"""Convolutional networks for small images, such as ResNet-18 (He et al., 2015, section 4.2)."""

from collections import OrderedDict

from torch import Tensor, nn

from descent.common.i18n import _, ngettext
from engine.preset import schema
from engine.training.models.layers import activation, initialise, refuse


def lenet5(section: schema.LenetModel, input_shape: tuple[int, ...], outputs: int) -> nn.Module:
    """Build LeNet-5 with plain average pooling and full connections: 61,706 parameters for digits of 28 × 28."""
    if input_shape not in [(c, side, side) for c in (1, 3) for side in (28, 32)]:
        raise refuse("lenet5", _("images of 28 × 28 or 32 × 32 with 1 or 3 channels"), input_shape)
    channels, side = input_shape[:2]

    def act() -> nn.Module:
        return activation(section.activation)

    parts = OrderedDict[str, nn.Module](
        # LeCun's digits were 28 × 28, padded to 32 × 32.
        conv1=nn.Conv2d(channels, 6, 5, padding=(32 - side) // 2),
        act1=act(),
        pool1=nn.AvgPool2d(2),
        conv2=nn.Conv2d(6, 16, 5),
        act2=act(),
        pool2=nn.AvgPool2d(2),
        flatten=nn.Flatten(),
        hidden1=nn.Linear(16 * 5 * 5, 120),
        act3=act(),
        hidden2=nn.Linear(120, 84),
        act4=act(),
        head=nn.Linear(84, outputs),
    )
    return initialise(nn.Sequential(parts), section, section.activation)


def cnn(section: schema.CnnModel, input_shape: tuple[int, ...], outputs: int) -> nn.Module:
    """Build a CNN: for each number of channels a 3 × 3 convolution (BatchNorm), ReLU and 2 × 2 max-pooling.

    Then come Linear, ReLU (Dropout) and Linear.
    """
    pools = len(section.channels)
    if len(input_shape) != 3 or min(input_shape[1:]) < 2**pools:
        takes = ngettext(
            "images of at least {side} × {side} ({count} pooling, one for each of model.channels)",
            "images of at least {side} × {side} ({count} poolings, one for each of model.channels)",
            pools,
            side=2**pools,
        )
        raise refuse("cnn", takes, input_shape)
    before, height, width = input_shape
    parts = OrderedDict[str, nn.Module]()
    for i, channels in enumerate(section.channels, start=1):
        parts[f"conv{i}"] = nn.Conv2d(before, channels, 3, padding=1, bias=not section.batch_norm)
        if section.batch_norm:
            parts[f"norm{i}"] = nn.BatchNorm2d(channels)
        parts[f"act{i}"] = nn.ReLU()
        parts[f"pool{i}"] = nn.MaxPool2d(2)
        before, height, width = channels, height // 2, width // 2
    parts["flatten"] = nn.Flatten()
    parts["hidden"] = nn.Linear(before * height * width, section.hidden)
    parts["act"] = nn.ReLU()
    if section.dropout:
        parts["dropout"] = nn.Dropout(section.dropout)
    parts["head"] = nn.Linear(section.hidden, outputs)
    return initialise(nn.Sequential(parts), section)


class Block(nn.Module):
    """Two 3 × 3 convolutions with a shortcut: (B, before, H, W) -> (B, channels, H / stride, W / stride)."""

    def __init__(self, before: int, channels: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(before, channels, 3, stride, padding=1, bias=False)
        self.norm1 = nn.BatchNorm2d(channels)
        self.act1 = nn.ReLU()
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(channels)
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or before != channels:
            self.shortcut = nn.Sequential(
                OrderedDict[str, nn.Module](
                    conv=nn.Conv2d(before, channels, 1, stride, bias=False), norm=nn.BatchNorm2d(channels)
                )
            )
        self.act2 = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        inside = self.norm2(self.conv2(self.act1(self.norm1(self.conv1(x)))))
        out: Tensor = self.act2(inside + self.shortcut(x))
        return out


def resnet18(section: schema.ResnetModel, input_shape: tuple[int, ...], outputs: int) -> nn.Module:
    """Build ResNet-18: 11,173,962 parameters for 3 channels, 10 classes and a width of 64."""
    if len(input_shape) != 3:
        raise refuse("resnet18", _("images"), input_shape)
    width = section.width
    parts = OrderedDict[str, nn.Module](
        conv=nn.Conv2d(input_shape[0], width, 3, padding=1, bias=False),
        norm=nn.BatchNorm2d(width),
        act=nn.ReLU(),
    )
    before = width
    for stage in range(4):
        channels = width * 2**stage
        parts[f"stage{stage + 1}"] = nn.Sequential(
            Block(before, channels, stride=1 if stage == 0 else 2), Block(channels, channels, stride=1)
        )
        before = channels
    parts["pool"] = nn.AdaptiveAvgPool2d(1)
    parts["flatten"] = nn.Flatten()
    parts["head"] = nn.Linear(before, outputs)
    return initialise(nn.Sequential(parts), section)
