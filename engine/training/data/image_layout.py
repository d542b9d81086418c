"""Which images are for training, for validation and for the test, and of which class, by the folders they lie in.

Below the folders that all images share, there is a folder for each class, or a folder for each split with folders of
the classes in it, or the other way round. Images may lie deeper below a class's folder.
"""

import re
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple
from unicodedata import normalize

from descent.common.errors import DataError
from descent.common.i18n import N_, _, ngettext
from engine.training.data.array_files import likely, listed
from engine.training.data.image_files import (
    Files,
    Source,
    counts_by_ending,
    expected_layout,
    list_files,
    split_images,
)
from engine.training.data.image_labels import how_to_label, read_labels, table_of

_WORDS = {
    "train": ("train", "training", "learn", "학습", "훈련"),
    "validation": ("val", "valid", "validation", "validate", "dev", "development", "검증"),
    "test": ("test", "testing", "holdout", "시험", "테스트"),
}
_EITHER = ("eval", "evaluation", "평가")  # validation if no other folder is, else the test
_FILLER = re.compile("(data|sets?|images?|imgs?|split|데이터|셋|이미지)+$")
_IMAGES = ("image", "img", "picture", "photo", "jpegimage", "input", "original", "이미지", "사진", "원본")
_MASKS = (
    "mask",
    "label",
    "annotation",
    "trimap",
    "gt",
    "groundtruth",
    "seg",
    "segmentation",
    "마스크",
    "라벨",
    "정답",
)
_SPLIT_OF = {word: split for split, words in _WORDS.items() for word in words}
_ROLES = {
    "train": N_("the training split"),
    "validation": N_("the validation split"),
    "test": N_("the test split"),
}
_STRANGE = {
    "validation": N_("{file}: there are validation images of {classes}, but no training images."),
    "test": N_("{file}: there are test images of {classes}, but no training images."),
}


class Labelled(NamedTuple):
    """One image: its path below the folder, and its class."""

    file: str
    label: int


@dataclass(frozen=True)
class Listing:
    """The images of a folder or zip file, sorted by path.

    source: reads them. state: changes when any of the files does. validation, test: empty if there is no folder for
    them. folders: the folder of each split, by its name; empty if the folders are only of classes.
    """

    path: Path
    classes: tuple[str, ...]
    train: tuple[Labelled, ...]
    validation: tuple[Labelled, ...]
    test: tuple[Labelled, ...]
    folders: Mapping[str, str]
    source: Source
    state: str
    notes: tuple[str, ...]


class _Placed(NamedTuple):
    """A file below the folders that are understood already.

    name: its whole path. above: those folders; None if they are not its first ones. parts: the rest of the path.
    """

    name: str
    above: tuple[str, ...] | None
    parts: list[str]

    def below(self) -> "_Placed":
        """Return the file below its first folder."""
        above = None if self.above is None else (*self.above, self.parts[0])
        return _Placed(self.name, above, self.parts[1:])


class _Splits(NamedTuple):
    """The images of each split, below its folder. folders: of each split. notes: on the images left out."""

    images: dict[str, list[_Placed]]
    folders: dict[str, str]
    notes: list[str]


def list_images(path: Path, table: str | None = None, target: str | None = None) -> Listing:
    """List the images. Raises DataError if the path is neither a folder nor a zip file, or has no images by class.

    table: a table in the folder that names their classes, in the column `target`; None if their folders do.
    """
    files = list_files(path)
    images, others = split_images(files)
    if not images:
        raise DataError(f"{_no_images(path, others)} {expected_layout()}")
    notes = []
    unused = [name for name in others if name != table]
    if unused:
        notes.append(
            ngettext(
                "{count:,} file left out, because it is not an image: {endings}",
                "{count:,} files left out, because they are not images: {endings}",
                len(unused),
                endings=counts_by_ending(unused),
            )
        )
    splits = _Splits({}, {}, [])
    by_class: dict[str, dict[str, str]] = {}
    if table is None:
        splits, by_class = _by_folders(path, files, images, others)
    elif path.is_dir():
        by_class["train"], more = read_labels(path, table, target, images)
        notes += more
    else:
        raise DataError(_("data.labels needs a folder, but {file} is a zip file. Unpack it.", file=path))
    classes = _classes(path, by_class)
    number = {name: label for label, name in enumerate(classes)}

    def labelled(split: str) -> tuple[Labelled, ...]:
        return tuple(Labelled(file, number[name]) for file, name in by_class.get(split, {}).items())

    return Listing(
        path=path,
        classes=classes,
        train=labelled("train"),
        validation=labelled("validation"),
        test=labelled("test"),
        folders=splits.folders,
        source=files.source,
        state=files.state,
        notes=(*notes, *splits.notes, *_same_names(splits)),
    )


