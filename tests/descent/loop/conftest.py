"""Scripts of a test's own, each in a folder of its own."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.helpers.loops import Made, Script


@pytest.fixture
def script(tmp_path: Path) -> Iterator[Made]:
    made: list[Script] = []

    def make(name: str) -> Script:
        made.append(Script(tmp_path / name))
        return made[-1]

    yield make
    for one in made:
        if one.pid and not one.has_ended():
            os.kill(one.pid, signal.SIGKILL)
            one.end()
