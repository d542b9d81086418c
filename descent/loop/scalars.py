"""Recording of named scalars: kept on their device until the rows go to the host, so that no step waits for them."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from descent.common.errors import DescentError
from descent.common.i18n import _
from descent.common.text import clean, shorten
from descent.loop import device as devices
from descent.run.scalars import RECORD, Names, Records, ScalarWriter

MOST_HELD = 4096  # values that wait for the next copy


def one_number(name: str, value: Tensor) -> Tensor:
    """Return a tensor of one number as a scalar on its device. Raises DescentError for one of more."""
    if value.numel() != 1:
        raise DescentError(
            _("{name}: must be one number, not a tensor of shape {shape}", name=name, shape=tuple(value.shape))
        )
    return value.detach().reshape(())


def number(name: str, value: Any) -> float:
    """Return a value as a number. Raises DescentError if it is none."""
    try:
        return float(value.detach() if isinstance(value, Tensor) else value)
    except (TypeError, ValueError, RuntimeError):
        raise DescentError(
            _("{name} = {given}: must be a number", name=name, given=shorten(clean(repr(value)), 80))
        ) from None


class ScalarRecorder:
    """Writes the scalars of a run. It is told when the rows are written, and writes with them."""

    def __init__(self, run: Path) -> None:
        self._run = run
        self._names = Names(run)
        self._writer: ScalarWriter | None = None
        self._host: list[tuple[int, int, float]] = []  # step, index and value
        self._held: list[tuple[int, int]] = []  # step and index of each of `_tensors`
        self._tensors: list[Tensor] = []
        # What is on its way to the host: the host's own values, and those that are copied.
        self._pending: tuple[list[tuple[int, int, float]], list[tuple[int, int]], Tensor] | None = None
        self._copied: Any = None  # an event: the copy is over

    def checked(self, name: object, value: Any) -> "Tensor | float":
        """Return a value as it is kept: a number, or a copy on its device. Raises DescentError if it is no number."""
        self._names.index(name)
        if isinstance(value, Tensor):
            given = one_number(str(name), value)
            if given.device.type != "cpu" and not given.is_complex():
                return given.to(torch.float32, copy=True)
        return number(str(name), value)

    def begin(self, generation: int) -> None:
        """Write into the generation of rows that begins now."""
        self.flush()
        if self._writer is not None:
            self._writer.close()
        self._writer = ScalarWriter(self._run, generation)

    def take(self, step: int, values: Mapping[str, "Tensor | float"]) -> None:
        """Keep the values of a step, as `checked` has returned them."""
        for name, value in values.items():
            index = self._names.index(name)
            if isinstance(value, Tensor):
                self._held.append((step, index))
                self._tensors.append(value)
            else:
                self._host.append((step, index, value))
        if len(self._host) + len(self._held) >= MOST_HELD:
            self.drain()

    def drain(self) -> None:
        """Write what has arrived, and begin to copy what is still on the device."""
        self._arrive()
        host, held, tensors = self._host, self._held, self._tensors
        self._host, self._held, self._tensors = [], [], []
        if not tensors:
            self._write(host)
            return
        together = torch.stack([tensor.to(tensors[0].device) for tensor in tensors])
        on_host = devices.host_buffer(together)
        on_host.copy_(together, non_blocking=True)
        self._copied = devices.mark(together.device)
        self._pending = host, held, on_host

    def _arrive(self) -> None:
        if self._pending is None:
            return
        if self._copied is not None:
            self._copied.synchronize()  # it began a tenth of a second ago, so it is over by now
        host, held, values = self._pending
        self._pending = None
        self._write(host + [(step, name, value) for (step, name), value in zip(held, values.tolist(), strict=True)])

    def _write(self, entries: list[tuple[int, int, float]]) -> None:
        if not entries or self._writer is None:
            self._host = entries + self._host  # until the first row opens a generation
            return
        with np.errstate(over="ignore"):
            records: Records = np.array(entries, RECORD)
        self._writer.append(records[np.argsort(records["step"], kind="stable")])

    def flush(self) -> None:
        """Write everything onto the disk."""
        self.drain()
        self._arrive()
        self._names.sync()
        if self._writer is not None:
            self._writer.sync()

    def close(self) -> None:
        self._names.close()
        if self._writer is not None:
            self._writer.close()
            self._writer = None
