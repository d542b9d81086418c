"""Recording of how each layer's numbers are spread, at some of the measured steps. No step waits for the device."""

import math
import time
from pathlib import Path
from typing import Any

from torch import Tensor

from descent.loop import device as devices
from descent.loop.layer_samples import quantiles
from descent.loop.layer_statistics import LayerStatistics
from descent.run.histograms import HistogramWriter

SHARE = 0.01  # of the training time that the records may take
SECONDS = 0.02  # that they may take beyond that, so that a short run has some


class HistogramRecorder:
    """Asks the statistics for samples when a record is due, and writes it once it has come to the host."""

    def __init__(
        self, run: Path, statistics: LayerStatistics, layers: int, first: int, total: int | None = None
    ) -> None:
        """first: the step from which earlier records are void. total: steps of the run, if that is known."""
        self._statistics = statistics
        self._writer = HistogramWriter(run, layers, first)
        there = self._writer.steps
        fewest = 1 if total is None else math.ceil(total / self._writer.most)
        self._every = max([fewest, *([there[-1] - there[-2]] if len(there) > 1 else [])])
        self._next = there[-1] + self._every if there else first
        self._began, self._spent = time.perf_counter(), 0.0
        self._sampled = statistics.sampling_seconds  # before the first record
        self._under_way: list[tuple[int, Tensor, Any]] = []  # step, values, and an event: they have come
        self._ask(first)

    def _ask(self, step: int) -> None:
        allowed = SECONDS + SHARE * (time.perf_counter() - self._began)
        spent = self._spent + self._statistics.sampling_seconds - self._sampled
        self._statistics.sampling = step >= self._next and spent <= allowed

    def note(self, step: int, samples: Tensor | None) -> None:
        """A measured step was made. Keep its samples if there are any, and ask for those of the next one if due."""
        began = time.perf_counter()
        if samples is not None:
            found = quantiles(samples)
            on_host = devices.host_buffer(found)
            on_host.copy_(found, non_blocking=True)
            self._under_way.append((step, on_host, devices.mark(found.device)))
            self._next = step + self._every
            self._spent += time.perf_counter() - began
        self._ask(step + 1)

    def drain(self, *, wait: bool = False) -> None:
        """Write the records that have come to the host. wait: for the others too."""
        began = time.perf_counter()
        while self._under_way:
            step, values, copied = self._under_way[0]
            if copied is not None and not wait and not copied.query():
                break
            if copied is not None:
                copied.synchronize()
            self._under_way.pop(0)
            before = len(self._writer.steps)
            self._writer.append(step, values.numpy())
            if len(self._writer.steps) <= before:  # the file was full
                self._every *= 2
        self._spent += time.perf_counter() - began

    def flush(self) -> None:
        """Write everything onto the disk."""
        self.drain(wait=True)
        self._writer.sync()

    def close(self) -> None:
        self._statistics.sampling = False
        self._writer.close()
