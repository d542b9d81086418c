"""If these fail, a model of torchvision can't be used, or is not what its file of weights says."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from descent.common.errors import PresetError
from engine.preset import schema
from engine.training.models import build, layers

pytestmark = pytest.mark.slow

torchvision = pytest.importorskip("torchvision")


def make(architecture: str, shape: tuple[int, ...], outputs: int = 5, **keys: Any) -> nn.Module:
    keys = {"name": "torchvision", "architecture": architecture, **keys}
    section = schema.TorchvisionModel.model_validate(keys)
    return build(section, input_shape=shape, outputs=outputs, code=None)


@pytest.mark.parametrize(
    ("architecture", "shape"),
    [
        ("resnet18", (3, 32, 32)),
        ("resnet18", (1, 28, 28)),
        ("mobilenet_v3_small", (1, 32, 32)),
        ("squeezenet1_1", (3, 32, 32)),
        ("googlenet", (3, 32, 32)),
        ("swin_t", (4, 32, 32)),
    ],
)
def test_any_number_of_channels_and_classes(architecture: str, shape: tuple[int, ...]) -> None:
    """Grey images, or other than 1,000 classes, would be refused by a model made for ImageNet."""
    outputs = make(architecture, shape).train()(torch.rand(2, *shape))
    assert outputs.shape == (2, 5)
    outputs.sum().backward()


@pytest.mark.parametrize(
    ("architecture", "shape", "message"),
    [
        ("resnet-50", (3, 32, 32), r'"resnet-50" is not in torchvision\.models; did you mean resnet50'),
        ("ResNet18", (3, 32, 32), "did you mean resnet18"),
        ("zzz", (3, 32, 32), "for example alexnet"),
        ("resnet18", (13,), "takes images; the data are tables of 13 columns"),
        (
            "vit_b_16",
            (3, 32, 32),
            '"vit_b_16" does not take images of 32 × 32 .*Expected 224.*data.image_size',
        ),
        ("alexnet", (3, 28, 28), '"alexnet" does not take images of 28 × 28'),
    ],
)
def test_what_can_not_be_is_said_before_training(architecture: str, shape: tuple[int, ...], message: str) -> None:
    """The user would see an assertion of torchvision's at the first step."""
    with pytest.raises(PresetError, match=message):
        make(architecture, shape)


def test_weights_from_a_file(tmp_path: Path) -> None:
    """Fine-tuning from a downloaded file would start from scratch."""
    torch.manual_seed(1)
    old = torchvision.models.resnet18(weights=None)
    torch.save(old.state_dict(), tmp_path / "resnet18.pth")
    model = make("resnet18", (3, 32, 32), weights=str(tmp_path / "resnet18.pth"))
    assert torch.equal(model.get_parameter("layer4.1.conv2.weight"), old.layer4[1].conv2.weight)
    grey = make("resnet18", (1, 32, 32), weights=str(tmp_path / "resnet18.pth"))
    torch.testing.assert_close(grey.get_parameter("conv1.weight"), old.conv1.weight.sum(dim=1, keepdim=True))
    assert layers(grey)[-1][0] == "fc"


def test_old_names_of_densenets_are_read(tmp_path: Path) -> None:
    """The file that PyTorch itself offers would be refused."""
    old = torchvision.models.densenet121(weights=None).state_dict()
    renamed = {key.replace("norm1.", "norm.1.").replace("conv2.", "conv.2."): t for key, t in old.items()}
    assert renamed.keys() != old.keys()
    torch.save(renamed, tmp_path / "densenet.pth")
    model = make("densenet121", (3, 32, 32), weights=str(tmp_path / "densenet.pth"))
    name = "features.denseblock1.denselayer1.conv2.weight"
    assert torch.equal(model.get_parameter(name), old[name])


class Payload:
    """Opened by an ordinary unpickler, it would make a file."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def __reduce__(self) -> Any:
        return (Path.touch, (self.file,))


def test_a_file_that_is_not_weights_is_refused_and_not_run(tmp_path: Path) -> None:
    """A file from the net could do anything to the machine."""
    file = tmp_path / "weights.pth"
    with pytest.raises(PresetError, match=r'model\.weights = ".*weights\.pth": no such file'):
        make("resnet18", (3, 32, 32), weights=str(file))
    torch.save({"state": Payload(tmp_path / "ran")}, file)
    with pytest.raises(PresetError, match="holds more than weights"):
        make("resnet18", (3, 32, 32), weights=str(file))
    assert not (tmp_path / "ran").exists()
    file.write_bytes(b"no weights at all")
    with pytest.raises(PresetError, match=r"weights\.pth"):
        make("resnet18", (3, 32, 32), weights=str(file))
    torch.save([1, 2], file)
    with pytest.raises(PresetError, match="holds no state dict"):
        make("resnet18", (3, 32, 32), weights=str(file))
    torch.save(torchvision.models.resnet34(weights=None).state_dict(), file)
    assert make("resnet34", (3, 32, 32), weights=str(file))
    torch.save(torchvision.models.mobilenet_v2(weights=None).state_dict(), file)
    with pytest.raises(PresetError, match="do not belong to resnet18"):
        make("resnet18", (3, 32, 32), weights=str(file))
    torch.save(torchvision.models.resnet18(weights=None).state_dict(), file)
    with pytest.raises(PresetError, match=r"do not belong to resnet34: .* for example layer1\.2\.conv1"):
        make("resnet34", (3, 32, 32), weights=str(file))
