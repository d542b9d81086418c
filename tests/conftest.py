"""Fixtures of all tests: an isolated home, the real data sets, real runs of the command line."""

import json
import os
import signal
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from descent.warm import hold
from hatch_build import compile_catalogues
from tests.helpers.held_run import Held
from tests.helpers.processes import Child, Done, kill, process
from tests.helpers.real_data import real_folder

# PyTorch's own choice of threads makes a shared machine's times and sums unpredictable.
os.environ.setdefault("OMP_NUM_THREADS", "1")
# The processes of pytest-xdist have these set; the size of a real terminal would count for nothing.
for _size in ("COLUMNS", "LINES"):
    os.environ.pop(_size, None)


def pytest_configure(config: pytest.Config) -> None:
    """Compile the translations once, before processes of pytest-xdist start. Obey the signals that tests send.

    Under nohup, or behind `&` in a script, the suite is started with some of them ignored, and so would Descent be.
    """
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    if not hasattr(config, "workerinput"):
        compile_catalogues()


def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """Return the number of processes for `-n auto`: two a core, as many tests wait for a process of their own."""
    return 2 * len(os.sched_getaffinity(0))


def _isolate(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in ("DESCENT_RUNS", "DESCENT_DATA", "DESCENT_PRESETS"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("DESCENT_WARM", "0")  # `warm` is a fixture
    monkeypatch.setenv("DESCENT_LANG", "en")  # whatever the locale of who runs the tests
    for variable in ("XDG_STATE_HOME", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME"):
        monkeypatch.setenv(variable, str(home / variable.lower()))


@pytest.fixture(scope="session", autouse=True)
def isolated_session(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Fixtures of a whole module are made outside any test; they too leave the user's own folders alone."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        _isolate(tmp_path_factory.mktemp("home"), monkeypatch)
        yield


@pytest.fixture(autouse=True)
def isolated_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test reads or writes the user's own state, data or runs."""
    _isolate(tmp_path / "home", monkeypatch)


@pytest.hookimpl(tryfirst=True)  # before tests are chosen by their marks
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A long test is slow, too: `-m "not slow"` takes the place of the `-m "not long"` that else leaves it out."""
    for item in items:
        if item.get_closest_marker("long") is not None:
            item.add_marker("slow")


@pytest.fixture(scope="session", autouse=True)
def no_waiting_for_disks() -> Iterator[None]:
    """No test cuts the power; what a killed process has written is there without a sync. Processes that are started,
    rather than forked, do sync."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(os, "fsync", lambda descriptor: None)
        yield


@pytest.fixture
def parsed(monkeypatch: pytest.MonkeyPatch) -> Counter[bytes]:
    """How often each line of a log was parsed in this process."""
    count: Counter[bytes] = Counter()
    loads = json.loads

    def counted(text: Any, **options: Any) -> Any:
        if isinstance(text, bytes) and b'"event"' in text:  # else it is a whole file
            count[text] += 1
        return loads(text, **options)

    monkeypatch.setattr(json, "loads", counted)
    return count


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real data sets: `MNIST/raw/*` and `cifar10-jpeg.zip`."""
    folder = real_folder()
    if folder is None:
        pytest.skip("real MNIST and CIFAR-10 not at hand: name their folder in $DESCENT_TEST_DATA")
    return folder


@pytest.fixture
def descent(tmp_path: Path) -> Iterator[Callable[..., Child]]:
    """`descent(words …)` starts a forked `descent` in `tmp_path`, whose runs are in tmp_path/runs."""
    from engine.preset.schema import describe
    from engine.training import worker  # noqa: F401 - loaded once here, not in each child

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


@pytest.fixture(scope="session")
def warm_process() -> None:
    """The process that `warm` forks from. It ends with this one."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.delenv("DESCENT_WARM")
        hold().join()


@pytest.fixture
def warm(warm_process: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs, gradings, learners' code, pictures and jobs begin as forks, instead of loading PyTorch anew."""
    monkeypatch.delenv("DESCENT_WARM")
