"""How raw data become a model's inputs: what a run keeps of its data, so that its model can be used without them."""

import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor

from descent.common.errors import DataError
from descent.common.files import write_atomically
from descent.common.i18n import _
from engine.preset import schema
from engine.training.data import image_files, tables
from engine.training.data.array_files import likely, listed, not_regular
from engine.training.data.arrays import as_array
from engine.training.data.dataset import Array, Dataset, Task
from engine.training.data.image_decoding import DAMAGED, DeepRange, WrongSizeError, decode, reason_of, shown_size
from engine.training.data.kept_inputs import Scale, pixels
from engine.training.data.table_columns import Column, counted_row
from engine.training.data.table_encoding import InputColumn, TableEncoding

FILE = "model.json"  # in the run's folder
VERSION = 1
TABLES = (".csv", ".tsv", ".txt", ".parquet")


class Prepared(NamedTuple):
    """Inputs of a model, (N, *input_shape) float32 on the CPU.

    rows: what each is called. called: whether that is a file, a line of a file, or a number from 0.
    """

    inputs: Tensor
    rows: tuple[str, ...]
    called: Literal["file", "line", "row"]

    @classmethod
    def numbered(cls, inputs: Tensor) -> "Prepared":
        return cls(inputs, tuple(str(row) for row in range(len(inputs))), "row")


