"""Where a package is missing, only what needs it is refused, and by name."""

import sys
from pathlib import Path

import pytest
import torch

from descent.common.errors import CannotGoOnError
from descent.run.folder import RunFolder
from engine.preset.loading import load_preset
from engine.training.build import build

SKLEARN = ("sklearn", "sklearn.datasets", "sklearn.model_selection")
TORCHVISION = ("torchvision", "torchvision.models")
RESNET = 'model={name="torchvision", architecture="resnet18"}'


@pytest.mark.parametrize(
    ("missing", "preset", "settings", "said"),
    [
        (SKLEARN, "digits-mlp", ["data.name=iris"], 'data.name = "iris" needs scikit-learn'),
        (SKLEARN, "moons-mlp", ["members.folds=3"], "members.folds = 3 needs scikit-learn"),
        (TORCHVISION, "digits-mlp", [RESNET], 'model.name = "torchvision" needs torchvision'),
        (TORCHVISION, "digits-mlp", [], None),
        ((*SKLEARN, *TORCHVISION), "moons-mlp", [], None),
    ],
)
def test_a_missing_package_is_named_by_what_needs_it(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    missing: tuple[str, ...],
    preset: str,
    settings: list[str],
    said: str | None,
) -> None:
    """An environment with a PyTorch of its own and nothing else would train nothing, by "a bug in Descent"."""
    for name in missing:
        monkeypatch.setitem(sys.modules, name, None)
    loaded = load_preset(preset, settings)
    arguments = (loaded, RunFolder(tmp_path), tmp_path, torch.device("cpu"))
    if said is None:
        assert build(*arguments, fresh=True).step == 0
        return
    with pytest.raises(CannotGoOnError, match=rf"{said}, which can't be imported here .*install it for .*python"):
        build(*arguments, fresh=True)
