"""A project with an `engine.py` of its own and `PYTHONPATH=.` works with Descent, and Descent works in it."""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from descent.run.folder import RunFolder
from tests.helpers.processes import DESCENT
from tests.helpers.tmux import Terminal, terminal  # noqa: F401 - a fixture
from tests.helpers.waiting import DEADLINE, wait_for

pytestmark = pytest.mark.slow

SCRIPT = """
import asyncio, sys
import descent, engine, tui, utils
assert (engine.NAME, tui.NAME, utils.NAME) == ("mine",) * 3
assert not {"torch", "pydantic", "numpy"} & set(sys.modules), "import descent loads too much"
from descent import sync

async def main():
    run = await descent.start("linear-regression", ["train.epochs=2"], run_id="scripted")
    print(await run.wait(), len(run.metrics()))
    fork = await run.fork(None, ["train.epochs=4"], run_id="forked")
    print(await fork.wait(), fork.summary()["epoch"])
    try:
        await descent.start("linear-regresion")
    except descent.DescentError as error:
        print("linear-regression" in str(error))
    try:
        descent.load("scripted")
    except descent.DescentError as error:
        print("`engine` is " + engine.__file__ in str(error))

asyncio.run(main())
print(sync.start("linear-regression", ["train.epochs=2"]).wait())
assert not {"torch", "pydantic"} & set(sys.modules), "the library loads too much"
"""

NET = """
import torch
from {module} import NAME

class Net(torch.nn.Linear):
    def __init__(self, input_shape, outputs):
        super().__init__(1, outputs)
"""


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("project")
    (folder / "package").mkdir()
    for name in ("engine", "tui", "utils", "package/__init__", "package/engine", "my_engine"):
        (folder / f"{name}.py").write_text("NAME = 'mine'\n")
    (folder / "presets").mkdir()
    (folder / "presets" / "mine.toml").write_text("not a preset")
    (folder / "script.py").write_text(SCRIPT)
    return folder


PYTHONPATH = os.pathsep.join([".", str(Path(__file__).parents[1])])


HOLD = "from descent import warm; warm.hold().join(); print(flush=True); input()"


def environment(**more: str) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": PYTHONPATH, **more}


