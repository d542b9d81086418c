"""`metrics.code`: the user's own numbers of an evaluation, functions of all outputs and targets of a split."""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from descent.common.errors import DescentError, PresetError
from descent.common.i18n import _
from descent.loop.checkpoint import undisturbed
from descent.run.result_metrics import COLUMNS, is_free
from descent.run.scalars import check_name
from engine.preset.loading import Preset
from engine.training.data import Dataset
from engine.training.scores import Scores, Sums, sums_for
from engine.training.user_code import CodeLoader, call_user_code, described_result, is_out_of_memory


class OwnMetrics:
    """The functions that a preset names."""

    def __init__(self, spec: str, code: CodeLoader) -> None:
        """spec: "file.py:function" or "file.py:one,two". Raises PresetError if there is no such function."""
        self.spec = spec
        file, names = spec.rpartition(":")[::2]
        self.functions: dict[str, Callable[..., object]] = {name: code(f"{file}:{name}") for name in names.split(",")}

    def measure(self, outputs: Tensor, targets: Tensor) -> Scores:
        """Return the numbers of one model. Raises PresetError for what the functions raise, or return amiss.

        outputs: (N, K), targets: (N[, T]), on the CPU, in the targets' own unit.
        """
        found: Scores = {}
        with undisturbed(torch.device("cpu")):
            for name, function in self.functions.items():
                returned = call_user_code(self.spec, function, outputs.clone(), targets.clone())
                given = returned if isinstance(returned, Mapping) else {name: returned}
                for key, value in given.items():
                    self._put(found, key, value, name)
        return found

    def _put(self, found: Scores, key: object, value: Any, name: str) -> None:
        place = f"{self.spec.rpartition(':')[0]}:{name}"
        try:
            key = check_name(key)
            if key in COLUMNS or not is_free(key):
                raise DescentError(_("{name}: this name can't be a metric's; take another one", name=key))
            found[key] = float(value)
        except DescentError as error:
            raise PresetError(f'metrics.code = "{place}": {error}') from None
        except (TypeError, ValueError, RuntimeError) as error:
            if is_out_of_memory(error):
                raise
            raise PresetError(
                _(
                    'metrics.code = "{code}" must return a number, or numbers by name; it returned {returned} for '
                    "{name}",
                    code=place,
                    returned=described_result(value),
                    name=key,
                )
            ) from None


class _Collected:
    """Collects the outputs and targets of M models over a split, beside the sums that there are."""

    def __init__(self, metrics: OwnMetrics, others: Sums | None, members: int, dataset: Dataset) -> None:
        self._metrics, self._others, self._members = metrics, others, members
        encoding = dataset.encoding
        self._scale = None if encoding is None or encoding.target_mean is None else encoding
        self._parts: list[tuple[Tensor, Tensor, Tensor | None]] = []

    def add(self, outputs: Tensor, targets: Tensor, own: Tensor | None = None) -> None:
        if self._others is not None:
            self._others.add(outputs, targets, own)
        self._parts.append((outputs.cpu(), targets.cpu(), None if own is None else own.cpu()))

    def scores(self) -> list[Scores]:
        others = self._others.scores() if self._others is not None else []
        own = [self._of(member) for member in range(self._members)]
        return [{**before, **mine} for before, mine in zip(others or [{}] * len(own), own, strict=True)]

    def _of(self, member: int) -> Scores:
        outputs, targets = [], []
        for made, wanted, own in self._parts:
            if own is None or own[member]:
                outputs.append(made[member].float())
                # Labels have one axis, quantities two, and one more where each member has samples of its own.
                has_own = wanted.ndim == (3 if wanted.is_floating_point() else 2)
                targets.append(wanted[member] if has_own else wanted)
        return self._metrics.measure(self._unscaled(torch.cat(outputs)), self._unscaled(torch.cat(targets)))

    def _unscaled(self, values: Tensor) -> Tensor:
        if self._scale is None or not values.is_floating_point():
            return values
        std, mean = (torch.tensor(of, dtype=values.dtype) for of in (self._scale.target_std, self._scale.target_mean))
        return values * std + mean


def build(preset: Preset, code: CodeLoader) -> OwnMetrics | None:
    """Return the functions of the preset, or None if it names none."""
    return None if preset.metrics.code is None else OwnMetrics(preset.metrics.code, code)


def sums_with(metrics: OwnMetrics | None, preset: Preset, dataset: Dataset, members: int = 1) -> Sums | None:
    """Return what an evaluation of `members` models sums up: Descent's own scores and the user's."""
    sums = sums_for(preset.loss, dataset, members)
    return sums if metrics is None else _Collected(metrics, sums, members, dataset)
