"""A disk that takes no more, for tests that write in their own process."""

import contextlib
import errno
import os
import resource
from collections.abc import Iterator
from typing import Any

import pytest


@contextlib.contextmanager
def no_room(most: int = 0) -> Iterator[None]:
    """Let no file of this process grow beyond `most` bytes."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (most, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def full_once(monkeypatch: pytest.MonkeyPatch, owner: object, name: str) -> None:
    """Let the first call of a function find the disk full."""
    whole = getattr(owner, name)

    def full(*_given: Any, **_named: Any) -> Any:
        monkeypatch.setattr(owner, name, whole)
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(owner, name, full)
