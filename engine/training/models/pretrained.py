"""Models of torchvision by name, untrained or with weights from a local file."""

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
from descent.common.i18n import _
from engine.preset import schema
from engine.training.models.layers import layers, refuse, shape_text
from engine.training.models.transfer import start_from
from engine.training.packages import needed


def torchvision_model(section: schema.TorchvisionModel, input_shape: tuple[int, ...], outputs: int) -> nn.Module:
    """Build the architecture, with `outputs` outputs and a first convolution for the images' channels."""
    with needed("torchvision", 'model.name = "torchvision"'):
        from torchvision import models  # takes a second to import

    name = section.architecture
    known = models.list_models(module=models)
    if name not in known:
        unknown = _('model.architecture = "{name}" is not in torchvision.models', name=name)
        raise PresetError(f"{unknown}{_likely(name, known)}")
    if len(input_shape) != 3:
        raise refuse("torchvision", _("images"), input_shape)
    extra: dict[str, Any] = {}
    if name in ("googlenet", "inception_v3"):
        # With auxiliary heads these models would return tuples in training.
        extra = {"aux_logits": False, "init_weights": True}
    model: nn.Module = models.get_model(name, weights=None, num_classes=outputs, **extra)
    _take_channels(model, input_shape[0])
    _check_size(model, name, input_shape)
    if section.weights is not None:
        _load(model, section.weights, name)
    return model


def read_weights(path: Path) -> dict[str, Tensor]:
    """Return the state dict in a file, read without running code. Raises PresetError if the file has none."""
    given = f'model.weights = "{path}"'
    try:
        content = torch.load(path.expanduser(), map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise PresetError(_("{file}: no such file", file=given)) from None
    except OSError as error:
        raise PresetError(_("{file} can't be read: {error}", file=given, error=error.strerror)) from None
    except (RuntimeError, EOFError, ValueError, zipfile.BadZipFile):
        raise PresetError(_("{given} is damaged, or is not a file of PyTorch", given=given)) from None
    except pickle.UnpicklingError:
        raise PresetError(
            _("{given} holds more than weights, so it is not opened; save only model.state_dict()", given=given)
        ) from None
    if isinstance(content, Mapping):
        inner = content.get("state_dict", content.get("model", content))
        if isinstance(inner, Mapping) and inner and all(isinstance(v, Tensor) for v in inner.values()):
            return dict(inner)
    raise PresetError(_("{given} holds no state dict (names and tensors)", given=given))


def _load(model: nn.Module, path: str, name: str) -> None:
    state = read_weights(Path(path))
    # The files of DenseNets use names from before 2018.
    state = {re.sub(r"(denselayer\d+\.(?:norm|conv))\.([12]\.)", r"\1\2", key): t for key, t in state.items()}
    try:
        report = start_from(model, state)
    except DescentError:
        raise PresetError(
            _('model.weights = "{file}" do not belong to {name}: no layer fits', file=path, name=name)
        ) from None
    head = layers(model)[-1][0]
    wrong = [layer for layer in report.skipped if layer != head]
    if wrong:
        raise PresetError(
            _(
                'model.weights = "{file}" do not belong to {name}: layers that are missing or have another shape '
                "there: {count}, for example {layer}",
                file=path,
                name=name,
                count=len(wrong),
                layer=wrong[0],
            )
        )


def _take_channels(model: nn.Module, channels: int) -> None:
    """Replace the first convolution by one with that many input channels."""
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
    """Run the model on a sample on the meta device, without memory or arithmetic, to see if it takes such images."""
    state = {key: torch.empty_like(tensor, device="meta") for key, tensor in model.state_dict().items()}
    sample = torch.empty(2, *input_shape, device="meta")
    training = model.training
    model.eval()
    try:
        with torch.no_grad():
            torch.func.functional_call(model, state, (sample,))
    except NotImplementedError:  # an operation that the meta device does not have; the training will show
        pass
    except (RuntimeError, AssertionError, ValueError) as error:
        why = str(error).partition("\n")[0].rstrip(".")
        raise PresetError(
            _(
                'model.architecture = "{name}" does not take {data} ({reason}); most take 224 × 224: data.image_size '
                "sets the size of a folder of images",
                name=name,
                data=shape_text(input_shape),
                reason=why,
            )
        ) from None
    finally:
        model.train(training)


def _likely(name: str, known: list[str]) -> str:
    close = difflib.get_close_matches(name.lower().replace("-", "_"), known, n=3, cutoff=0.5)
    if close:
        return _("; did you mean {word}?", word=", ".join(close))
    return _("; for example {names}", names=", ".join(known[:1] + known[-2:]))
