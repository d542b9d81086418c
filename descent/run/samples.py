"""Samples of a run: small images or texts that a loop gives by name, with their step.

`samples/HASH-step-N.npz` holds the sample of a name at step N; the event of kind `sample` names it. So a rewind or a
resume voids samples as it voids events. Of each name MOST stay, the first and the latest among them.
"""

import hashlib
import io
import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from descent.common.errors import DescentError
from descent.common.files import write_atomically
from descent.common.i18n import _
from descent.common.text import clean, shorten

FOLDER, EVENT = "samples", "sample"
MOST = 16  # samples of a name
MOST_NAMES = 20
IMAGES, SIDE = 64, 64  # images of a sample, and pixels of one
TEXTS, LONGEST = 32, 2000  # texts of a sample, and characters of one

Arrays = dict[str, NDArray[Any]]


class Sample(NamedTuple):
    """A sample that counts. kind: "images" or "text"."""

    name: str
    step: int
    kind: str
    file: Path


class Content(NamedTuple):
    """What a sample holds. images: (N, C, h, w) of 0 to 255, or None. of: how many there were."""

    images: NDArray[np.uint8] | None
    texts: tuple[str, ...]
    of: int


def arrays_of(name: str, given: Any) -> Arrays:
    """Return what the file of a sample holds. Raises DescentError for anything but images and texts."""
    if isinstance(given, str):
        given = [given]
    if isinstance(given, list | tuple) and given and all(isinstance(one, str) for one in given):
        texts = [shorten(one, LONGEST) for one in given[:TEXTS]]
        return {"texts": np.array(texts, np.str_), "of": np.array(len(given))}
    shape = tuple(getattr(given, "shape", ()))
    if len(shape) not in (3, 4) or 0 in shape or (len(shape) == 4 and shape[1] not in (1, 3)):
        raise DescentError(
            _(
                "run.sample({name}): needs images of shape (N, C, H, W) with C = 1 or 3, or (N, H, W), or a text or "
                "a list of texts, not {given}",
                name=repr(name),
                given=shape or type(given).__name__,
            )
        )
    some = given[:IMAGES]
    if hasattr(some, "detach"):
        some = some.detach().cpu()
        some = (some.float() if some.is_floating_point() else some).numpy()
    try:
        images = _as_bytes(np.asarray(some))
    except (TypeError, ValueError) as error:
        raise DescentError(f"run.sample({name!r}): {shorten(clean(str(error)), 200)}") from None
    images = images[:, None] if images.ndim == 3 else images
    return {"images": _shrunk(images), "of": np.array(shape[0])}


def _as_bytes(images: NDArray[Any]) -> NDArray[np.uint8]:
    """Return images as 0 to 255. Numbers outside of 0 to 1 are scaled from the least to the greatest of all."""
    if images.dtype == np.uint8:
        return images
    values = images.astype(np.float32)
    finite = np.isfinite(values)
    low, high = (float(values[finite].min()), float(values[finite].max())) if finite.any() else (0.0, 1.0)
    if low < 0 or high > 1:
        values = (values - low) / max(high - low, 1e-12)
    scaled: NDArray[np.uint8] = np.clip(np.rint(np.where(finite, values, 0) * 255), 0, 255).astype(np.uint8)
    return scaled


def _shrunk(images: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return images of SIDE pixels at most: each new pixel is the mean of those under it."""
    largest = max(images.shape[2:])
    if largest <= SIDE:
        return images
    values: NDArray[np.float64] = images.astype(np.float64)
    for axis in (2, 3):
        size = values.shape[axis]
        edges = np.linspace(0, size, max(1, round(size * SIDE / largest)) + 1).astype(int)
        counts = np.diff(edges).reshape([-1 if at == axis else 1 for at in range(4)])
        values = np.add.reduceat(values, edges[:-1], axis=axis) / counts
    return np.rint(values).astype(np.uint8)


def write(run: Path, name: str, step: int, arrays: Arrays) -> Path:
    """Write the file of a sample and return it. Raises OSError if the disk is full."""
    folder = run / FOLDER
    folder.mkdir(mode=0o700, exist_ok=True)
    path = folder / f"{_slug(name)}-step-{step}.npz"
    content = io.BytesIO()
    np.savez_compressed(content, **arrays)  # type: ignore[arg-type]  # its other argument is a bool
    write_atomically(path, content.getvalue())
    return path


def _slug(name: str) -> str:
    return hashlib.sha256(name.encode()).hexdigest()[:12]


def kind_of(arrays: Arrays) -> str:
    return "images" if "images" in arrays else "text"


def listed(run: Path, events: Iterable[Mapping[str, Any]]) -> dict[str, list[Sample]]:
    """Return the samples that there are, ascending by step, of each name. events: those that are valid."""
    found: dict[str, dict[int, Sample]] = {}
    for event in events:
        if event.get("event") == EVENT and isinstance(name := event.get("name"), str):
            file = run / FOLDER / f"{_slug(name)}-step-{int(event['step'])}.npz"
            kind = "images" if event.get("kind") == "images" else "text"
            found.setdefault(name, {})[int(event["step"])] = Sample(name, int(event["step"]), kind, file)
    there = {name: [each for _, each in sorted(of.items()) if each.file.is_file()] for name, of in found.items()}
    return {name: samples for name, samples in there.items() if samples}


def keep_few(run: Path, samples: Mapping[str, list[Sample]]) -> dict[str, list[Sample]]:
    """Remove files of which no sample counts, and samples of which there are too many. Returns those that stay.

    Removed is the one whose neighbours are the closest; the first and the latest stay.
    """
    kept: dict[str, list[Sample]] = {}
    for name, there in samples.items():
        own = list(there)
        while len(own) > MOST:
            gaps = [own[at + 1].step - own[at - 1].step for at in range(1, len(own) - 1)]
            own.pop(1 + gaps.index(min(gaps)))
        kept[name] = own
    files = {each.file for own in kept.values() for each in own}
    for file in (run / FOLDER).glob("*-step-*.npz"):
        if file not in files:
            file.unlink(missing_ok=True)
    return kept


def read(file: Path) -> Content:
    """Return what a sample holds. Raises DescentError if its file is gone or damaged."""
    try:
        with np.load(file, allow_pickle=False) as stored:
            images = stored["images"] if "images" in stored.files else None
            texts = tuple(map(str, stored["texts"])) if "texts" in stored.files else ()
            content = Content(images, texts, int(stored["of"]))
        if images is not None and (images.dtype != np.uint8 or images.ndim != 4 or images.shape[1] not in (1, 3)):
            raise ValueError(images.shape)
    except (OSError, ValueError, EOFError, KeyError, TypeError, zipfile.BadZipFile) as error:
        reason = shorten(clean(str(error)), 200) or type(error).__name__
        raise DescentError(_("{file}: no sample can be read from it: {reason}", file=file, reason=reason)) from None
    return content


def copy(run: Path, folder: Path, step: int) -> None:
    """Copy the samples up to a step into the folder of a fork. Those that do not count there are no event's."""
    for file in (run / FOLDER).glob("*-step-*.npz"):
        at = file.stem.rpartition("-")[2]
        if at.isdecimal() and int(at) <= step:
            (folder / FOLDER).mkdir(mode=0o700, exist_ok=True)
            write_atomically(folder / FOLDER / file.name, file.read_bytes())
