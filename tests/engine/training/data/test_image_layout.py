"""Without this, folders of images that lie as people have them would be trained on with wrong classes or splits."""

import io
import os
import zipfile
from unicodedata import normalize

import pytest
from PIL import Image

from descent.common.errors import DataError
from engine.training.data.image_layout import list_images


def picture(kind="png"):
    written = io.BytesIO()
    Image.new("L", (2, 2)).save(written, kind)
    return written.getvalue()


@pytest.fixture
def listed(tmp_path):
    """listed(names) lists a folder with pictures of these names. Other contents: {name: bytes}."""

    def listed(names, others=None):
        for name, data in {**dict.fromkeys(names, picture()), **(others or {})}.items():
            file = tmp_path / "set" / name
            if name.endswith("/"):
                file.mkdir(parents=True)
            else:
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_bytes(data)
        return list_images(tmp_path / "set")

    return listed


def below(*folders, classes=("cat", "dog")):
    return [f"{folder}/{name}/{i}.png" for folder in folders for name in classes for i in range(2)]


def counts(listing):
    return len(listing.train), len(listing.validation), len(listing.test)


@pytest.mark.parametrize(
    ("folders", "expected"),
    [
        (("train", "val"), (4, 4, 0)),
        (("train", "test"), (4, 0, 4)),
        (("train", "val", "test"), (4, 4, 4)),
        (("Training", "VALIDATION", "Testing"), (4, 4, 4)),
        (("train_set", "valid", "test-set"), (4, 4, 4)),
        (("TrainData", "dev", "holdout"), (4, 4, 4)),
        (("1.Training", "2.Validation"), (4, 4, 0)),
        (("train2017", "val2017", "test2017"), (4, 4, 4)),
        (("train", "eval"), (4, 4, 0)),
        (("train", "eval", "test"), (4, 4, 4)),
        (("train", "val", "evaluation"), (4, 4, 4)),
        (("학습", "검증", "시험"), (4, 4, 4)),
        (("훈련데이터", "테스트데이터"), (4, 0, 4)),
        (("seg_train/seg_train", "seg_test/seg_test"), (4, 0, 4)),
        (("top/train", "top/val"), (4, 4, 0)),
        (("train/images", "val/images"), (4, 4, 0)),
    ],
)
def test_splits(listed, folders, expected):
    """A net would learn to tell training from validation images, or validate on what it was trained on."""
    listing = listed(below(*folders))
    assert listing.classes == ("cat", "dog")
    assert counts(listing) == expected


def test_splits_in_classes(listed):
    """Test images would be trained on if the classes' folders are above those of the splits."""
    listing = listed(
        [f"{name}/{split}/{i}.png" for name in ("cat", "dog") for split in ("train", "test") for i in "12"]
    )
    assert listing.classes == ("cat", "dog")
    assert counts(listing) == (4, 0, 4)


def test_nested_folders(listed):
    """Images sorted by month within a class would be refused, or the months be taken for classes."""
    listing = listed(["cat/may/1.png", "cat/june/old/2.png", "dog/3.png"])
    assert [image.label for image in listing.train] == [0, 0, 1]


@pytest.mark.parametrize(
    "names", [["train/1.png", "bus/2.png", "tram/3.png"], ["steam_train/1.png", "bullet_train/2.png"]]
)
def test_trains_as_a_class(listed, names):
    """Pictures of trains could not be a class."""
    listing = listed(names)
    assert len(listing.classes) == len(names)
    assert counts(listing) == (len(names), 0, 0)


def test_images_without_classes(listed):
    """The images that a competition wants to have predicted would be a class, or stop the training."""
    listing = listed([*below("train"), "test/1.png", "test/2.png", "test/3.png", "sample.png"])
    assert counts(listing) == (4, 0, 0)
    assert "3 images of 'test' left out, because they are in no classes' folders" in listing.notes
    assert "1 image left out, because it is in no folder of a split, but in '.'" in listing.notes


def test_other_folders_beside_the_splits(listed):
    """A folder of images that is not used would go unsaid."""
    listing = listed([*below("train", "val"), "more/1.png", "more/cat/2.png"])
    assert counts(listing) == (4, 4, 0)
    assert "2 images left out, because they are in no folder of a split, but in 'more'" in listing.notes


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (
            ["train/1.png", "val/2.png"],
            r"'train', 'val' are the names of splits, but there are no folders of classes",
        ),
        (below("val", "test"), r"folders of splits, 'test', 'val', but none with images to train on\. Name it train"),
        (below("val", "validation", "train"), r"'val' and 'validation' are both folders of the validation split"),
        (below("train", "training"), r"'train' and 'training' are both folders of the training split"),
        (["train/cat/1.png", "bus/2.png"], r"'train' may be the training split or a class.*'bus' beside it"),
        ([*below("train", "test"), "train/3.png"], r"train/3\.png is not in a class's folder"),
        (
            ["1.png", "2.png"],
            r'in no classes\' folders, and no table .* "1\.png,cat" .* data\.labels = "labels\.csv"\.$',
        ),
        (["cat1.png", "dog1.png", "cat2.png", "dog2.png"], r"seem to begin with the class: 'cat', 'dog'\.$"),
        (["images/1.png", "masks/1.png"], r"'images' and 'masks' are the names of images and of their masks"),
        (
            [f"{part}/{way}/1.png" for part in ("train", "val") for way in ("img", "Label")],
            r"'img' and 'Label' are the",
        ),
        (
            ["JPEGImages/1.png", "SegmentationClass/1.png", "SegmentationObject/1.png"],
            r"names of images and of their",
        ),
        ([*below("train", "test"), "test/cow/1.png"], r"test images of 'cow', but no training images"),
        ([*below("train", "val"), "val/Cat/1.png"], r"validation images of 'Cat', but no.*Did you mean 'cat'"),
        ([*below("."), "all/cat/1.png", "all/dog/1.png"], r"'all' would be a class, but holds 'cat', 'dog'.*a copy"),
        ([*below("."), "cow/"], r"no images in 'cow' \(empty\)\. Add the missing ones"),
    ],
)
def test_layouts_that_cannot_be(listed, names, message):
    """A layout that may mean several things would be trained on as one of them, unsaid."""
    with pytest.raises(DataError, match=message):
        listed(names)


