"""On a GPU, every shipped preset must train, and no step may wait for the device."""

from pathlib import Path

import numpy as np
import pytest
import torch

from descent.run.metrics import Metrics
from engine.preset import find
from engine.preset.loading import load_preset
from tests.engine.training.conftest import Train

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU"),
]

SHIPPED = sorted(file.stem for file in find.shipped_presets().glob("*.toml"))
IMAGES = {"fashion-mnist": (1, 28), "cifar10": (3, 32)}  # shapes of the sets that are not at hand


def _stand_in(preset: str, tmp_path: Path) -> list[str]:
    """Random images of the right shape in place of sets that only a download could bring."""
    name = load_preset(preset).data.name
    if name not in IMAGES:
        return []
    channels, side = IMAGES[name]
    draw = np.random.default_rng(0)
    images = draw.random((2000, channels, side, side), dtype=np.float32)
    np.savez(tmp_path / "images.npz", x=images, y=np.arange(2000) % 10)
    return ["data.name=npz", f"data.path={tmp_path / 'images.npz'}"]


@pytest.mark.parametrize("preset", SHIPPED)
def test_every_shipped_preset_trains_on_it(
    preset: str, train: Train, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    needs_mnist = load_preset(preset).data.name == "mnist"
    root = request.getfixturevalue("real_data") if needs_mnist else Path("nowhere")
    run = train(preset, "train.device=cuda", "train.steps=30", *_stand_in(preset, tmp_path), root=root)
    assert run.facts()["device"] == "cuda"
    assert np.isfinite(Metrics(run.path).column("loss")).all()


@pytest.mark.parametrize("optimizer", ["sgd", "adam", "adamw"])
def test_fp16_trains_with_each_optimizer_that_can(train: Train, optimizer: str) -> None:
    run = train("digits-mlp", "train.device=cuda", "train.precision=fp16", f"optimizer.name={optimizer}")
    loss = Metrics(run.path).column("loss")
    assert np.isfinite(loss).all()
    assert loss[-40:].mean() < loss[:40].mean()


def test_no_step_copies_anything_to_the_host(train: Train) -> None:
    """Copies come ten times a second, however many steps a second there are."""

    def copies(steps: int) -> int:
        with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CUDA]) as profile:
            train(
                "digits-mlp",
                "train.device=cuda",
                f"train.steps={steps}",
                "train.clip_norm=1.0",
                "train.evaluate_every=1000000",
                "train.checkpoint_every=1000000",
            )
        return sum("DtoH" in event.name for event in profile.events())

    copies(50)
    assert copies(850) - copies(50) < 80


def test_a_checkpoint_holds_the_generator_of_the_device(train: Train) -> None:
    """Without it, a resumed run would drop other units than the one that was stopped."""
    settings = ("train.device=cuda", "model.dropout=0.5", "train.checkpoint_every.steps=20", "train.keep=9")
    whole = train("digits-mlp", *settings, "train.steps=60")
    state = torch.load(whole.checkpoint(40), weights_only=True)
    assert state["random"]["cuda"] is not None