@dataclass(frozen=True)
class Preparation:
    """How raw data become a model's inputs, and what its outputs mean.

    kind: images have (channels, height, width). classes: names, () for regression. targets: names of what is
    predicted, () where the data have none. target_size: classes, or numbers that are predicted for a sample.
    mean, std: flat, of `scale_shape`, which broadcasts over a sample: scaled = (x − mean) / std. are_bytes: whether
    images of bytes became numbers from 0 to 1. deep_range: as in Dataset. resizes: whether image files are brought to
    the model's size. encoding: of a table's cells; it has the scaling too.
    """

    kind: Literal["table", "images", "arrays"]
    task: Task
    classes: tuple[str, ...]
    targets: tuple[str, ...]
    target_size: int
    input_shape: tuple[int, ...]
    input_names: tuple[str, ...] = ()
    are_bytes: bool = False
    deep_range: tuple[float, float] | None = None
    resizes: bool = False
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    scale_shape: tuple[int, ...] = ()
    encoding: TableEncoding | None = None

    @classmethod
    def of(cls, dataset: Dataset, section: schema.AnyData) -> "Preparation":
        """Return what is known of the data of a run. section: the preset's."""
        shape = dataset.input_shape
        is_image = len(shape) == 3
        encoding = _encoding(dataset)
        made = cls(
            kind="table" if encoding is not None else "images" if is_image else "arrays",
            task=dataset.task,
            classes=dataset.classes,
            targets=() if encoding is None else encoding.targets,
            target_size=dataset.target_size,
            input_shape=shape,
            input_names=dataset.input_names,
            are_bytes=dataset.are_bytes,
            deep_range=dataset.deep_range,
            resizes=isinstance(section, schema.ImagesData) and section.image_size is not None,
            encoding=encoding,
        )
        return made.scaled_by(
            None if dataset.mean is None or dataset.std is None else Scale(dataset.mean, dataset.std)
        )

    def scaled_by(self, scale: Scale | None) -> "Preparation":
        """Return the same with another scaling."""
        if scale is None:
            return self
        mean, std = (tuple(values.detach().cpu().double().flatten().tolist()) for values in scale)
        encoding = None if self.encoding is None else self.encoding.with_scaling(mean, std)
        return replace(self, mean=mean, std=std, scale_shape=tuple(scale.mean.shape), encoding=encoding)

    # --- raw data ---

    def apply(self, raw: object) -> Prepared:
        """Return raw data as the model takes them.

        raw: for a table, a CSV file, columns by name, rows as mappings, or a data frame, whose columns may be in any
        order; for images, an image file, a folder or zip file of them, or a list of files; an array, a tensor or
        nested lists of one sample or of many; an .npy file. Raises DataError, which says what is missing or wrong.
        """
        if isinstance(raw, str | Path):
            return self._file(Path(raw))
        if isinstance(raw, Mapping):
            return self._columns(raw)
        if hasattr(raw, "columns") and hasattr(raw, "__getitem__"):  # a data frame of pandas or Polars
            return self._columns({str(name): list(raw[name]) for name in raw.columns})
        if isinstance(raw, Sequence) and raw and all(isinstance(row, Mapping) for row in raw):
            return self._columns(_by_column(raw))
        if isinstance(raw, Sequence) and raw and all(isinstance(file, str | Path) for file in raw):
            return self._images([Path(file) for file in raw])
        return Prepared.numbered(self._array(as_array(_("the inputs"), raw)))

    def _file(self, path: Path) -> Prepared:
        if not path.exists():
            raise DataError(_("{file}: no such file or folder.", file=path))
        if path.suffix.lower() == ".npy":
            try:
                array = np.load(path, allow_pickle=False)
            except (ValueError, OSError, EOFError) as error:
                raise DataError(_("{file} can't be read: {error}.", file=path, error=error)) from None
            return Prepared.numbered(self._array(array))
        if not (path.is_file() or path.is_dir()):
            raise DataError(not_regular(path))
        if self.kind == "table" or (path.suffix.lower() in TABLES and path.is_file()):
            self._check_table(path)
            columns, lines = tables.read_new(path, None if self.encoding is None else self.encoding.reading)
            return self._columns(columns, lines, where=str(path))
        return self._images([path]) if path.is_file() and path.suffix.lower() != ".zip" else self._folder(path)

    def _check_table(self, path: Path) -> None:
        """Raise DataError if this model takes no table, or if a folder or an image is given to one that does."""
        if self.encoding is None:
            raise DataError(
                _(
                    "{file} is a table, but this model takes {shape} numbers for each sample{images}.",
                    file=path,
                    shape=shown_shape(self.input_shape),
                    images=_(": an image, or a folder or zip file of them") if self.kind == "images" else "",
                )
            )
        is_image = image_files.is_called_image(path.name)
        if path.is_dir() or is_image:
            raise DataError(
                _(
                    "{file} is {given}, but this model takes a table, a .csv or .parquet file with the columns "
                    "{names}.",
                    file=path,
                    given=_("an image") if is_image else _("a folder"),
                    names=listed(column.name for column in self.encoding.inputs),
                )
            )

    # --- tables ---

    def _columns(
        self, columns: Mapping[str, Iterable[object] | Column], lines: Sequence[int] = (), where: str = ""
    ) -> Prepared:
        """lines: of the file, one for each row."""
        encoding = self.encoding
        if encoding is None:
            raise DataError(
                _(
                    "this model takes {shape} numbers for each sample, not the columns of a table",
                    shape=shown_shape(self.input_shape),
                )
            )
        missing = [column.name for column in encoding.inputs if column.name not in columns]
        place = f"{where}: " if where else ""
        if missing:
            text = _(
                "{place}these columns are missing: {missing}. The model was trained on {names}; the data have "
                "{given}.",
                place=place,
                missing=listed(missing),
                names=listed([column.name for column in encoding.inputs]),
                given=listed(columns),
            )
            raise DataError(f"{text}{likely(missing[0], columns)}")

        def row(index: int) -> str:
            return place + (_("line {line}", line=lines[index]) if lines else counted_row(index))

        used = {each.name: encoding.column(each.name, columns) for each in encoding.inputs}
        lengths = {len(column) for column in used.values()}
        if len(lengths) > 1:
            raise DataError(
                _(
                    "{place}the columns have different lengths: {lengths}.",
                    place=place,
                    lengths=", ".join(map(str, sorted(lengths))),
                )
            )
        for each in encoding.inputs:
            _refuse_unseen(each, used[each.name], row)
        inputs = torch.from_numpy(encoding.apply(used, row))
        return Prepared(inputs, tuple(map(str, lines)), "line") if lines else Prepared.numbered(inputs)

    # --- arrays ---

    def _array(self, array: Array) -> Tensor:
        """Return one sample or many as the model takes them."""
        if array.dtype.kind not in "biuf":
            raise DataError(_("the inputs are words; numbers are needed."))
        array = self._image_axes(array) if self.kind == "images" else self._axes(array)
        if self.are_bytes and array.dtype.kind in "iu":
            if array.size and (array.min() < 0 or array.max() > 255):
                raise DataError(_("bytes of images must be from 0 to 255."))
            array = array.astype(np.uint8)
        elif self.are_bytes and array.size and (array.min() < 0 or array.max() > 1):
            raise DataError(
                _(
                    "the model was trained on images of numbers from 0 to 1, but these are from {low:g} to {high:g}; "
                    "give bytes from 0 to 255, or numbers from 0 to 1.",
                    low=float(array.min()),
                    high=float(array.max()),
                )
            )
        return self._scaled(array)

    def _axes(self, array: Array) -> Array:
        shape = self.input_shape
        if array.shape == shape:
            array = array[None]
        elif shape == (1,) and array.ndim == 1:
            array = array[:, None]
        if array.shape[1:] != shape:
            raise DataError(self._wrong_shape(array))
        return array

    def _image_axes(self, array: Array) -> Array:
        channels, height, width = self.input_shape
        if array.shape[-3:] == (channels, height, width):
            pass
        elif array.shape[-3:] == (height, width, channels):
            array = np.moveaxis(array, -1, -3)
        elif channels == 1 and array.shape[-2:] == (height, width) and array.ndim in (2, 3):
            array = array[..., None, :, :]
        else:
            raise DataError(self._wrong_shape(array))
        if array.ndim > 4:
            raise DataError(self._wrong_shape(array))
        return array.reshape(-1, channels, height, width)

    def _wrong_shape(self, array: Array) -> str:
        return _(
            "the inputs have the shape {given}; a sample of this model has the shape {shape}, so many samples have "
            "(samples, {inner}).",
            given=shown_shape(array.shape),
            shape=shown_shape(self.input_shape),
            inner=", ".join(map(str, self.input_shape)),
        )

    def _scaled(self, array: Array) -> Tensor:
        """Return inputs as in training, operation by operation: (N, *input_shape) -> float32."""
        inputs = torch.from_numpy(np.ascontiguousarray(array))
        if self.kind == "images":
            inputs = pixels(inputs) if array.dtype == np.uint8 and self.are_bytes else inputs.float()
        else:
            inputs = inputs.double()
        if not bool(torch.isfinite(inputs).all()):
            raise DataError(_("the inputs hold values that are not finite."))
        if self.mean is not None and self.std is not None:
            mean, std = (torch.tensor(each, dtype=inputs.dtype) for each in (self.mean, self.std))
            inputs = (inputs - mean.view(self.scale_shape)) / std.view(self.scale_shape)
        return inputs.float()

    # --- image files ---

    def _folder(self, path: Path) -> Prepared:
        files = image_files.list_files(path)
        names, _others = image_files.split_images(files)
        if not names:
            raise DataError(_("{file} holds no images.", file=path))
        return self._decoded(sorted(names), files.source.read, path)

    def _images(self, files: Sequence[Path]) -> Prepared:
        return self._decoded([str(file) for file in files], lambda file: Path(file).read_bytes(), None)

    def _decoded(self, names: Sequence[str], read: Callable[[str], bytes], where: Path | None) -> Prepared:
        """where: the folder, for messages."""
        if self.kind != "images" or self.input_shape[0] not in (1, 3):
            raise DataError(
                _(
                    "this model takes {shape} numbers for each sample, not images",
                    shape=shown_shape(self.input_shape),
                )
            )
        channels, height, width = self.input_shape
        deep = DeepRange(names, read) if self.deep_range is None else DeepRange.known(self.deep_range)
        images = np.empty((len(names), channels, height, width), dtype=np.uint8)
        for at, name in enumerate(names):
            image = name if where is None else f"{where}: {name}"
            try:
                images[at], _done = decode(read(name), channels, (width, height), deep, scale=self.resizes)
            except WrongSizeError as error:
                raise DataError(
                    _(
                        "{image} has the size {size}, but the model takes images of {expected}.",
                        image=image,
                        size=shown_size(error.size),
                        expected=shown_size((width, height)),
                    )
                ) from None
            except DAMAGED as error:
                raise DataError(_("{image} can't be read: {reason}.", image=image, reason=reason_of(error))) from None
        array = images if self.are_bytes else images.astype(np.float32) / 255
        return Prepared(self._scaled(array), tuple(names), "file")

    # --- the file ---

    def to_json(self) -> dict[str, Any]:
        """Return plain dicts, lists, texts and numbers."""
        return asdict(self)

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> "Preparation":
        """Return what `to_json` was made of. Keys of later versions are ignored."""
        known = {name: content[name] for name in cls.__dataclass_fields__ if name in content}
        values: dict[str, Any] = {name: tuple(v) if isinstance(v, list) else v for name, v in known.items()}
        if values.get("encoding") is not None:
            values["encoding"] = TableEncoding.from_json(values["encoding"])
        return cls(**values)