def _by_folders(
    path: Path, files: Files, images: list[str], others: list[str]
) -> tuple[_Splits, dict[str, dict[str, str]]]:
    """Return the splits and, for each, the class of each image."""
    folders = {tuple(files.names[name][:-1]) for name in images}
    only = next(iter(folders)) if len(folders) == 1 else None
    is_alone = only is not None and not any(files.names[name][:-1] not in ([], list(only)) for name in others)
    if only is not None and (
        not only or _split_of(only[-1]) or (is_alone and table_of(path, images, others) is not None)
    ):
        raise DataError(how_to_label(path, images, others))
    splits = _by_split(path, _without_shared([_Placed(name, (), files.names[name]) for name in images]), others)
    by_class = {split: _by_class(path, own) for split, own in splits.images.items()}
    known = set(images)
    rest = {name: parts for name, parts in files.names.items() if name not in known}
    for split, own in splits.images.items():
        _refuse_empty_classes(path, own, set(by_class[split].values()), rest)
    return splits, by_class


def _no_images(path: Path, others: list[str]) -> str:
    if not others:
        return _("{file} is empty.", file=path)
    return ngettext(
        "{file} holds no images, only {count:,} other file ({endings}).",
        "{file} holds no images, only {count:,} other files ({endings}).",
        len(others),
        file=path,
        endings=counts_by_ending(others),
    )


def _without_shared(images: list[_Placed]) -> list[_Placed]:
    """Return the images below the folders that all of them share, as long as each is still in a class's folder."""
    while len({image.parts[0] for image in images}) == 1 and all(len(image.parts) > 2 for image in images):
        images = [image.below() for image in images]
    return images


def _split_of(folder: str) -> tuple[str, bool] | None:
    """Return the split that a folder's name means, "" for validation or test, and whether it means nothing else.

    "Training", "1.train", "train_set" and "valData" are names of splits; "seg_train" may be.
    """
    words = re.findall(r"[^\W\d_]+", normalize("NFC", folder).casefold())
    words = [word for word in (_FILLER.sub("", word) for word in words) if word]
    if not words or not (words[-1] in _SPLIT_OF or words[-1] in _EITHER):
        return None
    return _SPLIT_OF.get(words[-1], ""), len(words) == 1


