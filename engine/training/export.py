"""A run's scored model in formats that other programs read, with what is needed to use it.

The exported model takes inputs as `LearnedModel.prepare` returns them, (N, *input_shape) float32. Each file holds, as
JSON under the name "descent", how raw data become these inputs, the names of the classes, and the run.
"""

import io
import json
import struct
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.export import Dim

from descent.common.errors import DescentError
from descent.common.files import write_output
from descent.common.i18n import _
from descent.common.text import clean, shorten, unwritable
from engine.training.learned import LearnedModel

NEEDED = ("onnx", "onnxscript")  # by ONNX
_TYPES = {
    torch.float64: "F64",
    torch.float32: "F32",
    torch.float16: "F16",
    torch.bfloat16: "BF16",
    torch.int64: "I64",
    torch.int32: "I32",
    torch.int16: "I16",
    torch.int8: "I8",
    torch.uint8: "U8",
    torch.bool: "BOOL",
}


def export(model: LearnedModel, kind: str, path: Path) -> None:
    """Write the model. kind: one of FORMATS. Raises DescentError if the model or the machine can't."""
    content = FORMATS[kind](model)
    try:
        write_output(path, content)
    except OSError as error:
        raise unwritable(path, error) from None


def facts(model: LearnedModel) -> dict[str, Any]:
    """Return what a program needs beside the weights."""
    return {
        "run": model.run,
        "step": model.step,
        "member": model.member,
        "loss": model.loss.name,
        **model.preparation.to_json(),
    }


def safetensors(model: LearnedModel) -> bytes:
    """Return the weights in the format of Hugging Face's safetensors.

    It is the length of a JSON header as 8 bytes, the header, and the tensors' bytes
    (https://huggingface.co/docs/safetensors). That is so little that no package is needed to write it.
    """
    header: dict[str, Any] = {"__metadata__": {"format": "pt", "descent": json.dumps(facts(model))}}
    pieces, end = [], 0
    for name, tensor in model.module.state_dict().items():
        if tensor.dtype not in _TYPES:
            raise DescentError(_("{name}: safetensors has no type {type}", name=name, type=tensor.dtype))
        pieces.append(_bytes(tensor))
        begin, end = end, end + len(pieces[-1])
        header[name] = {"dtype": _TYPES[tensor.dtype], "shape": list(tensor.shape), "data_offsets": [begin, end]}
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)  # tensors begin at a multiple of 8
    return b"".join([struct.pack("<Q", len(text)), text, *pieces])


def pt2(model: LearnedModel) -> bytes:
    """Return the model as torch.export has it: weights and computation, for `torch.export.load`, without its code."""
    file = io.BytesIO()
    torch.export.save(_program(model), file, extra_files={"descent": json.dumps(facts(model))})
    return file.getvalue()


def onnx(model: LearnedModel) -> bytes:
    """Return the model as ONNX: weights and computation, for ONNX Runtime and others."""
    missing = [name for name in NEEDED if find_spec(name) is None]
    if missing:
        raise DescentError(
            _(
                "ONNX needs the package {packages}: pip install {command}",
                packages=", ".join(missing),
                command=" ".join(missing),
            )
        )
    try:
        program = torch.onnx.export(
            _program(model), dynamo=True, input_names=["inputs"], output_names=["outputs"], verbose=False
        )
    except Exception as error:  # of torch.onnx and onnxscript, of many kinds
        raise _refused(model, "onnx", error) from error
    assert program is not None
    content = program.model_proto
    entry = content.metadata_props.add()
    entry.key, entry.value = "descent", json.dumps(facts(model))
    found: bytes = content.SerializeToString()
    return found


FORMATS: dict[str, Callable[[LearnedModel], bytes]] = {"safetensors": safetensors, "pt2": pt2, "onnx": onnx}


def _program(model: LearnedModel) -> torch.export.ExportedProgram:
    example = torch.zeros(2, *model.input_shape, device=model.device)
    try:
        return torch.export.export(model.module, (example,), dynamic_shapes=({0: Dim("samples")},))
    except Exception as error:  # of many kinds: the user's own model may do what can't be traced
        raise _refused(model, "pt2", error) from error


def _refused(model: LearnedModel, kind: str, error: Exception) -> DescentError:
    reason = shorten(clean(" ".join(str(error).split())), 300)
    return DescentError(
        _(
            "{run}: PyTorch can't export this model as {kind}: {reason}. Its weights can be exported as safetensors",
            run=model.run,
            kind=kind,
            reason=reason,
        )
    )


def _bytes(tensor: Tensor) -> bytes:
    flat = tensor.detach().cpu().contiguous().reshape(-1)
    return flat.view(torch.uint8).numpy().tobytes() if flat.numel() else b""
