"""Half precision inside torch.func.vmap, where torch.autocast has no effect.

vmap turns an operation into one of all members before autocast would see it. So the operations are seen here, as they
are called, and their arguments are cast as autocast casts them.
"""

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.overrides import TorchFunctionMode

_HALF = frozenset(
    (
        *(torch.conv1d, torch.conv2d, torch.conv3d),
        *(torch.conv_transpose1d, torch.conv_transpose2d, torch.conv_transpose3d),
        *(F.linear, F.scaled_dot_product_attention, torch.einsum),
        *(torch.matmul, torch.mm, torch.bmm, torch.mv, torch.addmm, torch.baddbmm),
        *(Tensor.matmul, Tensor.mm, Tensor.bmm, Tensor.mv, Tensor.__matmul__, Tensor.__rmatmul__),
    )
)
_FLOAT = frozenset(
    (
        *(F.batch_norm, F.group_norm, F.instance_norm, F.layer_norm),
        *(F.softmax, F.log_softmax, torch.softmax, torch.log_softmax, Tensor.softmax, Tensor.log_softmax),
    )
)
_NARROW = (torch.float32, torch.float16, torch.bfloat16)  # what is cast; numbers of double precision stay


def as_autocast(device: torch.device) -> AbstractContextManager[Any]:
    """Do inside the block, in vmap, what autocast does there outside of vmap, if it is on."""
    if not torch.is_autocast_enabled(device.type):
        return nullcontext()
    return _Casts(device.type)


class _Casts(TorchFunctionMode):
    def __init__(self, kind: str) -> None:
        """kind: of the device."""
        super().__init__()
        self._kind = kind

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if (func in _HALF or func in _FLOAT) and torch.is_autocast_enabled(self._kind):  # a model may turn it off
            dtype = torch.float32 if func in _FLOAT else torch.get_autocast_dtype(self._kind)
            args = tuple(_cast(value, dtype) for value in args)
            kwargs = {name: _cast(value, dtype) for name, value in kwargs.items()}
        return func(*args, **kwargs)


def _cast(value: Any, dtype: torch.dtype) -> Any:
    return value.to(dtype) if isinstance(value, Tensor) and value.dtype in _NARROW else value
