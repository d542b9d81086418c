"""Without this, images whose classes are in a table beside them could not be trained on, or with wrong classes."""

import io

import pytest
from PIL import Image

from descent.common.errors import DataError, DataMissingError
from engine.training.data.image_layout import list_images


@pytest.fixture
def folder(tmp_path):
    """folder(table) writes five images, in two folders, and labels.csv."""

    def folder(table):
        written = io.BytesIO()
        Image.new("L", (2, 2)).save(written, "png")
        for name in ("1.png", "2.png", "3.png", "more/4.png", "more/5.png"):
            (tmp_path / name).parent.mkdir(exist_ok=True)
            (tmp_path / name).write_bytes(written.getvalue())
        (tmp_path / "labels.csv").write_text(table)
        return tmp_path

    return folder


@pytest.mark.parametrize(
    "table",
    [
        "filename,label\n1.png,cat\n2.png,dog\n3.png,cat\n4.png,dog\n",
        "id,breed\n1,cat\n2,dog\n3,cat\n4,dog\n",
        "label,width,path\ncat,2,./1.png\ndog,2,set\\\\2.png\ncat,2,x/3.png\ndog,2,more/4.png\n",
    ],
)
def test_classes_by_a_table(folder, table):
    """A competition's images would have to be sorted into folders first, or get the classes of others."""
    listing = list_images(folder(table), "labels.csv")
    assert listing.classes == ("cat", "dog")
    assert [(image.file, image.label) for image in listing.train] == [
        ("1.png", 0),
        ("2.png", 1),
        ("3.png", 0),
        ("more/4.png", 1),
    ]
    assert "1 image left out, because labels.csv does not name it" in listing.notes


def test_rows_without_an_image(folder):
    """Rows whose images are missing would be left out unsaid."""
    listing = list_images(folder("f,label\n1.png,a\n2.png,b\n8.png,a\n9.png,b\n"), "labels.csv")
    assert "2 rows of labels.csv left out, because there are no such images" in listing.notes


@pytest.mark.parametrize(
    ("table", "target", "message"),
    [
        ("f,a,b\n1.png,x,y\n2.png,y,x\n", None, r"which column holds the classes\? Set data\.target to .*'a', 'b'"),
        ("f,kind\n1.png,x\n2.png,y\n", "kinds", r"no column 'kinds' \(data\.target\).*Did you mean 'kind'"),
        ("f,label\n1.png,x\n2.png,\n", None, r"line 3: the image has no class"),
        ("f,label\n1.png,x\n2.png,y\n1.png,y\n", None, r"line 4: 1\.png is 'y' here, but 'x' before"),
        ("f,label\n7.jpg,x\n8.jpg,y\n", None, r"names no image of .* no column holds names such as '1\.png'"),
        ("f,label\n1.png,x\n2.png,x\n", None, r"images of one class only, 'x'"),
    ],
)
def test_tables_that_cannot_be(folder, table, target, message):
    """A wrong table would end in a traceback, or in classes made of another column."""
    with pytest.raises(DataError, match=message):
        list_images(folder(table), "labels.csv", target)


def test_the_way_is_told(folder, tmp_path):
    """A person would not learn that the table can be used, or that its name is mistyped."""
    folder("f,label\n1.png,x\n2.png,y\n")
    for name in ("4.png", "5.png"):
        (tmp_path / "more" / name).unlink()
    with pytest.raises(DataError, match=r'If labels\.csv names their classes, set data\.labels = "labels\.csv"'):
        list_images(tmp_path)
    with pytest.raises(DataMissingError, match=r"data\.labels = .*Did you mean 'labels\.csv'"):
        list_images(tmp_path, "label.csv")


def test_a_table_beside_the_folder_is_found(tmp_path):
    """A competition's labels.csv, which lies beside the folders of the images, would not be thought of."""
    for name in ("train/1.png", "train/2.png", "test/3.png"):
        (tmp_path / "set" / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (2, 2)).save(tmp_path / "set" / name)
    (tmp_path / "set" / "sizes.csv").write_text("of,size\nall,2\n")
    (tmp_path / "set" / "labels.csv").write_text("id,breed\n1,x\n2,y\n")
    with pytest.raises(DataError, match=r'names of splits.* If labels\.csv names.* data\.labels = "labels\.csv"'):
        list_images(tmp_path / "set")
    with pytest.raises(DataError, match=r'data\.labels = "\.\./labels\.csv"'):
        list_images(tmp_path / "set" / "train")
    assert list_images(tmp_path / "set" / "train", "../labels.csv").classes == ("x", "y")


def test_a_class_without_images_is_told_before_any_table(tmp_path):
    """Any table with small numbers beside the folder would pass for one that names 1.png."""
    for name in ("set/cat/1.png", "set/cat/2.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (2, 2)).save(tmp_path / name)
    (tmp_path / "set" / "dog").mkdir()
    (tmp_path / "set" / "dog" / "1.docx").touch()
    (tmp_path / "results.csv").write_text("run,score\n1,9\n2,8\n")
    with pytest.raises(DataError, match=r"no images in 'dog' \(1 \.docx\)"):
        list_images(tmp_path / "set")
