"""The first losses of the shipped presets, which a change of the engine must not change unnoticed.

    python -m tests.tools.golden_losses [NAME …] [--data-root DIR]

writes tests/golden/NAME.json anew, for all presets whose data are at hand or for those named. Do so only after a
change that is meant to change what is trained, and say in the commit why it does.
"""

import argparse
import json
import os
import tempfile
import zipfile
from pathlib import Path

import numpy as np

from descent.run.metrics import Metrics
from engine.preset import find
from tests.tools.calibrate import ONE_THREAD, train

FOLDER = Path(__file__).parents[1] / "golden"
STEPS = 20
COMMON = (*ONE_THREAD, f"train.steps={STEPS}", "train.statistics_every=5")
MNIST = ("mnist-mlp", "mnist-lenet", "mnist-cnn")
# CIFAR-10 itself is not at hand where these were made: a few images of its JPEG copy stand for it, in batches that
# a CPU gets through in seconds. A deep net with BatchNorm and a large learning rate is chaotic: the 1e-7 by which
# two CPUs differ grew to 0.1 in 20 steps. With these small rates it stays below 1e-5.
CIFAR = {
    "cifar-cnn": ("train.batch_size=32", "optimizer.lr=0.00003"),
    "cifar-resnet18": ("train.batch_size=16", "model.width=16", "optimizer.lr=0.0003"),
}
IMAGES_A_CLASS = 32
# Nor is Fashion-MNIST: made images of its shape stand for it.
MADE = ("fashion-cnn",)
NAMES = tuple(sorted(path.stem for path in find.shipped_presets().glob("*.toml")))


def file_of(name: str) -> Path:
    return FOLDER / f"{name}.json"


def needs_real_data(name: str) -> bool:
    return name in MNIST or name in CIFAR


def first_losses(name: str, folder: Path, data_root: Path | None) -> tuple[list[float], list[str]]:
    """The losses of the first steps, and the settings they were made with. The run lies in `folder`."""
    overrides = [*COMMON, *stand_in(name, folder, data_root)]
    run = train(name, overrides, runs=folder / "runs", run_id=name, data_root=data_root)
    # Paths of today's folder say nothing to whoever reads the file.
    told = [text for text in overrides if not text.startswith("data.path=")]
    return [float(loss) for loss in Metrics(run.path).column("loss")], told


def stand_in(name: str, folder: Path, data_root: Path | None) -> list[str]:
    """Overrides that name data in `folder`, made here, where a preset's own data can't be had."""
    if name in MADE:
        generator = np.random.RandomState(0)
        labels = generator.permutation(np.arange(1000) % 10)
        pixels = (generator.rand(10, 1, 28, 28)[labels] + generator.rand(1000, 1, 28, 28)) / 2
        np.savez(folder / "made.npz", x=pixels.astype(np.float32), y=labels)
        return ["data.name=npz", f"data.path={folder / 'made.npz'}"]
    if name in CIFAR:
        assert data_root is not None
        extract(data_root / "cifar10-jpeg.zip", folder / "images")
        return ["data.name=images", f"data.path={folder / 'images'}", *CIFAR[name]]
    return []


def extract(archive: Path, folder: Path) -> None:
    """The first training images of each class."""
    taken: dict[str, int] = {}
    with zipfile.ZipFile(archive) as images:
        for name in sorted(images.namelist()):
            parts = name.split("/")
            if "train" not in parts[:-2] or not name.endswith(".jpg"):
                continue
            label = parts[-2]
            if taken.setdefault(label, 0) < IMAGES_A_CLASS:
                taken[label] += 1
                (folder / label).mkdir(parents=True, exist_ok=True)
                (folder / label / parts[-1]).write_bytes(images.read(name))


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.tools.golden_losses", description=__doc__.splitlines()[0])
    parser.add_argument("names", metavar="NAME", nargs="*")
    parser.add_argument("--data-root", type=Path, help="where MNIST and cifar10-jpeg.zip lie")
    given = parser.parse_args()
    for name in given.names or NAMES:
        if given.data_root is None and needs_real_data(name):
            print(f"{name}: left as it is; its data are named with --data-root")
            continue
        with tempfile.TemporaryDirectory(prefix="golden-") as folder:
            for variable in ("XDG_STATE_HOME", "XDG_CACHE_HOME"):  # these runs are nobody's
                os.environ[variable] = folder
            losses, overrides = first_losses(name, Path(folder), given.data_root)
        content = {"preset": name, "overrides": overrides, "losses": losses}
        file_of(name).write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
        print(f"{name}: {losses[0]:.6g} … {losses[-1]:.6g}")


if __name__ == "__main__":
    main()
