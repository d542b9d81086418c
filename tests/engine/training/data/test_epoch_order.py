"""Without this, an epoch would repeat or leave out samples, or a resumed run take another order."""

import torch

from engine.training.data.batches import epoch_order

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
