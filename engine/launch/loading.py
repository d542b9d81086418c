"""Faster starts: loading PyTorch, which takes two seconds, reading the data's files meanwhile, and fewer garbage
collections.
"""

import contextlib
import gc
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import ModuleType

from descent.common.errors import CannotGoOnError
from descent.common.i18n import _


@contextlib.contextmanager
def without_collections() -> Iterator[None]:
    """Keep the garbage collector off. While modules are imported it finds nothing, and takes a sixth of the time."""
    collects = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collects:
            gc.enable()


def settle() -> None:
    """Let the garbage collector look at what is made from now on alone: the objects made so far stay until the end.

    A collection of them would stop the console, or the training, for a tenth of a second.
    """
    gc.freeze()
    gc.enable()


def worker() -> ModuleType:
    """Import engine.training.worker, with PyTorch. Raises CannotGoOnError if that can't be loaded."""
    try:
        with without_collections():
            from engine.training import worker as worker_
    except ImportError as error:
        raise CannotGoOnError(
            _("PyTorch can't be loaded: {error}; `descent doctor` says more", error=error)
        ) from None
    settle()
    return worker_


def read_ahead(files: Iterable[Path]) -> None:
    """Let the system read the files into memory while this process goes on. A folder is not read."""
    if not hasattr(os, "posix_fadvise"):
        return
    for file in files:
        try:
            # Without O_NONBLOCK a pipe would wait for its writer.
            descriptor = os.open(file, os.O_RDONLY | os.O_NONBLOCK)
        except OSError:
            continue  # whoever reads the file will report the error
        try:
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_WILLNEED)
        except OSError:
            pass  # a folder or a pipe
        finally:
            os.close(descriptor)