def test_classes_that_are_called_like_masks(listed):
    """Photographs of masks and of faces would be taken for a set of another task."""
    assert listed(below(".", classes=("face", "mask"))).classes == ("face", "mask")


def test_a_class_without_images(listed):
    """A class whose images are all of a kind that can't be read would vanish."""
    others = {f"cow/{i}.heic": b"heic" for i in range(3)} | {"cow/notes.txt": b""}
    with pytest.raises(DataError, match=r"no images in 'cow' \(3 \.heic, 1 \.txt\).*must be converted"):
        listed(below("."), others)


def test_left_out_files_are_counted(listed):
    """Files that are no images would be left out unsaid; or those that a system adds be complained about."""
    others = {
        **{f"cat/{i}.txt": b"a" for i in range(3)},
        "dog/README": b"a",
        **dict.fromkeys(("cat/Thumbs.db", "dog/.DS_Store", "desktop.ini", "__MACOSX/cat/._0.png"), b"a"),
    }
    listing = listed(below("."), others)
    assert listing.notes == ("4 files left out, because they are not images: 3 .txt, 1 without an ending",)


@pytest.mark.parametrize(
    ("name", "kind"), [("1.jfif", "jpeg"), ("1", "png"), ("1.png.bak", "png"), ("1.tga", "tga"), ("1.JPG", "jpeg")]
)
def test_unusual_endings(listed, name, kind):
    """Images that any viewer shows would be left out, and a class of them with it."""
    listing = listed(below("."), {f"owl/{name}": picture(kind)})
    assert listing.classes == ("cat", "dog", "owl")


def test_broken_link(listed, tmp_path):
    """A link that leads nowhere would be blamed on the whole folder."""
    listed(below("."))
    (tmp_path / "set/cat/9.png").symlink_to("../gone.png")
    with pytest.raises(DataError, match=r"set/cat/9\.png is a link to \.\./gone\.png, which can't be reached"):
        list_images(tmp_path / "set")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_folder_that_may_not_be_read(listed, tmp_path):
    """A class whose folder is closed to the user would vanish."""
    listed(below("."))
    (tmp_path / "set/cat").chmod(0)
    with pytest.raises(DataError, match=r"set/cat can't be read: Permission denied"):
        list_images(tmp_path / "set")


def test_names_in_two_forms_of_unicode(listed):
    """A folder from a Mac and one from elsewhere with the same name would be two classes."""
    composed, decomposed = (normalize(form, "고양이") for form in ("NFC", "NFD"))
    listing = listed([f"train/{composed}/1.png", "train/개/2.png", f"test/{decomposed}/3.png", "test/개/4.png"])
    assert listing.classes == ("개", composed)
    assert not listing.notes
    again = listed([f"train/{decomposed}/5.png"])
    assert again.classes == ("개", composed)
    assert any("has 2 folders, whose names differ only in the form of Unicode" in note for note in again.notes)


@pytest.mark.parametrize(
    ("names", "encoding"),
    [
        (("개/1.png", "고양이/1.png"), "cp949"),
        (("개/1.png", "고양이/1.png"), "utf-8"),
        (("cat\\1.png", "dog\\1.png"), "ascii"),
    ],
)
def test_zip_files_of_windows(tmp_path, names, encoding):
    """Korean names in a zip file from Windows would be gibberish, or backslashes would hide the folders."""
    path = tmp_path / "set.zip"
    written = [name.encode(encoding) for name in names]
    with zipfile.ZipFile(path, "w") as archive:
        for number, name in enumerate(written):
            archive.writestr(f"{number}".ljust(len(name), "_"), picture())
    data = path.read_bytes()
    for number, name in enumerate(written):  # Python itself would mark the names as UTF-8
        data = data.replace(f"{number}".ljust(len(name), "_").encode(), name)
    path.write_bytes(data)
    listing = list_images(path)
    assert listing.classes == tuple(name[:-6] for name in names)
    assert listing.source.read(listing.train[0].file) == picture()