def _by_split(path: Path, images: list[_Placed], others: list[str]) -> _Splits:
    """Return the images by split. All are for training if the folders are only of classes. others: no images.

    Raises DataError if folders have the names of splits and can't be understood.
    """
    images = _splits_first(images)
    tops: dict[str, list[_Placed]] = defaultdict(list)
    for image in images:
        tops[image.parts[0] if len(image.parts) > 1 else ""].append(image)
    loose = tops.pop("", [])
    named = {top: found for top in tops if (found := _split_of(top)) is not None}
    certain = [top for top in named if named[top][1]]
    own = {top: _unwrapped([image.below() for image in tops[top]]) for top in named}
    in_classes = [top for top in named if any(len(image.parts) > 1 for image in own[top])]
    if len({named[top][0] for top in named}) < 2:
        if len(certain) > 1:
            raise DataError(_twice(path, certain[0], certain[1], named[certain[0]][0]))
        if len(named) < len(tops) and set(certain) & set(in_classes):
            raise DataError(_may_be_class(path, certain[0], named[certain[0]][0], set(tops) - set(named)))
        return _Splits({"train": images}, {}, [])
    if not in_classes:
        if len({named[top][0] for top in certain}) < 2:
            return _Splits({"train": images}, {}, [])
        names = _(
            "{folders} are the names of splits, but there are no folders of classes in them.",
            folders=listed(certain),
        )
        ways = how_to_label(path, [image.name for image in images], others)
        raise DataError(f"{names} {ways}")
    folders: dict[str, str] = {}
    notes = []
    for top in sorted(named, key=lambda top: not named[top][0]):  # those that may be either come last
        split = named[top][0] or ("test" if "validation" in folders else "validation")
        if top not in in_classes and split != "train":
            notes.append(
                ngettext(
                    "{count:,} image of {folder} left out, because it is in no class's folder",
                    "{count:,} images of {folder} left out, because they are in no classes' folders",
                    len(own[top]),
                    folder=repr(top),
                )
            )
        elif split in folders:
            raise DataError(_twice(path, folders[split], top, split))
        else:
            folders[split] = top
    if "train" not in folders:
        raise DataError(
            _(
                "{file}: there are folders of splits, {folders}, but none with images to train on. Name it train.",
                file=path,
                folders=listed(sorted(folders.values())),
            )
        )
    unused = [top for top in tops if top not in named]
    left_out = len(loose) + sum(len(tops[top]) for top in unused)
    if left_out:
        notes.append(
            ngettext(
                "{count:,} image left out, because it is in no folder of a split, but in {folders}",
                "{count:,} images left out, because they are in no folder of a split, but in {folders}",
                left_out,
                folders=listed([*unused, *(["."] if loose else [])]),
            )
        )
    return _Splits(_without_shared_by_all({split: own[top] for split, top in folders.items()}), folders, notes)


def _splits_first(images: list[_Placed]) -> list[_Placed]:
    """Return the images with the split as their first folder, where it is the second, as in cat/train/1.jpg."""
    inner = [_split_of(image.parts[1]) if len(image.parts) > 2 else None for image in images]
    certain = {found[0] for found in inner if found is not None and found[1]}
    if len(certain) < 2 or not all(found is not None and found[1] for found in inner):
        return images
    if any(_split_of(image.parts[0]) for image in images):
        return images
    return [_Placed(image.name, None, [image.parts[1], image.parts[0], *image.parts[2:]]) for image in images]


def _unwrapped(images: list[_Placed]) -> list[_Placed]:
    """Return the images of a split's folder below folders that repeat its name, as in seg_train/seg_train."""
    while all(len(image.parts) > 1 for image in images) and len({image.parts[0] for image in images}) == 1:
        if _split_of(images[0].parts[0]) is None:
            break
        images = [image.below() for image in images]
    return images


def _without_shared_by_all(images: dict[str, list[_Placed]]) -> dict[str, list[_Placed]]:
    """Return the images below the folders that those of all splits share, as in train/images and val/images."""
    split_of = {image.name: split for split, own in images.items() for image in own}
    below: dict[str, list[_Placed]] = {split: [] for split in images}
    for image in _without_shared([image for own in images.values() for image in own]):
        below[split_of[image.name]].append(image)
    return below


def _twice(path: Path, first: str, second: str, split: str) -> str:
    return _(
        "{file}: {first!r} and {second!r} are both folders of {split}. Rename one of them.",
        file=path,
        first=first,
        second=second,
        split=_(_ROLES[split or "validation"]),
    )


def _may_be_class(path: Path, folder: str, split: str, others: set[str]) -> str:
    return _(
        "{file}: {folder!r} may be {split} or a class: it holds folders with images, but {others} beside it are no "
        "splits. Move the others elsewhere, or give the class another name.",
        file=path,
        folder=folder,
        split=_(_ROLES[split or "validation"]),
        others=listed(sorted(others)),
    )


