"""Real runs for the tests of the command line."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.processes import Child, Done, Held, kill, process


@pytest.fixture
def descent(tmp_path: Path) -> Iterator[Callable[..., Child]]:
    """`descent(words …)` starts a forked `descent` in `tmp_path`, whose runs are in tmp_path/runs."""
    import sklearn.datasets

    from engine.preset.schema import describe
    from engine.training import worker  # noqa: F401 - loaded once here, not in each child

    sklearn.datasets.load_digits()
    describe.json_schema()
    children: list[Child] = []

    def start(*words: str, **options: Any) -> Child:
        folder = tmp_path / f"printed-{len(children)}"
        folder.mkdir()
        children.append(Child(words, folder, cwd=options.pop("cwd", tmp_path), **options).start())
        return children[-1]

    yield start
    for child in children:
        kill(child)


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    """Where the runs of `descent` are."""
    return tmp_path / "runs"


@pytest.fixture
def held(tmp_path: Path) -> Held:
    """A preset whose training stands still for as long as a test wants."""
    return Held(tmp_path)


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Done, Path]:
    """How a whole run in a process of its own ended, and the folder it was started in. To be read only."""
    folder = tmp_path_factory.mktemp("finished")
    homes = {name: str(folder / "home") for name in ("XDG_STATE_HOME", "XDG_CACHE_HOME", "XDG_CONFIG_HOME")}
    words = ["run", "digits-mlp", "--id", "whole", "--json", "--runs-dir", "runs"]
    return process(words, cwd=folder, env={**os.environ, **homes}), folder
