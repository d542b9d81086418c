"""Recording of the numbers of every step, from the device to the run folder. No step waits for the device.

Each step writes one row of a ring buffer on the device. About ten times a second the rows go to the host in one
asynchronous copy, and the rows of the copy before are appended to the metrics.
"""

import math
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from descent.common.arrays import Rows, Seconds
from descent.loop import device as devices
from descent.run.layout import LAYER_STATISTICS, PARAMETER, Layout
from descent.run.metrics import MetricsWriter

CAPACITY = 2048  # rows of the ring buffer: 0.1 s of the fastest loops
INTERVAL = 0.1  # seconds between copies


class Recorder:
    """Keeps `loss`, `accuracy`, `grad_norm` … of each step. lr and time are already known on the host.

    `on_rows(first_step, rows, seconds)` is called with each block of rows, (n, M, columns) float32, once it is in the
    file. seconds: (n,) float64, the column `time` of the rows before it is rounded.
    """

    def __init__(
        self,
        writer: MetricsWriter,
        layout: Layout,
        device: torch.device,
        step: int,
        on_rows: Callable[[int, Rows, Seconds], None],
    ) -> None:
        self._writer = writer
        self._on_rows = on_rows
        self._members = len(layout.members)
        self._device = device
        names = layout.columns
        self._width = len(names)
        self._ring = torch.full((CAPACITY, self._members, self._width), float("nan"), device=device)
        self.has_accuracy = "accuracy" in names
        self._loss_at, self._accuracy_at = names.index("loss"), names.index("accuracy") if self.has_accuracy else -1
        # A view for each slot, made once: indexing a tensor costs more than the copy itself.
        self._losses = self._slots(self._loss_at)
        self._accuracies = self._slots(self._accuracy_at) if self.has_accuracy else []
        # The same memory, of one model on the CPU: a number is set there in a third of the time.
        self._numbers = self._ring[:, 0].numpy() if device.type == "cpu" and self._members == 1 else None
        first = names.index("grad_norm")
        self._norms = self._ring[:, :, first : first + 2]
        last = first + 2 + len(layout.layers) * len(LAYER_STATISTICS)
        self._layers = self._ring[:, :, first + 2 : last]
        self._parameters: list[Tensor] = []
        if any(name.startswith(PARAMETER) for name in names):
            self._parameters = list(self._ring[:, :, last:].unbind(0))
        self._lr, self._time = names.index("lr"), names.index("time")
        self._rates = self._slots(self._lr)
        self._host: list[tuple[float, float]] = []  # lr and time of each row since the last copy
        self._staging = devices.host_buffer(self._ring)
        self._copied: Any = None  # an event: the copy is over
        self._pending: tuple[int, Seconds] | None = None  # rows being copied, their lr and time
        self._filled = 0
        self._first = step  # the step of the first row that is not on disk yet
        self._next_copy = 0.0  # the first row at once: the next one may be a minute away

    def _slots(self, column: int) -> list[Tensor]:
        return list(self._ring[:, :, column].unbind(0))

    def record(self, loss: Tensor, accuracy: Tensor | None, lr: float | Tensor, seconds: float) -> None:
        """Record one row.

        loss, accuracy: scalars or (M,) on the device. lr: one, or (M,). seconds: of training so far.
        """
        slot = self._filled
        if isinstance(lr, Tensor):
            self._rates[slot].copy_(lr)
            lr = float("nan")  # the rates stay on the device
        if not self._is_set(slot, self._loss_at, loss):
            self._losses[slot].copy_(loss)
        if accuracy is not None and not self._is_set(slot, self._accuracy_at, accuracy):
            self._accuracies[slot].copy_(accuracy)
        self._host.append((lr, seconds))
        self._filled = slot + 1
        if self._filled == CAPACITY or time.perf_counter() >= self._next_copy:
            self.drain()

    def _is_set(self, slot: int, column: int, value: Tensor) -> bool:
        """Set a number in memory, if that is possible and gives the same number. Returns whether it did."""
        if self._numbers is None or not value.is_cpu or value.dtype != torch.float32:
            return False
        number = value.item()
        if math.isnan(number):  # there are several, see not_given
            return False
        self._numbers[slot, column] = number
        return True

    def parameters(self, values: Tensor) -> None:
        """Keep the trained numbers after the step about to be recorded, if they have columns. (P,) or (M, P)."""
        if self._parameters:
            self._parameters[self._filled].copy_(values)

    def norms(self, before: Tensor, after: Tensor) -> None:
        """Keep the gradient norms of the step about to be recorded. Scalars or (M,)."""
        slot = self._norms[self._filled]
        slot[:, 0] = before
        slot[:, 1] = after

    def layers(self, statistics: Tensor) -> None:
        """Keep the layer statistics of the step about to be recorded, (layers, statistics), (M, …) with members."""
        self._layers[self._filled] = statistics.reshape(-1, self._layers.shape[-1])

    def drain(self) -> None:
        """Append the rows that have arrived, and start copying the next ones."""
        self._arrive()
        count, self._filled = self._filled, 0
        if count:
            self._staging[:count].copy_(self._ring[:count], non_blocking=True)
            # In the same stream, so the copy reads the rows before they are wiped.
            self._ring[:count].fill_(float("nan"))
            self._copied = devices.mark(self._device)
            self._pending = count, np.array(self._host, np.float64)
            self._host = []
        self._next_copy = time.perf_counter() + INTERVAL
        if self._device.type == "cpu":
            self._arrive()  # the copy is done already

    def _arrive(self) -> None:
        if self._pending is None:
            return
        if self._copied is not None:
            self._copied.synchronize()  # it began a tenth of a second ago, so it is over by now
        count, host = self._pending
        self._pending = None
        rows = self._staging[:count].numpy()
        known = ~np.isnan(host[:, 0])
        rows[known, :, self._lr] = host[known, :1]
        rows[:, :, self._time] = host[:, 1:]
        self._writer.append(rows)
        first, self._first = self._first, self._first + count
        self._on_rows(first, rows.copy(), host[:, 1])

    def flush(self) -> None:
        """Write every row onto the disk."""
        self.drain()
        self._arrive()
        self._writer.sync()
