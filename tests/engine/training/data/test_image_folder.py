"""Without this, a folder of photographs could not be trained on, or would be with wrong labels."""

import io
import shutil
import zipfile

import numpy as np
import platformdirs
import pytest
import torch
from PIL import Image

from descent.common.errors import DataError, DataMissingError
from engine.preset import schema
from engine.training.data import image_folder as images_module
from engine.training.data.image_layout import list_images
from engine.training.members.folds import load_pool


def picture(value, size=(6, 4), mode="RGB", kind="png"):
    colour = value if mode != "RGB" or isinstance(value, tuple) else (value, 0, 255 - value)
    written = io.BytesIO()
    Image.new(mode, size, colour).save(written, kind)
    return written.getvalue()


def plain(count=4, prefix=""):
    files = {}
    for label, name in enumerate(("cat", "dog")):
        for i in range(count):
            files[f"{prefix}{name}/{i}.png"] = picture(100 * label + i)
    return files


def with_test(prefix=""):
    return {**plain(4, f"{prefix}train/"), **plain(2, f"{prefix}test/")}


@pytest.fixture(params=["folder", "zip"])
def pack(request, tmp_path):
    """pack(files) writes them as a folder or as a zip file."""

    def pack(files):
        path = tmp_path / "pets"
        if request.param == "folder":
            shutil.rmtree(path, ignore_errors=True)
            for name, data in files.items():
                (path / name).parent.mkdir(parents=True, exist_ok=True)
                (path / name).write_bytes(data)
            return str(path)
        path = path.with_suffix(".zip")
        with zipfile.ZipFile(path, "w") as archive:
            for name, data in files.items():
                archive.writestr(name, data)
        return str(path)

    return pack


def load(read, path, **section):
    return read(name="images", path=path, **{"validation": 0.0, **section})


def test_classes_from_folders(pack, read):
    """Labels would not be the folders' names, or pixels not be in [0, 1] with colours first."""
    files = {**plain(), "readme.txt": b"", "cat/.hidden.png": b"", "__MACOSX/cat/._0.png": b""}
    data = load(read, pack(files), test=0.0)
    assert data.classes == ("cat", "dog")
    assert data.input_shape == (3, 4, 6)
    assert data.train.targets.tolist() == [0] * 4 + [1] * 4
    assert "images of each class: 4" in data.notes
    reds = data.train.inputs[:, 0, 0, 0] * 255
    assert reds.round().int().tolist() == [0, 1, 2, 3, 100, 101, 102, 103]


@pytest.mark.parametrize("prefix", ["", "top/", "a/b/"])
def test_train_and_test_folders(pack, read, prefix):
    """train and test would be taken for classes, or a folder above them get in the way."""
    data = load(read, pack(with_test(prefix)))
    assert data.classes == ("cat", "dog")
    assert len(data.train.inputs) == 8
    assert len(data.test.inputs) == 4
    assert data.test.targets.tolist() == [0, 0, 1, 1]


def test_validation_folder(pack, read):
    """Images meant for validation would be trained on, or left out, and other images be validated on."""
    data = load(read, pack({**with_test(), **plain(1, "val/")}), validation=0.1)
    assert (len(data.train.inputs), len(data.validation.inputs), len(data.test.inputs)) == (8, 2, 4)
    assert data.validation.targets.tolist() == [0, 1]
    assert "splits by folders: train 'train' (8), validation 'val' (2), test 'test' (4)" in data.notes


def test_missing_splits_are_cut(pack, read):
    """A folder of training and validation images would end without a test, or not say what it was tested on."""
    data = load(read, pack({**plain(10, "train/"), **plain(2, "val/")}), test=0.2)
    assert (len(data.train.inputs), len(data.validation.inputs), len(data.test.inputs)) == (16, 4, 4)
    assert "no test folder: 20% of the training images are held out for it (data.test)" in data.notes


def test_shares_that_do_nothing(pack, read):
    """A share in the preset that the folders overrule would do nothing, unsaid."""
    data = load(read, pack({**with_test(), **plain(1, "val/")}), test=0.3, validation=0.3)
    assert sum("is not used" in note for note in data.notes) == 2


