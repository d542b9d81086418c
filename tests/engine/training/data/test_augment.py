"""Without this, augmentation could do nothing, do the same to a whole batch, or spoil the images."""

import pytest
import torch

from engine.preset import schema
from engine.training.data.augment import augment, is_on

ALL = schema.Augment(flip=True, shift=2, rotation=15.0)


def images(count=64, channels=3, height=8, width=6):
    return torch.rand(count, channels, height, width, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_shape_and_type(dtype):
    """The model would get something else than it was built for."""
    given = images().to(dtype)
    kept = given.clone()
    changed = augment(given, ALL)
    assert changed.shape == given.shape
    assert changed.dtype == dtype
    assert torch.equal(given, kept), "the training split itself was changed"


def test_repeatable():
    """A resumed run would see other images."""
    torch.manual_seed(3)
    first = augment(images(), ALL)
    torch.manual_seed(3)
    assert torch.equal(first, augment(images(), ALL))
    assert not torch.equal(first, augment(images(), ALL))


def test_off():
    """No augmentation would still change images or draw random numbers."""
    state = torch.get_rng_state()
    assert augment(images(), schema.Augment()) is not None
    assert torch.equal(augment(images(), schema.Augment()), images())
    assert torch.equal(torch.get_rng_state(), state)
    assert not is_on(schema.Augment())


def test_flip_half():
    """All or none would be mirrored."""
    torch.manual_seed(0)
    given = images(1000, 1, 4, 5)
    changed = augment(given, schema.Augment(flip=True))
    mirrored = (changed == given.flip(-1)).flatten(1).all(1)
    same = (changed == given).flatten(1).all(1)
    assert torch.all(mirrored | same)
    assert 450 < int(mirrored.sum()) < 550


def test_shift_covers_all_offsets():
    """Some offsets would never come, or a batch would share one; what moves in must be zeros."""
    torch.manual_seed(0)
    given = torch.zeros(500, 2, 7, 9)
    given[:, :, 3, 4] = 1
    changed = augment(given, schema.Augment(shift=2))
    assert torch.equal(changed.sum((2, 3)), torch.ones(500, 2))
    at = changed.flatten(2).argmax(2)
    assert torch.equal(at[:, 0], at[:, 1]), "the channels came apart"
    offsets = {(int(i) // 9 - 3, int(i) % 9 - 4) for i in at[:, 0]}
    assert offsets == {(dy, dx) for dy in range(-2, 3) for dx in range(-2, 3)}


def test_shift_is_a_crop():
    """Pixels would be mixed up within an image."""
    torch.manual_seed(0)
    given = images(20)
    changed = augment(given, schema.Augment(shift=1))
    padded = torch.nn.functional.pad(given, (1, 1, 1, 1))
    for before, after in zip(padded, changed, strict=True):
        crops = [before[:, y : y + 8, x : x + 6] for y in range(3) for x in range(3)]
        assert any(torch.equal(crop, after) for crop in crops)


def test_rotation_by_next_to_nothing():
    """Rotation would blur or move images by itself."""
    assert torch.allclose(augment(images(), schema.Augment(rotation=1e-6)), images(), atol=1e-4)


def test_rotation_turns(monkeypatch):
    """A quarter turn would not be one: the angle, the centre or the aspect would be wrong."""
    given = images(1, 3, 9, 9)
    monkeypatch.setattr(torch, "rand", lambda *_, **__: torch.ones(1))
    changed = augment(given, schema.Augment(rotation=90.0))
    turned = [torch.allclose(changed, given.rot90(k, (2, 3)), atol=1e-5) for k in (1, -1)]
    assert sum(turned) == 1


def test_rotation_keeps_the_aspect(monkeypatch):
    """An image that is not square would be sheared: a half turn hides it, a quarter turn does not."""
    given = torch.zeros(1, 1, 9, 21)
    given[0, 0, 4, 8:13] = 1  # a line of 5 pixels across the centre
    monkeypatch.setattr(torch, "rand", lambda *_, **__: torch.ones(1))
    changed = augment(given, schema.Augment(rotation=90.0))
    expected = torch.zeros(1, 1, 9, 21)
    expected[0, 0, 2:7, 10] = 1
    assert torch.allclose(changed, expected, atol=1e-5)


def test_rotations_differ():
    """One angle would be drawn for a whole batch."""
    torch.manual_seed(0)
    given = images(1).expand(16, -1, -1, -1)
    changed = augment(given, schema.Augment(rotation=45.0))
    assert len({tuple(image.flatten().tolist()) for image in changed}) == 16
