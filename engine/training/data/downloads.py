"""Downloads of data sets with torchvision's own code, checksums included.

A data set is downloaded into a private folder next to its place. It is moved there once all of it is verified. So
neither an interruption nor a damaged file can leave something that looks like a complete data set.
"""

import errno
import gzip
import http.client
import os
import shutil
import socket
import tarfile
import tempfile
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from descent.common.errors import CannotGoOnError, DataMissingError
from descent.common.i18n import _
from engine.preset import datasets
from engine.training.data import public_sets
from engine.training.packages import needed

Progress = Callable[[int, int], None]

_SILENCE = 30.0  # seconds without a byte after which a download has failed; torchvision would wait for ever
_one_at_a_time = threading.Lock()
_FAILURES = (
    RuntimeError,
    OSError,
    EOFError,
    ValueError,
    tarfile.TarError,
    gzip.BadGzipFile,
    zlib.error,
    http.client.HTTPException,
)


def fetch(name: str, root: Path, progress: Progress) -> Path:
    """Download a data set into `root`, unless it is already there. Returns the folder of its files.

    progress(done, total): bytes of the download. $DESCENT_MIRROR names a base URL to use instead of the original
    place. BASE/NAME/FILE is tried first, then BASE/FILE, with the original file names.
    Raises DataMissingError if the download fails, and CannotGoOnError if it can't be written.
    """
    known = datasets.entry(name)
    folder = root / known.folder
    if _is_good(name, root):
        return folder
    try:
        root.mkdir(parents=True, exist_ok=True)
        _sweep(root)
        staging = Path(tempfile.mkdtemp(prefix=f".fetching-{name}-", dir=root))
    except OSError as error:
        raise CannotGoOnError(
            _(
                "{name} can't be stored in {folder}: {error}. Name another folder with --data-root or $DESCENT_DATA.",
                name=name,
                folder=root,
                error=error.strerror,
            )
        ) from error
    try:
        with _reporting(progress, known.download_bytes):
            _download(name, staging)
        if not _is_good(name, staging):
            raise RuntimeError(_("the download is not complete"))
        _move(known, staging, root)
        progress(known.download_bytes, known.download_bytes)
    except _FAILURES as error:
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EROFS):
            raise CannotGoOnError(
                _("{name} can't be stored in {folder}: {error}.", name=name, folder=root, error=error.strerror)
            ) from error
        raise DataMissingError(
            _(
                "{name} could not be downloaded: {reason}. Try again, or name a mirror in $DESCENT_MIRROR; "
                "nothing of it was kept.",
                name=name,
                reason=_one_line(error),
            )
        ) from error
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    return folder


def _is_good(name: str, root: Path) -> bool:
    """Return whether all files exist and match the checksums that torchvision has of them."""
    if not datasets.is_there(name, root):
        return False
    try:
        public_sets.dataset_class(name)(root=root, train=False, download=False)
    except (RuntimeError, ValueError, TypeError, AssertionError, OSError):
        return False
    return True


def _download(name: str, staging: Path) -> None:
    original = public_sets.dataset_class(name)
    mirror = os.environ.get("DESCENT_MIRROR", "").rstrip("/")
    if not mirror:
        original(root=staging, train=False, download=True)
        return
    bases = [f"{mirror}/{name}/", f"{mirror}/"]
    if hasattr(original, "mirrors"):
        # torchvision names the folder after the class, so the class with other mirrors has the same name.
        mirrored = type(original.__name__, (original,), {"mirrors": bases})
        mirrored(root=staging, train=False, download=True)
        return
    for base in bases:
        mirrored = type(original.__name__, (original,), {"url": base + original.filename})
        try:
            mirrored(root=staging, train=False, download=True)
        except _FAILURES:
            if base == bases[-1]:
                raise
        else:
            return


def _move(known: datasets.Downloadable, staging: Path, root: Path) -> None:
    """Move the unpacked files, but not the archives, to their place. Each replaces a damaged one at once."""
    (root / known.folder).mkdir(parents=True, exist_ok=True)
    for file in known.files:
        (staging / known.folder / file).replace(root / known.folder / file)


def _sweep(root: Path) -> None:
    """Remove the folders of killed downloads after a day. A younger one may belong to a running download."""
    for left in root.glob(".fetching-*"):
        if time.time() - left.stat().st_mtime > 86_400:
            shutil.rmtree(left, ignore_errors=True)


@contextmanager
def _reporting(progress: Progress, total: int) -> Iterator[None]:
    """Give the downloaded bytes to `progress`. torchvision would draw a bar of tqdm on stderr, over our screen."""
    with needed("torchvision", "descent data fetch"):
        from torchvision.datasets import utils

    done = 0

    class Bar:
        """The part of tqdm that torchvision uses."""

        def __init__(self, *_: Any, **__: Any) -> None: ...

        def __enter__(self) -> Self:
            return self

        def __exit__(
            self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
        ) -> None: ...

        def update(self, count: int) -> None:
            nonlocal done
            done += count
            progress(min(done, total), total)

    with _one_at_a_time:
        bar, silence = utils.tqdm, socket.getdefaulttimeout()
        utils.tqdm = Bar
        socket.setdefaulttimeout(_SILENCE)
        try:
            yield
        finally:
            utils.tqdm = bar
            socket.setdefaulttimeout(silence)


def _one_line(error: BaseException) -> str:
    """Return an error on one line. torchvision's errors have a line for each mirror."""
    text = "; ".join(line.strip() for line in str(error).splitlines() if line.strip()) or type(error).__name__
    return text.replace(":; ", ": ").replace("got:; ", "got: ").rstrip(".")