def test_folds_with_a_validation_folder(pack, tmp_path):
    """Images of a validation folder would never be trained on, or stop the folds."""
    files = {**plain(4, "train/"), **plain(2, "val/"), **plain(2, "test/")}
    section = schema.ImagesData(name="images", path=pack(files))
    pool, folds = load_pool(section, 3, root=tmp_path, device=torch.device("cpu"), code=None)
    assert pool.train.targets.tolist() == [0] * 4 + [1] * 4 + [0] * 2 + [1] * 2
    reds = pool.train.inputs[:, 0, 0, 0] * 255
    assert reds.round().int().tolist() == [0, 1, 2, 3, 100, 101, 102, 103, 0, 1, 100, 101]
    assert sorted(torch.cat(folds.validation).tolist()) == list(range(12))
    assert len(pool.test.inputs) == 4


def test_a_single_folder_above(pack, read):
    """Classes below one folder would be taken for a single class."""
    assert load(read, pack(plain(prefix="train/"))).classes == ("cat", "dog")


def test_grey_and_size(pack, read):
    """data.channels and data.image_size would be ignored."""
    data = load(read, pack(plain()), channels=1, image_size=3)
    assert data.input_shape == (1, 3, 3)


def test_a_size_that_may_have_been_meant_in_pixels(pack, read):
    """A folder of thousands would train on 32 images, without a word."""
    path = pack(plain(8))
    assert any("data.image_size" in note for note in load(read, path, size=4).notes)
    assert not any("data.image_size" in note for note in load(read, path, size=4, image_size=8).notes)
    assert not any("data.image_size" in note for note in load(read, path).notes)


def test_treatment_is_said(pack, read):
    """A person would not know what was done to the images, or know it in the first run only."""
    files = {**plain(), "dog/1.png": picture((0, 0, 0, 0), (9, 9), mode="RGBA"), "dog/2.png": picture(9, (12, 4))}
    path = pack(files)
    for _time in ("decoded", "from the cache"):
        notes = load(read, path, image_size=8).notes
        assert "images of 6 × 4 to 9 × 9 were scaled to 8 × 8" in notes
        assert "7 images are not square, and were stretched to be" in notes
        assert "1 image with transparent parts was laid on white" in notes
        assert "8 images are of one colour throughout" in notes


def test_all_damaged_images_are_named(pack, read):
    """A person would find damaged images one by one, a run for each."""
    damaged = {f"dog/{i}.png": picture(i)[:45] for i in range(20)}
    with pytest.raises(DataError, match=r"20 images can't be read.*dog/0\.png: .*; dog/1\.png: .* and 8 more"):
        load(read, pack({**plain(), **damaged}))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"dog/1.png": picture(0, (9, 9))},
            r"dog/1\.png has the size 9 × 9, but .* has the size 6 × 4\..*data\.image_size",
        ),
        ({"dog/1.png": b"not an image"}, r"dog/1\.png can't be read: not an image"),
        ({"cat/0.png": b"not an image"}, r"cat/0\.png can't be read: not an image"),
        ({"dog/1.png": picture(0)[:45]}, r"dog/1\.png can't be read"),
        ({"1.png": picture(0)}, r"1\.png is not in a class's folder\. Expected is a folder"),
    ],
)
def test_what_cannot_be(pack, read, change, message):
    """One bad file among thousands would not be named."""
    with pytest.raises(DataError, match=message):
        load(read, pack({**plain(), **change}))


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"readme.txt": b""}, "no images, only 1 other file"),
        ({"cat/1.png": picture(0)}, "images of one class only, 'cat'"),
    ],
)
def test_layouts_that_cannot_be(pack, read, files, message):
    """A wrong layout would end in a traceback."""
    with pytest.raises(DataError, match=message):
        load(read, pack(files))


def test_differing_sizes_with_image_size(pack, read):
    """image_size, which the message advises, would not help."""
    data = load(read, pack({**plain(), "dog/1.png": picture(0, (9, 9))}), image_size=8)
    assert data.input_shape == (3, 8, 8)


def test_not_a_zip(tmp_path, read):
    """A file of another kind would end in a traceback."""
    (tmp_path / "pets.zip").write_bytes(b"hello")
    with pytest.raises(DataError, match="neither a folder nor a zip"):
        load(read, str(tmp_path / "pets.zip"))
    with pytest.raises(DataMissingError, match=r"Did you mean 'pets\.zip'"):
        load(read, str(tmp_path / "pet.zip"))


def test_damaged_zip(tmp_path, read):
    """An image whose bytes changed in the zip file would be trained on."""
    path = tmp_path / "pets.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in plain().items():
            archive.writestr(name, data)
    data = bytearray(path.read_bytes())
    data[data.index(b"IDAT") + 6] ^= 0xFF
    path.write_bytes(data)
    with pytest.raises(DataError, match=r"cat/0\.png can't be read: Bad CRC"):
        load(read, str(path))


