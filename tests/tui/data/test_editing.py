"""Problems of a text at their lines: else a sign would stand beside a line that is right."""

import re
from pathlib import Path

import pytest

from descent.common.i18n import _, use
from engine.labs.mistakes import MISTAKES
from tui.data.editing import Problem, TrackedProblems, beginning_around, problems, where_it_begins

TEXT = "a\nb\nwrong\nd\ne\n"


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (TEXT, 3),
        ("new\na\nb\nwrong\nd\ne\n", 4),
        ("b\nwrong\nd\ne\n", 2),
        ("a\nb\n\nwrong\nd\ne\n", 4),
        ("a\nb\nwrong\n\nd\ne\n", 3),
        ("a\nb\nless wrong\nd\ne\n", 3),
        ("a\nb\nwro\nng\nd\ne\n", 3),
        ("a\nbwrong\nd\ne\n", 2),
        ("a\nb\nwrong\nd\n", 3),
        ("a\nb\nd\ne\n", None),
    ],
)
def test_a_problem_stays_at_its_line(text: str, line: int | None) -> None:
    """A learner who writes a line above would look for the mistake in the wrong place."""
    tracked = TrackedProblems(TEXT, [Problem("of the file"), Problem("of a line", 3)])
    assert tracked.follow(text) == tracked.is_outdated == (text != TEXT)
    assert [one.line for one in tracked.problems] == [None, *([line] if line is not None else [])]


def test_what_is_undone_brings_a_problem_back() -> None:
    """A learner who removes a line and takes it back would have lost what is wrong with it."""
    tracked = TrackedProblems(TEXT, [Problem("of a line", 3)])
    for text in ("x\n" + TEXT, "x\na\n", TEXT):
        tracked.follow(text)
    assert [one.line for one in tracked.problems] == [3]
    assert not tracked.is_outdated


@pytest.mark.parametrize(
    ("mistake", "code", "line"),
    [("colon", "def f(x)\n    return x\n", 1), ("outside-function", "def f(x):\n    y = x\nreturn y\n", 3)],
)
def test_a_file_that_is_not_python_is_explained_before_it_is_graded(
    tmp_path: Path, mistake: str, code: str, line: int
) -> None:
    """A Korean beginner would read "expected ':'", and no more."""
    file = tmp_path / "net.py"
    file.write_text(code)
    use("ko")
    (problem,) = problems(file)
    why = _(next(one.text for one in MISTAKES if one.id == mistake))
    assert problem.line == line
    assert problem.text.endswith(f"→ {why}")
    assert re.search("[가-힣]", why)


CODE = '''import torch


def f():
    """Of f."""

    x = 1
    return x


class G:
    def g(self):
        return 2
'''


@pytest.mark.parametrize(("line", "begins"), [(1, None), (4, 7), (8, 7), (9, None), (11, 12), (13, 12)])
def test_a_function_begins_after_its_docstring(line: int, begins: int | None) -> None:
    """A grading would take a learner away from where they are writing the function it names."""
    assert beginning_around(CODE, line) == begins
    assert beginning_around("def f(:\n    return 1\n", 2) is None
    assert [where_it_begins(CODE, name) for name in ("f", "G", "g")] == [7, 12, None]
