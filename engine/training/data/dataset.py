"""What a data set is once it can be trained on."""

from dataclasses import dataclass
from typing import Literal, NamedTuple

from torch import Tensor

Task = Literal["classification", "regression"]


class Split(NamedTuple):
    """The samples of one split, on the device.

    inputs: (N, *features) float32. targets: (N,) int64 class labels, or (N, T) float32 for regression.
    """

    inputs: Tensor
    targets: Tensor


@dataclass(frozen=True)
class Dataset:
    """The three splits, and what is known about them.

    classes: names, () for regression. input_names: columns' names where there are any, else ().
    mean, std: the scaling that was applied, scaled = (x − mean) / std; for minmax the minimum and the range;
    float32, in a shape that broadcasts over a sample; None without scaling.
    notes: what to tell the user once.
    """

    name: str
    task: Task
    train: Split
    validation: Split | None
    test: Split | None
    classes: tuple[str, ...]
    input_names: tuple[str, ...]
    mean: Tensor | None
    std: Tensor | None
    notes: tuple[str, ...]

    def split(self, name: str) -> Split:
        """The split called "train", "validation" or "test", which is there."""
        split = {"train": self.train, "validation": self.validation, "test": self.test}[name]
        assert split is not None
        return split

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Shape of one sample: (C, H, W) for images."""
        return tuple(self.train.inputs.shape[1:])

    @property
    def num_classes(self) -> int:
        """Number of classes; 0 for regression."""
        return len(self.classes)

    @property
    def target_size(self) -> int:
        """Number of targets of a sample (regression), or number of classes."""
        return self.num_classes if self.task == "classification" else self.train.targets.shape[1]
