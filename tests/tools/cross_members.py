"""Every family of models with every optimizer, scalars that members share or that differ, clipped or not: the largest
difference between a member and the same model trained alone.

    python -m tests.tools.cross_members            # float64, 200 steps: to 1e-9
    python -m tests.tools.cross_members --single   # float32, 20 steps: to 1e-5

trains all pairs and prints the worst of each family, in ten minutes and in one on one core. Measured so, the worst of
all are 7.3e-11 (mlp-norm-adamw-shared-clipped; 4e-12 and less of every other family) and 1.2e-6
(resnet18-adamw-shared-clipped).
"""

import argparse
import time
from collections.abc import Iterator
from typing import Any, NamedTuple

import torch

from tests.helpers.model_families import FAMILIES, Difference, Task, difference, layout

LOSS = {"name": "cross-entropy", "label_smoothing": 0.1}
CLIP = 0.1  # well below the gradients' norms

# Of two members: the first list is what both share, or the first has; the second is what differs in the second.
OPTIMIZERS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "sgd": (
        {"lr": 0.02, "momentum": 0.8, "nesterov": True, "weight_decay": 0.01},
        {"lr": 0.01, "momentum": 0.5, "weight_decay": 0.0},
    ),
    "adam": ({"lr": 0.005, "weight_decay": 0.01}, {"beta1": 0.8, "beta2": 0.98, "weight_decay": 0.0}),
    "adamw": ({"lr": 0.005, "beta1": 0.8, "weight_decay": 0.1}, {"lr": 0.002, "weight_decay": 0.2}),
    "adagrad": ({"lr": 0.02, "weight_decay": 0.01}, {"lr": 0.01, "eps": 1e-5}),
    # Without weight decay: where a gradient is 0 (of the attention's bias of the keys) the decay alone would be
    # divided by its own size, and the weight jump about 0 by its sign.
    "rmsprop": ({"lr": 0.005, "momentum": 0.5}, {"alpha": 0.9, "momentum": 0.0, "eps": 1e-6}),
}


class Pair(NamedTuple):
    family: str
    optimizer: str
    differing: bool
    clipped: bool

    def __str__(self) -> str:
        scalars = "differing" if self.differing else "shared"
        return f"{self.family}-{self.optimizer}-{scalars}-{'clipped' if self.clipped else 'unclipped'}"


PAIRS = [
    Pair(family, optimizer, differing, clipped)
    for family in FAMILIES
    for optimizer in OPTIMIZERS
    for differing in (False, True)
    for clipped in (False, True)
]
# What the suite takes: of each family and optimizer shared scalars clipped, and differing ones unclipped.
SOME = [pair for pair in PAIRS if pair.differing != pair.clipped]
# In float32 every day, the others every night: each family once, and each optimizer once. Which of them meet matters
# to the algebra, which float64 tests, and not to the precision.
FEW = [
    pair
    for pair in SOME
    if (pair.family, pair.clipped) == ("mlp", True) or str(pair).endswith("-adamw-differing-unclipped")
]


def sections(optimizer: str, differing: bool, rate: float = 1.0) -> list[dict[str, Any]]:
    """Of two members. rate: what their learning rates are multiplied by."""
    first, other = OPTIMIZERS[optimizer]
    return [
        {"name": optimizer, **scalars, "lr": scalars["lr"] * rate}
        for scalars in (first, first | other if differing else first)
    ]


def in_double(pair: Pair, steps: int = 0) -> Difference:
    """In float64, after as many steps as the family says, or `steps`."""
    return _difference(pair, torch.float64, steps or layout(pair.family).steps)


def in_single(pair: Pair, steps: int = 20) -> Difference:
    """In float32.

    Adam and its kin divide a gradient by its own size, so that one which is 0 but for rounding (a dead unit's, the
    attention's bias of the keys, which cancels in the softmax) becomes a step of full length in a direction that
    rounding has drawn. With `eps` = 1e-3 such gradients stay what they are.

    The ReLUs of resnet18 are SiLUs here: of the some ten thousand in a step there is always one whose input is 0
    within rounding, and at the kink the last digit decides about a whole gradient. A run alone, too, ends elsewhere
    by 1e-3 where one weight differs in its last digit; in float64 the ReLUs stay.
    """
    return _difference(pair, torch.float32, steps, eps=1e-3, smooth=pair.family == "resnet18")


def _difference(
    pair: Pair, dtype: torch.dtype, steps: int, *, eps: float | None = None, smooth: bool = False
) -> Difference:
    family = layout(pair.family)
    given = sections(pair.optimizer, pair.differing, family.rate)
    if eps is not None and pair.optimizer != "sgd":
        given = [section | {"eps": eps} for section in given]
    clip_norm = CLIP if pair.clipped else None
    task = Task(LOSS, given, clip_norm=clip_norm, steps=steps, batch=family.batch, dtype=dtype)
    return difference(task, pair.family, smooth=smooth)


def _worst(single: bool, steps: int, families: list[str]) -> Iterator[tuple[str, Pair, Difference, float]]:
    for family in families:
        began = time.perf_counter()
        found = [
            (in_single(pair) if single else in_double(pair, steps), pair) for pair in PAIRS if pair.family == family
        ]
        worst, pair = max(found, key=lambda of_one: of_one[0].size)
        yield family, pair, worst, time.perf_counter() - began


def main() -> None:
    parser = argparse.ArgumentParser(description="The worst difference of each family.")
    parser.add_argument("--single", action="store_true", help="float32 after 20 steps, instead of float64")
    parser.add_argument("--steps", type=int, default=200, help="in float64")
    parser.add_argument("families", nargs="*", default=list(FAMILIES))
    given = parser.parse_args()
    torch.set_num_threads(1)
    for family, pair, worst, seconds in _worst(given.single, given.steps, given.families):
        print(f"{family:<12} {worst.size:.1e}  {pair}: {worst.name}  ({seconds:.0f} s)", flush=True)


if __name__ == "__main__":
    main()
