"""Clipping and mixed precision must do what the preset says and no more."""

import pytest
import torch
from torch import nn

from descent.common.errors import PresetError
from engine.training.update import Update

CPU = torch.device("cpu")


def _update(clip_norm: float | None) -> tuple[nn.Parameter, Update]:
    weight = nn.Parameter(torch.zeros(2))
    return weight, Update(torch.optim.SGD([weight], lr=1.0), [weight], clip_norm=clip_norm, device=CPU)


def test_a_gradient_over_the_limit_is_scaled_to_it_and_both_norms_are_told() -> None:
    weight, update = _update(1.0)
    update.zero()
    update.backward((weight * torch.tensor([3.0, 4.0])).sum())
    norms = update.finish_gradients(measure=False)
    update.apply(lr=0.5)
    assert norms is not None
    assert [n.item() for n in norms] == pytest.approx([5.0, 1.0])
    assert weight.tolist() == pytest.approx([-0.3, -0.4], rel=1e-5)


def test_a_gradient_under_the_limit_is_left_alone() -> None:
    weight, update = _update(10.0)
    update.zero()
    update.backward((weight * torch.tensor([3.0, 4.0])).sum())
    norms = update.finish_gradients(measure=False)
    update.apply(lr=1.0)
    assert norms is not None
    assert [n.item() for n in norms] == pytest.approx([5.0, 5.0])
    assert weight.tolist() == [-3.0, -4.0]


def test_without_clipping_the_norm_is_taken_only_where_it_is_measured() -> None:
    weight, update = _update(None)
    update.backward(weight.sum())
    assert update.finish_gradients(measure=False) is None
    assert update.finish_gradients(measure=True) is not None


def test_parts_of_a_batch_add_up_to_its_gradient() -> None:
    weight, update = _update(None)
    update.zero()
    for _ in range(3):
        update.backward(weight.sum() / 3)
    update.apply(lr=1.0)
    assert weight.tolist() == pytest.approx([-1.0, -1.0])


def test_fp16_is_refused_for_optimizers_that_would_wait_for_the_device_each_step() -> None:
    weight = nn.Parameter(torch.zeros(2))
    with pytest.raises(PresetError, match="sgd, adam or adamw"):
        Update(torch.optim.RMSprop([weight]), [weight], fp16=True, device=CPU)
