"""Models of torchvision, by name, from scratch or from a local file of weights."""

import difflib
import pickle
import re
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from descent.common.errors import DescentError, PresetError
from engine.preset import schema
from engine.training.models.layers import layers, refuse, shape_text
from engine.training.models.transfer import start_from


def torchvision_model(section: schema.TorchvisionModel, input_shape: tuple[int, ...], outputs: int) -> nn.Module:
    """The architecture with `outputs` outputs and a first convolution for the images' channels."""
    from torchvision import models  # takes a second to import

    name = section.architecture
    known = models.list_models(module=models)
    if name not in known:
        raise PresetError(f'model.architecture = "{name}" is not in torchvision.models{_likely(name, known)}')
    if len(input_shape) != 3:
        raise refuse("torchvision", "images", input_shape)
    extra: dict[str, Any] = {}
    if name in ("googlenet", "inception_v3"):
        # Their auxiliary heads would make the model return tuples while it trains.
        extra = {"aux_logits": False, "init_weights": True}
    model: nn.Module = models.get_model(name, weights=None, num_classes=outputs, **extra)
    _take_channels(model, input_shape[0])
    _check_size(model, name, input_shape)
    if section.weights is not None:
        _load(model, section.weights, name)
    return model


def read_weights(path: Path) -> dict[str, Tensor]:
    """The state dict in a file, read as data alone. PresetError where there is none."""
    given = f'model.weights = "{path}"'
    try:
        content = torch.load(path.expanduser(), map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise PresetError(f"{given}: no such file") from None
    except OSError as error:
        raise PresetError(f"{given} can't be read: {error.strerror}") from None
    except (RuntimeError, EOFError, ValueError, zipfile.BadZipFile):
        raise PresetError(f"{given} is damaged, or no file of PyTorch's") from None
    except pickle.UnpicklingError:
        raise PresetError(
            f"{given} holds more than weights, so it is not opened; save model.state_dict() alone"
        ) from None
    if isinstance(content, Mapping):
        inner = content.get("state_dict", content.get("model", content))
        if isinstance(inner, Mapping) and inner and all(isinstance(v, Tensor) for v in inner.values()):
            return dict(inner)
    raise PresetError(f"{given} holds no state dict (names and tensors)")


def _load(model: nn.Module, path: str, name: str) -> None:
    state = read_weights(Path(path))
    # The files of DenseNets have names from before 2018.
    state = {re.sub(r"(denselayer\d+\.(?:norm|conv))\.([12]\.)", r"\1\2", key): t for key, t in state.items()}
    try:
        report = start_from(model, state)
    except DescentError:
        raise PresetError(f'model.weights = "{path}" are not those of {name}: no layer fits') from None
    head = layers(model)[-1][0]
    wrong = [layer for layer in report.skipped if layer != head]
    if wrong:
        raise PresetError(
            f'model.weights = "{path}" are not those of {name}: {len(wrong)} of its layers are missing '
            f"or have another shape there, for example {wrong[0]}"
        )


def _take_channels(model: nn.Module, channels: int) -> None:
    """Give the first convolution that many input channels."""
    name, conv = next((n, m) for n, m in model.named_modules() if isinstance(m, nn.Conv2d))
    if conv.in_channels == channels:
        return
    new = nn.Conv2d(
        channels,
        conv.out_channels,
        conv.kernel_size,  # type: ignore[arg-type]
        conv.stride,  # type: ignore[arg-type]
        conv.padding,  # type: ignore[arg-type]
        bias=conv.bias is not None,
    )
    model.set_submodule(name, new)


def _check_size(model: nn.Module, name: str, input_shape: tuple[int, ...]) -> None:
    """Run the model on a sample without memory or arithmetic, to see whether it takes such images."""
    state = {key: torch.empty_like(tensor, device="meta") for key, tensor in model.state_dict().items()}
    sample = torch.empty(2, *input_shape, device="meta")
    training = model.training
    model.eval()
    try:
        with torch.no_grad():
            torch.func.functional_call(model, state, (sample,))
    except NotImplementedError:  # an operation that can't be tried so: training will tell
        pass
    except (RuntimeError, AssertionError, ValueError) as error:
        why = str(error).partition("\n")[0].rstrip(".")
        raise PresetError(
            f'model.architecture = "{name}" does not take {shape_text(input_shape)} ({why}); most take '
            "224 × 224: data.image_size sets the size of a folder of images"
        ) from None
    finally:
        model.train(training)


def _likely(name: str, known: list[str]) -> str:
    close = difflib.get_close_matches(name.lower().replace("-", "_"), known, n=3, cutoff=0.5)
    return f": did you mean {', '.join(close)}?" if close else f"; for example {', '.join(known[:1] + known[-2:])}"