def _by_class(path: Path, images: list[_Placed]) -> dict[str, str]:
    """Return the class of each image, the first folder, in the composed form of Unicode (macOS writes the other).

    Raises DataError for an image outside of a class's folder, and for a class that holds a copy of the others.
    """
    found = {}
    inner: dict[str, set[str]] = defaultdict(set)
    for image in images:
        if len(image.parts) < 2:
            outside = _(
                "{file}: {image} is not in a class's folder.",
                file=path,
                image=image.name,
            )
            raise DataError(f"{outside} {expected_layout()}")
        found[image.name] = name = normalize("NFC", image.parts[0])
        inner[name].add(normalize("NFC", image.parts[1]) if len(image.parts) > 2 else "")
    for name, folders in inner.items():
        if len(folders) > 1 and folders <= set(inner):
            raise DataError(
                _(
                    "{file}: the folder {folder!r} would be a class, but holds {folders}, as the classes beside it "
                    "are called. Remove it if it is a copy of them, or give {folders} in it other names.",
                    file=path,
                    folder=name,
                    folders=listed(sorted(folders)),
                )
            )
    return found


def _refuse_empty_classes(
    path: Path, images: list[_Placed], classes: set[str], rest: Mapping[str, list[str]]
) -> None:
    """Raise DataError if a folder among those of the classes holds no images. rest: paths of all other files."""
    above = {image.above for image in images} - {None}
    without: dict[str, list[str]] = defaultdict(list)
    for name, parts in rest.items():
        for folders in above:
            assert folders is not None
            below = parts[len(folders) :]
            if (
                tuple(parts[: len(folders)]) == folders
                and len(below) > 1
                and normalize("NFC", below[0]) not in classes
            ):
                without["/".join([*folders, below[0]])] += [name] if parts[-1] else []
    if not without:
        return
    holding = [
        f"{folder!r} ({counts_by_ending(own) if own else _('empty')})" for folder, own in sorted(without.items())
    ]
    empty = _(
        "{file}: no images in {folders}. Add the missing ones, or remove the folder.",
        file=path,
        folders=", ".join(holding),
    )
    if any(without.values()):
        empty += " " + _("Other kinds of images must be converted, to PNG or JPEG for instance.")
    raise DataError(empty)


def _classes(path: Path, by_class: Mapping[str, Mapping[str, str]]) -> tuple[str, ...]:
    """Return the classes of the training images. Raises DataError for one class only, and for others elsewhere."""
    classes = sorted(set(by_class["train"].values()))
    if len(classes) < 2:
        only = _("{file} holds images of one class only, {name!r}.", file=path, name=classes[0])
        raise DataError(f"{only} {expected_layout()}")
    _refuse_masks(path, classes)
    for split in ("validation", "test"):
        strange = sorted(set(by_class.get(split, {}).values()) - set(classes))
        if not strange:
            continue
        text = _STRANGE[split]
        raise DataError(f"{_(text, file=path, classes=listed(strange))}{likely(strange[0], classes)}")
    return tuple(classes)


def _refuse_masks(path: Path, classes: list[str]) -> None:
    """Raise DataError if the folders are not of classes, but of images and of their masks, as for segmentation."""
    meant = [re.sub(r"[\W\d_]+", "", name.casefold()).removesuffix("s") for name in classes]
    masks = [name for name, word in zip(classes, meant, strict=True) if word.startswith(_MASKS)]
    images = [name for name, word in zip(classes, meant, strict=True) if word in _IMAGES]
    if masks and images and len(masks) + len(images) == len(classes):
        raise DataError(
            _(
                "{file}: {images} and {masks} are the names of images and of their masks or labels. A model would "
                "only learn to tell the ones from the others: Descent learns the class of a whole image, and needs a "
                "folder for each class, or a table of the classes (data.labels). If they are classes, rename them.",
                file=path,
                images=listed(images),
                masks=listed(masks),
            )
        )


def _same_names(splits: _Splits) -> list[str]:
    """Return notes on classes that have several folders, whose names are other code points for the same text."""
    notes = []
    for images in splits.images.values():
        folders: dict[str, set[str]] = defaultdict(set)
        for image in images:
            folders[normalize("NFC", image.parts[0])].add(image.parts[0])
        notes += [
            _(
                "class {name!r} has {count} folders, whose names differ only in the form of Unicode",
                name=name,
                count=len(own),
            )
            for name, own in folders.items()
            if len(own) > 1
        ]
    return notes
