"""A project with an `engine.py` of its own and `PYTHONPATH=.` works with Descent, and Descent works in it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.helpers.waiting import DEADLINE

pytestmark = pytest.mark.slow

SCRIPT = """
import asyncio, sys
import descent, engine, tui, utils
assert (engine.NAME, tui.NAME, utils.NAME) == ("mine",) * 3
assert not {"torch", "pydantic", "numpy"} & set(sys.modules), "import descent loads too much"

async def main():
    run = await descent.start("linear-regression", ["train.epochs=2"], run_id="scripted")
    print(await run.wait(), len(run.metrics()))
    fork = await run.fork(None, ["train.epochs=4"], run_id="forked")
    print(await fork.wait(), fork.summary()["epoch"])
    try:
        await descent.start("linear-regresion")
    except descent.DescentError as error:
        print("linear-regression" in str(error))

asyncio.run(main())
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    for name in ("engine", "tui", "utils"):
        (tmp_path / f"{name}.py").write_text("NAME = 'mine'\n")
    (tmp_path / "presets").mkdir()
    (tmp_path / "presets" / "mine.toml").write_text("not a preset")
    (tmp_path / "script.py").write_text(SCRIPT)
    return tmp_path


def python(project: Path, *words: str) -> str:
    """What `python WORDS` prints in the project's folder, with the folder on its path."""
    path = os.pathsep.join([".", str(Path(__file__).parents[1])])
    done = subprocess.run(
        [sys.executable, *words], cwd=project, env={**os.environ, "PYTHONPATH": path},
        capture_output=True, text=True, check=False, timeout=DEADLINE,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_commands_and_workers_find_their_own_modules(project: Path) -> None:
    """Every command would end in an ImportError, or run the project's own `engine.py`."""
    assert "linear-regression" in python(project, "-m", "descent", "presets", "list")
    run = ("-m", "descent", "run", "linear-regression", "--set", "train.epochs=3", "--json")
    assert '"state": "finished"' in python(project, *run)
    assert '"run": "behind"' in python(project, *run, "--detach", "--id", "behind")


def test_a_script_has_both_descent_and_its_own_engine(project: Path) -> None:
    """`import descent` would take a name away that the project's own scripts import."""
    assert python(project, "script.py").split("\n")[:3] == ["finished 2", "finished 4", "True"]