def keep(run: Path, preparations: Sequence[Preparation]) -> None:
    """Write them into the run's folder, unless it has them: one for all members, or one for each."""
    if (run / FILE).exists():
        return
    content = {"version": VERSION, "preparations": [each.to_json() for each in preparations]}
    write_atomically(run / FILE, json.dumps(content, indent=1).encode())


def read(run: Path) -> list[Preparation] | None:
    """Return what `keep` has written, or None if there is no such file. Raises DataError if it is damaged."""
    try:
        content = json.loads((run / FILE).read_text(encoding="utf-8"))
        return [Preparation.from_json(each) for each in content["preparations"]]
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(_("{file} is damaged: {error}", file=run / FILE, error=error)) from None


def shown_shape(shape: Sequence[int]) -> str:
    """Return "1 × 28 × 28"."""
    return " × ".join(map(str, shape)) or "0"


def _encoding(dataset: Dataset) -> TableEncoding | None:
    if dataset.encoding is not None:
        return dataset.encoding
    if not dataset.input_names or len(dataset.input_names) != math.prod(dataset.input_shape):
        return None
    columns = tuple(InputColumn(name, "number") for name in dataset.input_names)
    return TableEncoding(columns, (), dataset.classes)


def _refuse_unseen(column: InputColumn, given: Column, row: Any) -> None:
    """Raise DataError for a category that training has not seen: the model knows nothing of it."""
    if column.kind != "category":
        return
    given = given.as_words()
    assert given.codes is not None
    strange = np.array([word not in column.words for word in given.words] + [False])
    wrong = strange[given.codes]
    if wrong.any():
        first = int(np.argmax(wrong))
        raise DataError(
            _(
                "{row}: {cell!r} in column {name!r} was not seen in training; known are {words}. Mend it, or leave "
                "such rows out.",
                row=row(first),
                cell=given.words[given.codes[first]][:40],
                name=column.name,
                words=listed(column.words),
            )
        )


def _by_column(rows: Sequence[Any]) -> dict[str, list[object]]:
    names = dict.fromkeys(name for row in rows for name in row)
    return {str(name): [row.get(name) for row in rows] for name in names}
