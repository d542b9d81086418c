"""The examples of the library in the documentation run as they are written; who copies one would get a traceback."""

import os
import re
import shutil
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

import descent
from descent import sync
from tests.helpers.waiting import DEADLINE

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("warm")]
CHECKOUT = Path(__file__).resolve().parents[1]


def blocks(page: str) -> list[str]:
    text = (CHECKOUT / page).read_text()
    return re.findall(r"^```python\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


def docstring_example(text: str | None) -> str:
    """The indented lines."""
    lines = (text or "").splitlines()
    return textwrap.dedent("\n".join(line for line in lines if line.startswith("    ") or not line))


def block_with(word: str) -> str:
    [block] = [block for block in blocks("engine/docs/steering.md") if word in block]
    return block


AWAITED = "import asyncio, descent\nasync def main():\n{}\nasyncio.run(main())"
EXAMPLES = {
    **{f"README.md {i}": block for i, block in enumerate(blocks("README.md")) if "sync.start" in block},
    **{
        f"steering.md {i}": block
        for i, block in enumerate(blocks("engine/docs/steering.md"))
        if "disk_usage" not in block  # which would stop nothing here
    },
    "descent.sync": docstring_example(sync.__doc__),
    "descent": AWAITED.format(textwrap.indent(docstring_example(descent.__doc__), "    ")),
}


@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example_runs_as_it_is_written(name: str, tmp_path: Path) -> None:
    if "import optuna" in EXAMPLES[name]:
        pytest.importorskip("optuna")
    done = subprocess.run(
        [sys.executable, "-c", EXAMPLES[name]], cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(CHECKOUT)},
        capture_output=True, text=True, check=False, timeout=DEADLINE,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert re.search(r"finished|stopped", done.stdout)
    assert re.search(r"\d\.\d", done.stdout)  # a loss


def test_the_documentation_shows_both_forms() -> None:
    """An example that is gone from its page would be tested no more."""
    assert [name for name in EXAMPLES if name.startswith("README")]
    assert len(blocks("engine/docs/steering.md")) == 5


def test_the_watch_of_the_disk_stops_all_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A full disk would end all runs with an error in the place of a checkpoint."""
    monkeypatch.setenv("DESCENT_RUNS", str(tmp_path))
    started = [sync.start("digits-mlp", ["train.epochs=100000"]) for _ in range(2)]
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=10**9))
    monkeypatch.setattr(time, "sleep", lambda seconds: None)
    exec(block_with("disk_usage"), {})
    assert [run.state for run in started] == ["stopped", "stopped"]