def cache():
    folder = platformdirs.user_cache_path("descent") / "images"
    return sorted(folder.iterdir()) if folder.is_dir() else []


def test_cache(pack, read, monkeypatch):
    """60,000 images would be decoded for every run."""
    path = pack(with_test())
    first = load(read, path, channels=1)
    assert len(cache()) == 2
    monkeypatch.setattr(images_module.Images, "_decode", lambda *_: pytest.fail("decoded again"))
    second = load(read, path, channels=1)
    assert torch.equal(first.train.inputs, second.train.inputs)
    assert torch.equal(first.test.inputs, second.test.inputs)


def test_cache_follows_changes(pack, read):
    """A changed image, or other settings, would give the old pixels; or old pixels would pile up."""
    load(read, pack(plain()), test=0.0)
    changed = load(read, pack({**plain(), "cat/0.png": picture(77), "dog/9.png": picture(5)}), test=0.0)
    assert round(float(changed.train.inputs[0, 0, 0, 0]) * 255) == 77
    assert len(cache()) == 1
    small = load(read, pack({**plain(), "cat/0.png": picture(77)}), image_size=2, test=0.0)
    assert small.input_shape == (3, 2, 2)


def test_cache_of_another_version(pack, read, monkeypatch):
    """Pixels as an earlier version decoded them would be trained on, or pile up."""
    path = pack(plain())
    load(read, path, test=0.0)
    before = cache()
    monkeypatch.setattr(images_module, "_VERSION", 1)
    load(read, path, test=0.0)
    assert len(cache()) == 1
    assert cache() != before


@pytest.mark.parametrize("damage", [lambda p: p.write_bytes(b"x"), lambda p: p.write_bytes(p.read_bytes()[:-9])])
def test_damaged_cache(pack, read, damage):
    """A cache that was cut short by a full disk would stop every run."""
    path = pack(plain())
    first = load(read, path, test=0.0)
    damage(cache()[0])
    assert torch.equal(load(read, path, test=0.0).train.inputs, first.train.inputs)


def test_no_cache_folder(pack, read, tmp_path, monkeypatch):
    """A home that can't be written would stop every run."""
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert len(load(read, pack(plain()), test=0.0).train.inputs) == 8


def test_memory(pack, read, monkeypatch):
    """Images beyond the memory would get the worker killed instead of a word on what to set."""
    path = pack(with_test())
    one = 5 * 3 * 4 * 6
    monkeypatch.setattr(images_module, "free_memory", lambda _: 2 * 5 * one)
    message = r"8 images of 6 × 4 take .* Set data\.image_size to 3 or less, or data\.size to 5 or fewer"
    with pytest.raises(DataError, match=message):
        load(read, path)
    assert len(load(read, path, size=5).train.inputs) == 5
    assert len(load(read, path, image_size=3).train.inputs) == 8
    assert len(load(read, path, kept="bytes").train.inputs) == 8
    with pytest.raises(DataError, match=r"data\.size to 4 or fewer"):
        load(read, path, kept="bytes", scaling="standard")  # they are numbers, too, while it is fitted


@pytest.mark.parametrize(
    ("of_host", "why"), [(1200, None), (864, r"free memory on cpu is .* data\.size to 6 or fewer")]
)
def test_memory_of_bytes_on_a_gpu(pack, of_host, why, monkeypatch):
    """Images that fit as bytes would be refused, as if they were float32 there, or the host's memory run out."""
    gpu = torch.device("meta")
    images = images_module.read(schema.ImagesData(name="images", path=str(pack(plain()))), gpu).inputs
    assert images.shape == (8, 3, 4, 6)  # 576 bytes
    monkeypatch.setattr(images_module, "free_memory", lambda device: 1440 if device == gpu else of_host)
    if why is None:
        assert len(images[np.arange(8)]) == 8
        return
    with pytest.raises(DataError, match=why):
        images[np.arange(8)]


@pytest.mark.slow
def test_real_cifar10(real_data, read):
    """A real zip of train and test folders below one folder would not load."""
    path = real_data / "cifar10-jpeg.zip"
    listing = list_images(path)
    assert len(listing.train) == 50_000
    assert len(listing.test) == 10_000
    assert len(listing.classes) == 10
