"""Without this, a screen could offer a data set that is not there, or one that was cut short."""

import subprocess
import sys
from pathlib import Path

import pytest

from descent.common.errors import DataError
from engine.preset import datasets


def idx(*lengths: int, data: int) -> bytes:
    header = bytes([0, 0, 8, len(lengths)]) + b"".join(length.to_bytes(4, "big") for length in lengths)
    return header + bytes(data)


def write_mnist(root: Path) -> Path:
    folder = root / "MNIST" / "raw"
    folder.mkdir(parents=True)
    for part in ("train", "t10k"):
        (folder / f"{part}-images-idx3-ubyte").write_bytes(idx(5, 28, 28, data=5 * 784))
        (folder / f"{part}-labels-idx1-ubyte").write_bytes(idx(5, data=5))
    return folder


def test_no_torch() -> None:
    """Listing the data sets would make `descent --help` wait seconds for torch."""
    code = "import engine.preset.datasets, sys; print([m for m in ('torch', 'numpy') if m in sys.modules])"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


def test_is_there(tmp_path: Path) -> None:
    """A set that lies where torchvision puts it would be asked for again."""
    assert not datasets.is_there("mnist", tmp_path)
    write_mnist(tmp_path)
    assert datasets.is_there("mnist", tmp_path)
    assert not datasets.is_there("fashion-mnist", tmp_path)


@pytest.mark.parametrize("damage", [lambda p: p.unlink(), lambda p: p.write_bytes(p.read_bytes()[:-1])])
def test_missing_or_cut_short(tmp_path: Path, damage: object) -> None:
    """An interrupted download would be taken for a good set."""
    folder = write_mnist(tmp_path)
    damage(folder / "t10k-images-idx3-ubyte")  # type: ignore[operator]
    assert datasets.unusable_files("mnist", tmp_path) == ("t10k-images-idx3-ubyte",)


def test_cut_short_pickles(tmp_path: Path) -> None:
    """CIFAR's files have no header that tells their length: a cut one would be taken for a whole one."""
    folder = tmp_path / "cifar-100-python"
    folder.mkdir()
    for file in ("train", "test", "meta"):
        (folder / file).write_bytes(b"\x80\x02}.")
    assert datasets.is_there("cifar100", tmp_path)
    (folder / "train").write_bytes(b"\x80\x02}")
    (folder / "meta").write_bytes(b"")
    assert datasets.unusable_files("cifar100", tmp_path) == ("train", "meta")


def test_data_root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """--data-root and $DESCENT_DATA would be ignored."""
    assert datasets.data_root().parts[-2:] == ("descent", "data")
    monkeypatch.setenv("DESCENT_DATA", str(tmp_path / "named"))
    assert datasets.data_root() == tmp_path / "named"
    assert datasets.data_root(tmp_path) == tmp_path


def test_unknown_name() -> None:
    """A mistyped name would end in a traceback."""
    with pytest.raises(DataError, match="cifar10, cifar100"):
        datasets.entry("cifar")


def test_real_mnist(real_data: Path) -> None:
    """The MNIST that is at hand would not be found."""
    assert datasets.is_there("mnist", real_data)
