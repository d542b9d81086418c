"""The classes of images by a table that lies in their folder, for images that lie in no classes' folders."""

import contextlib
import re
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from unicodedata import normalize

from descent.common.errors import DataError
from descent.common.i18n import _, ngettext
from engine.training.data.array_files import existing, likely, listed
from engine.training.data.table_text import read_rows

_TABLES = (".csv", ".tsv")
_USUAL = ("label", "labels", "class", "classes", "category", "target", "species", "breed")


def read_labels(
    folder: Path, table: str, target: str | None, images: Sequence[str]
) -> tuple[dict[str, str], list[str]]:
    """Return the class of each image that the table names, in the images' order, and notes.

    One column names the images: by their paths, their names or their names without an ending. target: the column of
    the classes; None for the only other column, or the one with a usual name. Raises DataError.
    """
    path = existing(str(folder / table), "data.labels")
    header, rows, lines = read_rows(path)
    by_key = _keys(images)
    hits = [len({_image(row[at], by_key) for row in rows} - {None}) for at in range(len(header))]
    if not any(hits):
        raise DataError(
            _(
                "{file} names no image of {folder}: no column holds names such as {name!r}.",
                file=path,
                folder=folder,
                name=images[0],
            )
        )
    names = hits.index(max(hits))
    classes = _column(path, header, names, target)
    found: dict[str, str] = {}
    without = 0
    for row, line in zip(rows, lines, strict=True):
        image, label = _image(row[names], by_key), normalize("NFC", row[classes].strip())
        if image is None:
            without += 1
            continue
        if not label:
            raise DataError(_("{file}, line {line}: the image has no class.", file=path, line=line))
        if found.setdefault(image, label) != label:
            raise DataError(
                _(
                    "{file}, line {line}: {image} is {label!r} here, but {other!r} before.",
                    file=path,
                    line=line,
                    image=image,
                    label=label,
                    other=found[image],
                )
            )
    return {image: found[image] for image in images if image in found}, [
        _("classes by the column {column!r} of {table}", column=header[classes], table=table),
        *_left_out(len(images) - len(found), without, table),
    ]


def how_to_label(path: Path, images: Sequence[str], others: Sequence[str]) -> str:
    """Return the message for images of a folder or zip file that lie in no classes' folders.

    It names the table that tells their classes, in the folder or beside it, or says how such a table looks.
    others: the files that are no images.
    """
    table = table_of(path, images, others)
    if table is not None:
        return _(
            "{file}: the images are in no classes' folders. If {table} names their classes, set data.labels = "
            "{quoted}.",
            file=path,
            table=table,
            quoted=f'"{table}"',
        )
    starts = [found[0] if (found := re.match(r"[^\W\d_]+", PurePosixPath(image).name)) else "" for image in images]
    words = sorted(set(starts))
    is_named = all(words) and 1 < len(words) <= len(images) // 2
    ways = _(
        "{file}: the images are in no classes' folders, and no table tells their classes. Move them to a folder for "
        'each class, or write a table into {file} with the columns file and label, "{row}" for instance, and set '
        'data.labels = "labels.csv".',
        file=path,
        row=f"{PurePosixPath(images[0]).name},{starts[0] if is_named else 'cat'}",
    )
    if not is_named:
        return ways
    return f"{ways} {_('Their names seem to begin with the class: {words}.', words=listed(words))}"


def table_of(path: Path, images: Sequence[str], others: Sequence[str]) -> str | None:
    """Return a table in the folder or beside it that names some of the images, else any table in it, else None."""
    inside = [name for name in others if PurePosixPath(name).suffix.lower() in _TABLES]
    if not path.is_dir():
        return inside[0] if inside else None
    beside: list[str] = []
    with contextlib.suppress(OSError):
        files = sorted(path.absolute().parent.iterdir())
        beside = [f"../{file.name}" for file in files if file.suffix.lower() in _TABLES]
    by_key = _keys(images)
    for name in [*inside, *beside]:
        with contextlib.suppress(DataError, OSError):
            if any(_image(cell, by_key) for row in read_rows(path / name)[1] for cell in row):
                return name
    return inside[0] if inside else None


def _left_out(images: int, rows: int, table: str) -> list[str]:
    notes = []
    if images:
        notes.append(
            ngettext(
                "{count:,} image left out, because {table} does not name it",
                "{count:,} images left out, because {table} does not name them",
                images,
                table=table,
            )
        )
    if rows:
        notes.append(
            ngettext(
                "{count:,} row of {table} left out, because there is no such image",
                "{count:,} rows of {table} left out, because there are no such images",
                rows,
                table=table,
            )
        )
    return notes


def _keys(images: Sequence[str]) -> dict[str, str | None]:
    """Return images by what may name them; None for a name that several have."""
    found: dict[str, str | None] = {}
    for image in images:
        path = PurePosixPath(normalize("NFC", image))
        for key in {str(path), path.name, path.stem}:
            found[key] = image if key not in found else None
    return found


def _image(cell: str, by_key: Mapping[str, str | None]) -> str | None:
    name = normalize("NFC", cell.strip()).replace("\\", "/").removeprefix("./")
    return by_key.get(name) or by_key.get(PurePosixPath(name).name)


def _column(path: Path, header: Sequence[str], names: int, target: str | None) -> int:
    """Return the column of the classes. names: that of the images."""
    others = [at for at in range(len(header)) if at != names]
    if target is not None:
        if target in header and header.index(target) != names:
            return header.index(target)
        missing = _(
            "{file} has no column {name!r} ({key}); it has {names}.",
            file=path,
            name=target,
            key="data.target",
            names=listed(header[at] for at in others),
        )
        raise DataError(f"{missing}{likely(target, [header[at] for at in others])}")
    usual = [at for at in others if header[at].lower() in _USUAL]
    if len(others) == 1 or len(usual) == 1:
        return (usual or others)[0]
    raise DataError(
        _(
            "{file}: which column holds the classes? Set data.target to one of {names}.",
            file=path,
            names=listed(header[at] for at in others),
        )
    )