@pytest.fixture(scope="module")
def warm_there(project: Path) -> Iterator[dict[str, str]]:
    """The environment of people with such a project who have a warm process, as from their console."""
    warm = environment(DESCENT_WARM="1", LANG="C.UTF-8", LC_ALL="C.UTF-8")  # as in a Terminal
    command = [sys.executable, "-c", HOLD]
    with subprocess.Popen(command, cwd=project, env=warm, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdin is not None
        assert holder.stdout is not None
        holder.stdout.readline()
        yield warm
        holder.stdin.close()


def python(project: Path, *words: str, code: int = 0, env: dict[str, str] | None = None) -> str:
    """What `python WORDS` prints in the project's folder, with the folder on its path. code: what it exits with."""
    done = subprocess.run(
        [sys.executable, *words], cwd=project, env=env or environment(),
        capture_output=True, text=True, check=False, timeout=DEADLINE,
    )  # fmt: skip
    assert done.returncode == code, done.stderr
    return done.stdout if code == 0 else done.stderr


def state(project: Path, run_id: str) -> str:
    """How a run in the background has ended."""
    run = RunFolder(project / "runs" / run_id)
    wait_for(lambda: run.state() in ("finished", "failed"), "the run to end")
    return run.state()


def test_commands_and_workers_find_their_own_modules(project: Path) -> None:
    """Every command would end in an ImportError, or run the project's own `engine.py`."""
    assert "linear-regression" in python(project, "-m", "descent", "presets", "list")
    run = ("-m", "descent", "run", "linear-regression", "--set", "train.epochs=3", "--json")
    assert '"run": "behind"' in python(project, *run, "--detach", "--id", "behind")
    assert state(project, "behind") == "finished"


def test_a_script_has_both_descent_and_its_own_engine(project: Path, warm_there: dict[str, str]) -> None:
    """`import descent` would take a name away that the project's own scripts import."""
    printed = python(project, "script.py", env=warm_there)
    assert printed.split("\n")[:5] == ["finished 2", "finished 4", "True", "True", "finished"]


def test_a_model_s_code_that_imports_such_a_module_is_told_what_to_do(
    project: Path, warm_there: dict[str, str]
) -> None:
    """Its author would read that Descent's package lacks a function, and search there; each advice has to work."""
    run = ("-m", "descent", "run", "linear-regression", "--set", "train.epochs=2", "--allow-code", "--json")
    (project / "elsewhere").mkdir()
    net = project / "elsewhere" / "net.py"
    net.write_text(NET.format(module="engine"))
    said = python(project, *run, "--set", 'model={code="elsewhere/net.py:Net"}', code=2)
    assert f"the engine that is imported in {net}, line 3 is Descent's own package" in said
    assert "Put it beside your file, or rename it" in said
    run = (*run, "--set", 'model={code="net.py:Net"}')
    for number, module in enumerate(("engine", "package.engine")):  # beside the file
        (project / "net.py").write_text(NET.format(module=module))
        python(project, *run, "--detach", "--id", f"run-{number}", env=warm_there)
        assert state(project, f"run-{number}") == "finished"


@pytest.fixture
def short_tmp(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A $TMPDIR for sockets, whose paths may have 107 bytes: pytest's own are longer."""
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        monkeypatch.setenv("TMPDIR", folder)
        yield Path(folder)


LOADER = """
import torch
from torch.utils.data import DataLoader, Dataset

class Squares(Dataset):
    def __len__(self):
        return 40

    def __getitem__(self, i):
        return torch.tensor([float(i), i * i]), i % 2

def load(method):
    loader = DataLoader(Squares(), batch_size=10, num_workers=1, multiprocessing_context=method)
    parts = list(loader)
    return torch.cat([x for x, _ in parts]), torch.cat([y for _, y in parts])
"""


@pytest.mark.parametrize(("method", "behind"), [("spawn", ["--detach"]), ("forkserver", [])])
def test_workers_of_a_data_loader_find_its_code_however_they_are_started(
    project: Path, short_tmp: Path, method: str, behind: list[str]
) -> None:
    """They would lack a module 'descent_user_code_…', or load Descent and find the project's `engine` instead."""
    (project / "own.py").write_text(LOADER)
    data = f'data={{code="own.py:load", arguments={{method="{method}"}}}}'
    settings = (data, "train.epochs=2", "train.batch_size=8")
    words = [word for setting in settings for word in ("--set", setting)]
    python(project, "-m", "descent", "run", "digits-mlp", *words, "--allow-code", "--id", method, *behind)
    assert state(project, method) == "finished", (project / "runs" / method / "output.log").read_text()
    wait_for(lambda: not list(short_tmp.glob("descent-code-*")), "its folder of modules to go")


@pytest.mark.skipif(shutil.which("tmux") is None, reason="tmux is not installed")
def test_the_console_opens_trains_and_opens_a_lab(
    project: Path,
    terminal: Terminal,  # noqa: F811
    warm_there: dict[str, str],
    tmp_path: Path,
) -> None:
    """The screens would not open, or not train, where the project has modules of their names."""
    own = [f"PYTHONPATH={PYTHONPATH}", "DESCENT_WARM=1", f"DESCENT_RUNS={tmp_path}"]
    terminal.start([*own, *DESCENT], project)
    terminal.wait_for("classification")
    terminal.press("/", *"linear-regr")
    terminal.wait_for("$ descent run linear-regression")
    terminal.press("Enter")
    terminal.wait_for("enter start")
    terminal.press("Enter")
    terminal.wait_for("✓ test")  # the receipt
    terminal.start([*own, *DESCENT, "lab"], project, session="lab")
    terminal.wait_for("enter get files")
