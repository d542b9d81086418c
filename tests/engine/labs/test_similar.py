"""Code that two students share is pointed out, and what the lab gave to both of them is not."""

import pytest

from engine.labs.similar import Work, similar

START = "def descend(x, y, lr, steps):\n    '''Fit a line.'''\n    raise NotImplementedError\n"
MINA = '''\
def descend(x, y, lr, steps):
    """Fit a line."""
    b, w = 0.0, 0.0
    for step in range(steps):
        error = b + w * x - y  # (n,)
        b = b - lr * 2 * error.mean()
        w = w - lr * 2 * (error * x).mean()
    return b, w
'''
RENAMED = MINA.replace("error", "diff").replace("step in", "i in").replace("0.0, 0.0", "0.0, 0.0  # start")
OTHER = """\
import numpy as np

def descend(x, y, lr, steps):
    theta = np.zeros(2)
    design = np.stack([np.ones_like(x), x], axis=1)
    while steps > 0:
        theta -= lr * (2 / len(y)) * design.T @ (design @ theta - y)
        steps -= 1
    return theta[0], theta[1]
"""


@pytest.mark.parametrize(
    ("code", "said"),
    [
        (MINA.replace("# (n,)", "# of each sample\n"), "equal code: mina"),
        (RENAMED, "100% equal code: mina"),
        (OTHER, ""),
        (START, ""),
    ],
)
def test_equal_and_nearly_equal_code(code: str, said: str) -> None:
    """Copies with other names and comments would pass for work of one's own, or honest work for a copy."""
    works = {"1": Work("mina", "gd-line", MINA, START), "2": Work("jun", "gd-line", code, START)}
    assert similar(works)["2"] == said


def test_little_code_and_other_labs_say_nothing() -> None:
    """Who fills in `return 2 * x` like everybody would be accused."""
    short = START.replace("raise NotImplementedError", "return 2 * x")
    works = {str(n): Work(f"s{n}", "slope", short, START) for n in range(3)}
    works["x"] = Work("mina", "other", MINA, START)
    works["y"] = Work("jun", "gd-line", MINA, START)
    works["z"] = Work("jun", "gd-line", MINA, START)  # handed in twice
    assert set(similar(works).values()) == {""}


def test_a_copied_hand_in_has_the_same_runs() -> None:
    """A copy of a lab without code would look like work of one's own."""
    runs = frozenset({"slow-260302-091500-abcd"})
    works = {name: Work(name, "slow", None, None, runs) for name in ("mina", "jun")}
    works["sora"] = Work("sora", "slow", None, None, frozenset({"slow-260302-091500-wxyz"}))
    assert similar(works) == {"mina": "the same runs: jun", "jun": "the same runs: mina", "sora": ""}


def test_one_hand_in_that_two_have_uploaded_is_pointed_out() -> None:
    """Whoever uploads a friend's zip as it is would pass: the name in it is the friend's."""
    works = {
        number: Work(name, "gd-line", MINA, START, account=f"moodle {number}")
        for number, name in {"12": "mina", "13": "jun"}.items()
    }
    assert similar(works) == {"12": "equal code: jun", "13": "equal code: mina"}
    again = {number: Work("mina", "gd-line", MINA, START, account="moodle 12") for number in "12"}
    assert similar(again) == {"1": "", "2": ""}
