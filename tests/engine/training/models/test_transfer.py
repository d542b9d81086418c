"""If these fail, fine-tuning starts from other weights than it says, or trains what was to stay."""

import copy
import pickle
from typing import Any

import pytest
import torch
from pydantic import TypeAdapter
from torch import nn

from descent.common.errors import DescentError, PresetError
from engine.preset import schema
from engine.training.models import build
from engine.training.models.transfer import freeze, start_from

CNN = {"name": "cnn", "channels": (4, 8), "hidden": 16}


def make(shape: tuple[int, ...], outputs: int, /, **keys: Any) -> nn.Module:
    parsed: schema.AnyModel = TypeAdapter(schema.AnyModel).validate_python(keys)
    return build(parsed, input_shape=shape, outputs=outputs, code=None)


def trainable(model: nn.Module) -> set[str]:
    return {name.rpartition(".")[0] for name, p in model.named_parameters() if p.requires_grad}


def test_the_same_model_is_loaded_whole() -> None:
    """A run could not go on from another run's end."""
    old, new = make((1, 8, 8), 10, **CNN, batch_norm=True), make((1, 8, 8), 10, **CNN, batch_norm=True)
    old(torch.rand(4, 1, 8, 8))  # moves the running statistics, which belong to the model
    report = start_from(new, old.state_dict())
    assert report.loaded == ("conv1", "norm1", "conv2", "norm2", "hidden", "head")
    assert report.adapted == report.skipped == ()
    torch.testing.assert_close(new.state_dict(), old.state_dict(), atol=0, rtol=0)


def test_another_number_of_classes_gets_a_new_head() -> None:
    """Ten digits could not be turned into three shapes."""
    old, new = make((20,), 10, name="mlp", widths=(8, 6)), make((20,), 3, name="mlp", widths=(8, 6))
    head = copy.deepcopy(new.get_submodule("head").state_dict())
    report = start_from(new, old.state_dict())
    assert report.loaded == ("hidden1", "hidden2")
    assert report.skipped == ("head",)
    assert "not loaded: head" in str(report)
    torch.testing.assert_close(new.get_submodule("head").state_dict(), head, atol=0, rtol=0)
    assert torch.equal(new.get_parameter("hidden2.weight"), old.get_parameter("hidden2.weight"))


def test_grey_and_colour_are_adapted_to_each_other() -> None:
    """A net from MNIST would lose its first layer on CIFAR-10, or see other brightness than it knew."""
    grey, colour = make((1, 8, 8), 10, **CNN), make((3, 8, 8), 10, **CNN)
    image = torch.rand(4, 1, 8, 8)
    report = start_from(colour, grey.state_dict())
    assert report.adapted == ("conv1",)
    assert report.loaded == ("conv2", "hidden", "head")
    torch.testing.assert_close(colour(image.expand(-1, 3, -1, -1)), grey(image))
    other = make((1, 8, 8), 10, **CNN)
    assert start_from(other, colour.state_dict()).adapted == ("conv1",)
    torch.testing.assert_close(other(image), grey(image))


@pytest.mark.parametrize(("old", "new"), [(3, 4), (4, 3), (1, 2), (13, 3)])
def test_any_number_of_channels_is_adapted(old: int, new: int) -> None:
    """Whoever has infrared beside the colours would begin with an untrained first layer."""
    given, model = make((old, 8, 8), 10, **CNN), make((new, 8, 8), 10, **CNN)
    report = start_from(model, given.state_dict())
    assert (report.adapted, report.skipped) == (("conv1",), ())
    image = torch.rand(4, new, 8, 8)
    torch.testing.assert_close(model(image), given(image.mean(1, keepdim=True).expand(-1, old, -1, -1)))


def test_inner_convolutions_are_not_adapted() -> None:
    """The channels inside a net are no colours: their mean means nothing to the next layer."""
    given = make((3, 8, 8), 10, **CNN | {"channels": (1, 8)})
    report = start_from(make((3, 8, 8), 10, **CNN | {"channels": (3, 8)}), given.state_dict())
    assert (report.adapted, report.skipped) == ((), ("conv1", "conv2"))


def test_from_mnist_to_cifar() -> None:
    """The fine-tuning lab: convolutions carry over, the hidden layer does not, for its images are larger."""
    report = start_from(make((3, 32, 32), 10, **CNN), make((1, 28, 28), 10, **CNN).state_dict())
    assert (report.loaded, report.adapted, report.skipped) == (("conv2", "head"), ("conv1",), ("hidden",))


