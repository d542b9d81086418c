"""How the weights, gradients and activations of each layer were spread at some steps of a run.

`histograms.bin` has a record for each of these steps, ascending: the step, and of each kind and layer the values at
SHARES of its numbers (quantiles), little-endian, NaN where nothing was measured. A full file loses every second
record. Those that a rewind has voided leave the file before later ones are written.
"""

from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from descent.common.arrays import Singles
from descent.common.files import AppendingWriter, write_atomically

FILE = "histograms.bin"
KINDS = ("weights", "gradients", "activations")
# From the smallest number to the largest, closer to each other at both ends, where a spread has its tails.
SHARES = (1 - np.cos(np.linspace(0, np.pi, 33))) / 2
MOST = 256  # records
LEAST = 64  # records, of a model with so many layers that a file of more would be too large
MOST_BYTES = 16 << 20


class History(NamedTuple):
    """steps: (n,), ascending. values: (n, KINDS, layers, SHARES) float32, ascending along the last axis."""

    steps: NDArray[np.int64]
    values: Singles


def _record(layers: int) -> np.dtype[np.void]:
    return np.dtype([("step", "<u8"), ("values", "<f4", (len(KINDS), layers, len(SHARES)))])


def read(run: Path, layers: int) -> History:
    """Return what the run in the folder `run` has recorded. layers: of its model. Raises OSError."""
    record = _record(layers)
    try:
        data = (run / FILE).read_bytes()
    except FileNotFoundError:
        data = b""
    records = np.frombuffer(data[: len(data) // record.itemsize * record.itemsize], record)
    return History(records["step"].astype(np.int64), records["values"].astype(np.float32))


def copy(run: Path, folder: Path, layers: int, step: int) -> None:
    """Write the records before a step into the folder of a fork."""
    _write(folder, _before(read(run, layers), step))


def _before(history: History, step: int) -> History:
    there = history.steps < step
    return History(history.steps[there], history.values[there])


def _write(run: Path, history: History) -> None:
    """Let the file hold these records."""
    records = np.empty(len(history.steps), _record(history.values.shape[2]))
    records["step"], records["values"] = history
    if len(records):
        write_atomically(run / FILE, records.tobytes())
    else:
        (run / FILE).unlink(missing_ok=True)


class HistogramWriter:
    """Adds records to the file of a run, which it keeps small."""

    def __init__(self, run: Path, layers: int, first: int) -> None:
        """first: the step from which earlier records are void."""
        self._run, self._layers = run, layers
        self._file: AppendingWriter | None = None
        self._most = max(LEAST, min(MOST, MOST_BYTES // _record(layers).itemsize))
        stored = read(run, layers)
        valid = _before(stored, first)
        if (run / FILE).exists():  # without what is void or torn
            _write(run, valid)
        self.steps = valid.steps.tolist()

    @property
    def most(self) -> int:
        """Return how many records there may be."""
        return self._most

    def append(self, step: int, values: Singles) -> None:
        """Append a record of a later step. values: (KINDS, layers, SHARES). Raises OSError if the disk is full."""
        if len(self.steps) >= self._most:
            self._thin_out()
        if self._file is None:
            self._file = AppendingWriter(self._run / FILE, new=False)
        record = np.empty(1, _record(self._layers))
        record["step"], record["values"] = step, values
        self._file.write(record.tobytes())
        self.steps.append(step)

    def _thin_out(self) -> None:
        """Remove every second record. The first one stays."""
        self.close()
        stored = read(self._run, self._layers)
        thinner = History(stored.steps[::2], stored.values[::2])
        _write(self._run, thinner)
        self.steps = thinner.steps.tolist()

    def sync(self) -> None:
        """Wait until the records are on the disk."""
        if self._file is not None:
            self._file.sync()

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None
