"""The examples of the library in the documentation run as they are written; who copies one would get a traceback."""

import os
import re
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

import descent
from descent import sync
from tests.helpers.waiting import DEADLINE

pytestmark = pytest.mark.slow
CHECKOUT = Path(__file__).resolve().parents[1]


def blocks(page: str) -> list[str]:
    text = (CHECKOUT / page).read_text()
    return re.findall(r"^```python\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


def docstring_example(text: str | None) -> str:
    """The indented lines."""
    lines = (text or "").splitlines()
    return textwrap.dedent("\n".join(line for line in lines if line.startswith("    ") or not line))


AWAITED = "import asyncio, descent\nasync def main():\n{}\nasyncio.run(main())"
EXAMPLES = {
    **{f"README.md {i}": block for i, block in enumerate(blocks("README.md")) if "sync.start" in block},
    **{f"steering.md {i}": block for i, block in enumerate(blocks("engine/docs/steering.md"))},
    "descent.sync": docstring_example(sync.__doc__),
    "descent": AWAITED.format(textwrap.indent(docstring_example(descent.__doc__), "    ")),
}


@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example_runs_as_it_is_written(name: str, tmp_path: Path) -> None:
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
    assert len(blocks("engine/docs/steering.md")) == 2
