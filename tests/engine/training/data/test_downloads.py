"""Without this, a download could hang, lie, or leave behind what looks like a good set."""

import gzip
import io
import pickle
import tarfile

import numpy as np
import pytest
import torch
from torchvision import datasets as torchvision_sets

from descent.common.errors import CannotGoOnError, DataMissingError
from engine.preset import datasets
from engine.training.data.downloads import fetch
from tests.helpers.mirror import CuttingHandler, idx, md5, serve, tiny_mnist

__all__ = ["serve", "tiny_mnist"]


@pytest.fixture
def tiny_cifar10(tmp_path, monkeypatch):
    """50 + 10 images in a tar of pickles; torchvision is told their checksums."""
    random = np.random.default_rng(0)
    names = [f"data_batch_{i}" for i in range(1, 6)] + ["test_batch"]
    files = {}
    for name in names:
        pixels = random.integers(0, 256, (10, 3072), dtype=np.uint8)
        files[name] = pickle.dumps({"data": pixels, "labels": list(range(10))}, 2)
    files["batches.meta"] = pickle.dumps({"label_names": [f"class {i}" for i in range(10)]}, 2)
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as tar:
        for name, data in files.items():
            entry = tarfile.TarInfo(f"cifar-10-batches-py/{name}")
            entry.size = len(data)
            tar.addfile(entry, io.BytesIO(data))
    (tmp_path / "served").mkdir(exist_ok=True)
    (tmp_path / "served" / "cifar-10-python.tar.gz").write_bytes(packed.getvalue())
    cifar = torchvision_sets.CIFAR10
    monkeypatch.setattr(cifar, "tgz_md5", md5(packed.getvalue()))
    monkeypatch.setattr(cifar, "train_list", [[name, md5(files[name])] for name in names[:5]])
    monkeypatch.setattr(cifar, "test_list", [["test_batch", md5(files["test_batch"])]])
    monkeypatch.setattr(cifar, "meta", {**cifar.meta, "md5": md5(files["batches.meta"])})
    return files


def quiet(done, total):
    """No progress is looked at."""


def leftovers(root):
    return [path.name for path in root.rglob("*") if path.is_file()]


def test_mnist(tmp_path, serve, tiny_mnist, read, capsys):
    """`descent data fetch mnist` would not lead to a set that loads."""
    serve()
    seen = []
    root = tmp_path / "data"
    folder = fetch("mnist", root, lambda done, total: seen.append((done, total)))
    assert folder == root / "MNIST" / "raw"
    assert datasets.is_there("mnist", root)
    assert seen == sorted(seen)
    assert seen[-1] == (11_594_722, 11_594_722)
    assert capsys.readouterr() == ("", ""), "torchvision drew over the screen"
    assert [path.name for path in root.iterdir()] == ["MNIST"], "archives or staging were left behind"
    data = read(name="mnist", root=root, validation=0.25)
    assert data.input_shape == (1, 28, 28)
    assert data.classes == tuple("0123456789")
    assert [len(split.inputs) for split in (data.train, data.validation, data.test)] == [30, 10, 20]


def test_mirror_with_a_folder_for_each_set(tmp_path, serve, tiny_mnist):
    """MNIST and Fashion-MNIST have files of the same names: one mirror could not hold both."""
    (tiny_mnist / "mnist").mkdir()
    for path in tiny_mnist.glob("*.gz"):
        path.rename(tiny_mnist / "mnist" / path.name)
    serve()
    assert datasets.is_there("mnist", fetch("mnist", tmp_path / "data", quiet).parents[1])


def test_cifar10(tmp_path, serve, tiny_cifar10, read):
    """`descent data fetch cifar10` would not lead to a set that loads, or its colours be mixed up."""
    serve()
    root = tmp_path / "data"
    fetch("cifar10", root, quiet)
    data = read(name="cifar10", root=root, validation=0.2)
    assert data.input_shape == (3, 32, 32)
    assert data.classes[3] == "class 3"
    pixels = pickle.loads(tiny_cifar10["test_batch"])["data"].reshape(10, 3, 32, 32)
    assert torch.allclose(data.test.inputs, torch.from_numpy(pixels).float() / 255)


def test_a_good_set_is_not_fetched_again(tmp_path, serve, tiny_mnist):
    """Every call would download everything."""
    serve()
    fetch("mnist", tmp_path / "data", quiet)
    for path in tiny_mnist.glob("*.gz"):
        path.unlink()
    fetch("mnist", tmp_path / "data", quiet)


