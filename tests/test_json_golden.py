"""Scripts, notebooks and batch jobs read what `--json` prints: they would break, or read something else, unnoticed.

The commands, and what can't be the same twice, are in tests/tools/golden_json.py.
"""

import difflib
import json
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from tests.tools import golden_json

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("warm")]

Printed = dict[str, Future[str]]  # by scene
AT_ONCE = 2  # scenes; each is one process after the other


@pytest.fixture(scope="module")
def printed(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, warm_process: None
) -> Iterator[dict[str, Future[str]]]:
    """What each scene that is tested has printed, or will have."""
    tests = [test for test in request.session.items if test.path == request.path]
    names = [name for name in golden_json.SCENES if any(test.name.endswith(f"[{name}]") for test in tests)]
    folders = [tmp_path_factory.mktemp("scene") for _ in names]
    with ThreadPoolExecutor(AT_ONCE) as pool:
        yield {
            name: pool.submit(golden_json.played, name, folder) for name, folder in zip(names, folders, strict=True)
        }


@pytest.mark.parametrize("name", golden_json.SCENES)
def test_what_programs_read_is_as_it_was(name: str, printed: Printed) -> None:
    """A script would find a key that is gone, a number in other words, or another exit code."""
    golden, found = golden_json.file_of(name).read_text(encoding="utf-8"), printed[name].result()
    assert found == golden, _difference(golden, found, name)


def _difference(golden: str, found: str, name: str) -> str:
    """What differs, with each key on a line of its own; as it was printed, where only that differs."""
    one, other = ([line for text in side.splitlines() for line in _lines(text)] for side in (golden, found))
    if one == other:
        one, other = golden.splitlines(), found.splitlines()
    shown = "\n".join(difflib.unified_diff(one, other, "as it was", "as it is", lineterm="", n=8))
    return f"{shown}\nWhere that is meant, `python -m tests.tools.golden_json '{name}'` makes it anew."


def _lines(text: str) -> list[str]:
    return json.dumps(json.loads(text), indent=1).splitlines() if text.startswith("{") else [text]
