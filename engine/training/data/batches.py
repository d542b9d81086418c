"""The order in which an epoch visits the samples."""

import hashlib

import torch
from torch import Tensor


def epoch_order(n: int, seed: int, epoch: int, device: torch.device) -> Tensor:
    """A permutation of 0 … n − 1, (n,) int64 on `device`: a function of its arguments alone.

    Drawn on the CPU, so that every device sees the same order, and from a generator of its own, so that an
    epoch can be begun again after a resume without the epochs before it.
    """
    digest = hashlib.sha256(f"epoch order {seed} {epoch}".encode()).digest()
    generator = torch.Generator().manual_seed(int.from_bytes(digest[:8], "little") >> 1)
    return torch.randperm(n, generator=generator).to(device)