def test_altered_file(tmp_path, serve, tiny_mnist):
    """A file that was changed on the way would be trained on."""
    path = tiny_mnist / "t10k-labels-idx1-ubyte.gz"
    path.write_bytes(gzip.compress(idx(np.zeros(20))))
    serve()
    with pytest.raises(DataMissingError, match="mnist could not be downloaded") as caught:
        fetch("mnist", tmp_path / "data", quiet)
    assert "\n" not in str(caught.value)
    assert leftovers(tmp_path / "data") == []


@pytest.mark.parametrize("name", ["mnist", "cifar10"])
def test_server_hangs_up(tmp_path, serve, tiny_mnist, tiny_cifar10, name):
    """Half a file would be taken for a whole one."""
    serve(CuttingHandler)
    with pytest.raises(DataMissingError, match="could not be downloaded"):
        fetch(name, tmp_path / "data", quiet)
    assert leftovers(tmp_path / "data") == []
    assert not datasets.is_there(name, tmp_path / "data")


@pytest.mark.parametrize("name", ["mnist", "cifar10"])
def test_not_on_the_mirror(tmp_path, serve, name):
    """A wrong mirror would end in a traceback."""
    serve()
    with pytest.raises(DataMissingError, match="404") as caught:
        fetch(name, tmp_path / "data", quiet)
    assert "\n" not in str(caught.value)


def test_interrupted(tmp_path, serve, tiny_mnist):
    """Ctrl-C in the middle would leave half a set behind."""
    serve()

    def interrupt(done, total):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fetch("mnist", tmp_path / "data", interrupt)
    assert leftovers(tmp_path / "data") == []


def test_damaged_set_is_refused_and_replaced(tmp_path, serve, tiny_cifar10, read):
    """A file damaged on the disk would be trained on, and could not be mended by fetching again."""
    serve()
    root = tmp_path / "data"
    folder = fetch("cifar10", root, quiet)
    data = bytearray((folder / "data_batch_2").read_bytes())
    data[500] ^= 1
    (folder / "data_batch_2").write_bytes(data)
    with pytest.raises(DataMissingError, match="damaged") as caught:
        read(name="cifar10", root=root)
    assert caught.value.exit_code == 4
    fetch("cifar10", root, quiet)
    assert read(name="cifar10", root=root, validation=0.2).num_classes == 10


def test_cannot_be_stored(tmp_path):
    """A root that can't be a folder would end in a traceback."""
    (tmp_path / "file").write_text("")
    with pytest.raises(CannotGoOnError, match="--data-root"):
        fetch("mnist", tmp_path / "file" / "data", quiet)


@pytest.mark.parametrize("name", ["mnist", "fashion-mnist", "cifar10", "cifar100"])
def test_missing(tmp_path, read, name):
    """A person would not learn where it was looked for, nor how to get it."""
    with pytest.raises(DataMissingError) as caught:
        read(name=name)
    text = str(caught.value)
    assert caught.value.exit_code == 4
    for part in (str(tmp_path), f"descent data fetch {name}", "--data-root", "$DESCENT_DATA"):
        assert part in text


def test_catalogue_matches_torchvision():
    """`is_there` would look for other files than torchvision reads."""
    for known, found in (
        ("mnist", torchvision_sets.MNIST),
        ("fashion-mnist", torchvision_sets.FashionMNIST),
    ):
        entry = datasets.entry(known)
        assert entry.files == tuple(file.removesuffix(".gz") for file, _ in found.resources)
        assert entry.folder == f"{found.__name__}/raw"
    for known, found in (("cifar10", torchvision_sets.CIFAR10), ("cifar100", torchvision_sets.CIFAR100)):
        entry = datasets.entry(known)
        files = [file for file, _ in found.train_list + found.test_list] + [found.meta["filename"]]
        assert entry.files == tuple(files)
        assert entry.folder == found.base_folder


@pytest.mark.slow
def test_real_mnist(real_data, read):
    """The real digits would not load from a folder that can't be written."""
    data = read(name="mnist", root=real_data)
    assert [len(split.inputs) for split in (data.train, data.validation, data.test)] == [54000, 6000, 10000]
    assert float(data.train.inputs.max()) == 1
    assert float(data.train.inputs.mean()) == pytest.approx(0.1307, abs=0.001)
