"""Members are worth nothing if they are other trainings than those that a user would run one by one: from the same
initial weights and batches each member's weights must be those of a run alone."""

import os

import pytest

from tests.helpers.model_families import COUNT, FAMILIES, Task, compare, layout
from tests.tools.cross_members import FEW, PAIRS, SOME, Pair, in_double, in_single, sections

pytestmark = pytest.mark.slow

CE = {"name": "cross-entropy"}
# A rate at which training is not chaotic: at higher ones a run alone, too, ends elsewhere where one weight differs in
# its last digit.
SGD = {"name": "sgd", "lr": 0.01, "momentum": 0.9, "weight_decay": 0.01}

STEPS = int(os.environ.get("DESCENT_TEST_STEPS", "0"))  # of each pair in double precision, where set


@pytest.mark.parametrize("pair", SOME, ids=str)
def test_every_family_with_every_optimizer(pair: Pair) -> None:
    """In float64 to 1e-9. Of each pair as many steps as its family says, or DESCENT_TEST_STEPS=200."""
    size, member, key = in_double(pair, STEPS)
    assert size <= 1e-9, f"member {member}: {key} differs by {size:g}"


@pytest.mark.parametrize(
    "pair", [pytest.param(pair, marks=() if pair in FEW else pytest.mark.long) for pair in SOME], ids=str
)
def test_every_family_with_every_optimizer_in_single_precision(pair: Pair) -> None:
    """In float32 to 1e-5, after 10 steps, or its family's where those are fewer; `in_single` says how an ulp is kept
    from being amplified."""
    size, member, key = in_single(pair, min(10, layout(pair.family).steps))
    assert size <= 1e-5, f"member {member}: {key} differs by {size:g}"


@pytest.mark.parametrize("name", FAMILIES)
def test_every_family_over_100_steps(name: str) -> None:
    family = FAMILIES[name]
    compare(Task(CE, [SGD | {"lr": 0.01 * family.rate}] * 2, steps=100, batch=family.batch), name, 1e-9)


@pytest.mark.parametrize("pair", [pair for pair in PAIRS if pair.family == "mlp"], ids=str)
def test_every_optimizer_over_100_steps(pair: Pair) -> None:
    assert in_double(pair, 100).size <= 1e-9


@pytest.mark.parametrize("name", ["linear", "mlp-norm", "cnn-norm", "cnn-norm by loop", "lstm"])
def test_batches_that_all_share(name: str) -> None:
    compare(Task(CE, sections("sgd", True), shared=True, steps=30), name, 1e-9)


@pytest.mark.parametrize("name", ["mlp", "cnn", "rnn"])
def test_penalties(name: str) -> None:
    compare(Task({**CE, "l1": 0.001, "l2": 0.01, "label_smoothing": 0.1}, [SGD] * COUNT, steps=50), name, 1e-9)
