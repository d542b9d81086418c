"""Convolutional nets for small images."""

from collections import OrderedDict

from torch import nn

from engine import schema
from engine.training.models.activations import activation
from engine.training.models.initialisation import initialise
from engine.training.models.layers import refuse


def lenet5(section: schema.LenetModel, input_shape: tuple[int, ...], outputs: int) -> nn.Module:
    """LeNet-5 with plain average pooling and full connections: 61,706 parameters for digits of 28 × 28."""
    if input_shape not in [(c, side, side) for c in (1, 3) for side in (28, 32)]:
        raise refuse("lenet5", "images of 28 × 28 or 32 × 32 with 1 or 3 channels", input_shape)
    channels, side, _ = input_shape

    def act() -> nn.Module:
        return activation(section.activation)

    parts = OrderedDict[str, nn.Module](
        # LeCun's digits were 28 × 28 in a frame of 32 × 32.
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
    """For each number of channels a 3 × 3 convolution (BatchNorm), ReLU and 2 × 2 max-pooling; then Linear,
    ReLU (Dropout), Linear."""
    pools = len(section.channels)
    if len(input_shape) != 3 or min(input_shape[1:]) < 2**pools:
        pooled = f"{pools} pooling{'s' if pools > 1 else ''}, one for each of model.channels"
        raise refuse("cnn", f"images of at least {2**pools} × {2**pools} ({pooled})", input_shape)
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
