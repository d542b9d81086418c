"""ResNet-18 for small images (He et al., 2015, section 4.2)."""

from collections import OrderedDict

from torch import Tensor, nn

from engine import schema
from engine.training.models.initialisation import initialise
from engine.training.models.layers import refuse


class Block(nn.Module):
    """Two 3 × 3 convolutions, and a shortcut past them.

    (B, before, H, W) -> (B, channels, H / stride, W / stride)
    """

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
    """11,173,962 parameters for 3 channels, 10 classes and a width of 64."""
    if len(input_shape) != 3:
        raise refuse("resnet18", "images", input_shape)
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
