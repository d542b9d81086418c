"""Detection of a training that trains nothing: its steps have a learning rate, and no parameter has changed.

The weights are summed up once, before the first step. A row that tells of an update is enough to end the watch. Only
where none has come, the weights are summed up once more, so that no step of a run that trains costs anything.
"""

from collections.abc import Callable, Iterable

import numpy as np
import torch
from torch import Tensor

from descent.common.arrays import Rows
from descent.run.layout import Layout

_WHOLE = {1: torch.int8, 2: torch.int16, 4: torch.int32, 8: torch.int64}  # by the bytes of a number


class Untrained:
    """Looks at the rows of the first steps.

    parameters: returns those that are to be trained, as they are now. tell(steps, has_gradients): called once, if
    none of them has changed in `after` steps with a rate. has_gradients: whether a measured step had any; None: none
    was measured.
    """

    def __init__(
        self,
        parameters: Callable[[], Iterable[Tensor]],
        tell: Callable[[int, bool | None], object],
        *,
        after: int,
    ) -> None:
        self._parameters, self._tell, self._after = parameters, tell, after
        self._steps = 0
        self._has_gradients: bool | None = None
        self._before = _sums(parameters())

    def rows(self, rows: Rows, layout: Layout) -> None:
        """rows: (n, M, columns) float32, the next ones."""
        if self._before is None:
            return
        names = layout.columns
        updates = rows[:, :, [at for at, name in enumerate(names) if name.endswith(".update_ratio")]]
        if (np.nan_to_num(updates) != 0).any():
            self._before = None
            return
        norms = rows[:, :, names.index("grad_norm")]
        if np.isfinite(norms).any():
            self._has_gradients = bool(self._has_gradients) or bool((np.nan_to_num(norms) != 0).any())
        self._steps += int((np.nan_to_num(rows[:, :, names.index("lr")]) != 0).any(axis=1).sum())
        if self._steps >= self._after:
            self.end()

    def end(self) -> None:
        """Tell by the steps so far, of which all rows have come."""
        before, self._before = self._before, None
        if before is None or not self._steps:
            return
        now = _sums(self._parameters())
        if now is not None and torch.equal(before, now):
            self._tell(self._steps, self._has_gradients)


def _sums(parameters: Iterable[Tensor]) -> Tensor | None:
    """Return a sum over the bits of each parameter, which is another one when a number changes. None without any.

    Of whole numbers such a sum is exact, in whatever order it is made.
    """
    plain = [p.detach() for p in parameters if p.is_floating_point() and p.layout == torch.strided]
    return torch.stack([p.view(_WHOLE[p.element_size()]).sum().cpu() for p in plain]) if plain else None