def test_a_layer_is_loaded_whole_or_not_at_all() -> None:
    """A fresh weight with a trained bias is neither."""
    old, new = make((20,), 10, name="mlp", widths=(8,)), make((30,), 10, name="mlp", widths=(8,))
    bias = new.get_parameter("hidden1.bias").clone()
    assert start_from(new, old.state_dict()).skipped == ("hidden1",)
    assert torch.equal(new.get_parameter("hidden1.bias"), bias)


def test_weights_of_a_compiled_or_parallel_model_are_recognised() -> None:
    """Nothing would fit, because of a prefix that the user never wrote."""
    old, new = make((20,), 10, name="mlp"), make((20,), 10, name="mlp")
    for prefix in ("module.", "_orig_mod.", "_orig_mod.module."):
        prefixed = {prefix + key: tensor for key, tensor in old.state_dict().items()}
        assert start_from(new, prefixed).skipped == ()


def test_layers_that_fit_can_be_left_new() -> None:
    """Ten digits would be taken for ten animals: the head fits by chance, and would not be replaced."""
    old, new = make((1, 8, 8), 10, **CNN), make((3, 8, 8), 10, **CNN)
    own = copy.deepcopy(new.state_dict())
    report = start_from(new, old.state_dict(), fresh=("head",))
    assert (report.loaded, report.adapted, report.skipped) == (("conv2", "hidden"), ("conv1",), ())
    assert report.fresh == ("head",)
    assert str(report).endswith("new, as model.fresh says: head")
    assert torch.equal(new.get_parameter("head.weight"), own["head.weight"])
    assert torch.equal(new.get_parameter("hidden.weight"), old.get_parameter("hidden.weight"))
    with pytest.raises(PresetError, match=r'model\.fresh: no layer has a name that begins with "fc"; layers: conv1'):
        start_from(new, old.state_dict(), fresh=("fc",))


def test_weights_of_another_model_are_refused() -> None:
    """A training from scratch would be taken for fine-tuning."""
    with pytest.raises(DescentError, match=r"no layer fits; layers of this model: hidden1, head; .* conv1, conv2"):
        start_from(make((20,), 10, name="mlp"), make((1, 28, 28), 7, name="lenet5").state_dict())


@pytest.mark.parametrize(
    ("which", "left"),
    [
        (0, {"conv1", "norm1", "conv2", "norm2", "hidden", "head"}),
        (2, {"conv2", "norm2", "hidden", "head"}),
        (("conv1", "norm1"), {"conv2", "norm2", "hidden", "head"}),
        (("conv", "norm"), {"hidden", "head"}),
        (("conv", "norm", "hidden"), {"head"}),
    ],
)
def test_freeze_by_number_or_name(which: int | tuple[str, ...], left: set[str]) -> None:
    """Other layers would be trained than the preset says."""
    model = make((1, 8, 8), 10, **CNN, batch_norm=True)
    freeze(model, which)
    assert trainable(model) == left


def test_a_whole_name_is_not_the_beginning_of_another() -> None:
    """Freezing hidden1 of a deep net would freeze hidden10 too."""
    model = make((4,), 2, name="mlp", widths=(3,) * 11)
    freeze(model, ("hidden1",))
    assert trainable(model) == {f"hidden{i}" for i in range(2, 12)} | {"head"}
    resnet = make((3, 8, 8), 10, name="resnet18", width=2)
    freeze(resnet, ("conv", "norm", "stage1", "stage2", "stage3", "stage4.0"))
    names = {"conv1", "norm1", "conv2", "norm2"}
    assert trainable(resnet) == {f"stage4.1.{name}" for name in names} | {"head"}


@pytest.mark.parametrize("which", [("conv1", "convolution"), 7, ("",)])
def test_unknown_layers_are_answered_with_the_known(which: Any) -> None:
    """A typing error would silently freeze nothing."""
    with pytest.raises(PresetError, match=r"model\.freeze.* conv1, norm1, conv2, norm2, hidden, head"):
        freeze(make((1, 8, 8), 10, **CNN, batch_norm=True), which)


def test_frozen_batch_norms_keep_their_statistics() -> None:
    """The frozen part would drift with the new data although its weights don't."""
    model = make((1, 8, 8), 10, **CNN, batch_norm=True)
    freeze(model, ("conv1", "norm1"))
    before = copy.deepcopy(model.state_dict())
    model.train()
    first = model.get_submodule("norm1")
    x = torch.rand(4, 1, 8, 8)
    outputs = first(model.get_submodule("conv1")(x))
    model(x)
    torch.testing.assert_close(outputs, first.eval()(model.get_submodule("conv1")(x)))
    after = model.state_dict()
    assert torch.equal(after["norm1.running_mean"], before["norm1.running_mean"])
    assert not torch.equal(after["norm2.running_mean"], before["norm2.running_mean"])
    for twin in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):  # the members need copies
        twin.train()
        assert not twin.get_submodule("norm1").training
