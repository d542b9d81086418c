"""An epoch must show each training sample once, in an order that only seed and epoch decide.

Without this, an epoch would repeat or leave out samples, or a resumed run take another order.
"""

import pytest
import torch

from engine.training.data import Split
from engine.training.data.batches import Batches, epoch_order


def _split(samples: int) -> Split:
    return Split(torch.arange(float(samples))[:, None], torch.arange(samples))


def _epoch(batches: Batches) -> list[list[int]]:
    seen = [batches.next().targets.tolist()]
    while not batches.epoch_is_over():
        seen.append(batches.next().targets.tolist())
    return seen


@pytest.mark.parametrize(("samples", "size", "per_epoch"), [(10, 3, 4), (9, 3, 3), (7, 7, 1), (5, 1, 5)])
def test_an_epoch_shows_each_sample_once(samples: int, size: int, per_epoch: int) -> None:
    batches = Batches(_split(samples), size, seed=1)
    epoch = _epoch(batches)
    assert len(epoch) == batches.per_epoch == per_epoch
    assert sorted(i for batch in epoch for i in batch) == list(range(samples))
    assert batches.epoch == 1


def test_epochs_differ_and_seeds_differ_but_the_same_seed_and_epoch_do_not() -> None:
    batches = Batches(_split(50), 10, seed=1)
    first, second = _epoch(batches), _epoch(batches)
    assert first != second
    assert _epoch(Batches(_split(50), 10, seed=2)) != first
    again = Batches(_split(50), 10, seed=1)
    again.seek(1, 0)
    assert _epoch(again) == second


def test_seeking_into_an_epoch_goes_on_where_it_was() -> None:
    whole = _epoch(Batches(_split(50), 10, seed=1))
    batches = Batches(_split(50), 10, seed=1)
    batches.seek(0, 3)
    assert [batches.next().targets.tolist(), batches.next().targets.tolist()] == whole[3:]
    assert batches.epoch_is_over()


def test_full_batch_is_the_split_as_it_lies() -> None:
    batches = Batches(_split(5), None, seed=1)
    assert _epoch(batches) == [[0, 1, 2, 3, 4]]
    assert batches.per_epoch == 1


@pytest.mark.parametrize(("samples", "per_epoch"), [(10, 3), (11, 4), (9, 3)])
def test_a_last_batch_of_one_sample_can_be_left_out(samples: int, per_epoch: int) -> None:
    batches = Batches(_split(samples), 3, seed=1, leave_out_single=True)
    epoch = _epoch(batches)
    assert len(epoch) == batches.per_epoch == per_epoch
    assert all(len(batch) > 1 for batch in epoch)


def test_a_last_batch_of_one_is_left_out_after_a_change_of_size_too() -> None:
    """A live batch size would end the run in the middle of its next epoch."""
    batches = Batches(_split(10), 5, seed=1, leave_out_single=True)
    _epoch(batches)
    batches.resize(3)
    assert [len(batch) for batch in _epoch(batches)] == [3, 3, 3]
    batches.resize(5)
    assert [len(batch) for batch in _epoch(batches)] == [5, 5]


@pytest.mark.parametrize(
    ("samples", "count", "sizes"),
    [(7, 3, [3, 2, 2]), (2, 2, [2]), (5, 4, [3, 2]), (9, 3, [3, 3, 3]), (1, 3, [1])],
)
def test_no_part_of_a_batch_is_a_single_sample_where_that_is_too_few(
    samples: int, count: int, sizes: list[int]
) -> None:
    batch = Batches(_split(samples), None, seed=1).next()
    assert [part.samples for part in batch.parts(count, 2)] == sizes


def test_parts_of_a_batch_hold_all_of_it() -> None:
    batch = Batches(_split(10), 10, seed=1).next()
    parts = batch.parts(3)
    assert torch.equal(torch.cat([part.targets for part in parts]), batch.targets)
    assert len(parts) == 3


CPU = torch.device("cpu")


def test_a_permutation():
    """Samples would be seen twice or never."""
    order = epoch_order(1000, 0, 0, CPU)
    assert order.dtype == torch.int64
    assert torch.equal(order.sort().values, torch.arange(1000))


def test_a_function_of_its_arguments():
    """A resumed run would see other batches, and asking would disturb dropout."""
    torch.manual_seed(1)
    before = torch.get_rng_state()
    order = epoch_order(100, 5, 3, CPU)
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(2)
    assert torch.equal(order, epoch_order(100, 5, 3, CPU))


def test_all_differ():
    """Two epochs, or two seeds, would share an order; seed 1, epoch 0 must not be seed 0, epoch 1 either."""
    orders = [tuple(epoch_order(50, seed, epoch, CPU).tolist()) for seed in range(20) for epoch in range(20)]
    assert len(set(orders)) == 400
