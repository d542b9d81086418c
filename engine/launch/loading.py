"""What a start waits for: PyTorch, which takes two seconds to load, and the files of the data, read meanwhile; and
how Python's collector of garbage is kept out of the way.
"""

import gc
import os
from collections.abc import Iterable
from pathlib import Path
from types import ModuleType

from descent.common.errors import CannotGoOnError


def settle() -> None:
    """What has been made so far stays until the end: the collector, which would stop the console for a tenth of a
    second to look through it, leaves it alone from now on.
    """
    gc.freeze()


def worker() -> ModuleType:
    """engine.training.worker, with PyTorch. CannotGoOnError where that can't be loaded.

    While it loads, Python's collector would look through all that has been made so far, again and again, and find
    nothing to collect: a sixth of the time.
    """
    collects = gc.isenabled()
    gc.disable()
    try:
        from engine.training import worker as worker_
    except ImportError as error:
        raise CannotGoOnError(f"PyTorch can't be loaded: {error}; `descent doctor` says more") from None
    finally:
        if collects:
            gc.enable()
    return worker_


def read_ahead(files: Iterable[Path]) -> None:
    """Have the system read the files into memory while this process goes on; of a folder, nothing is read."""
    if not hasattr(os, "posix_fadvise"):
        return
    for file in files:
        try:
            descriptor = os.open(file, os.O_RDONLY | os.O_NONBLOCK)  # a pipe would wait for its writer
        except OSError:
            continue  # the reader will say what is wrong with it
        try:
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_WILLNEED)
        except OSError:
            pass  # no file, but a folder or a pipe
        finally:
            os.close(descriptor)
