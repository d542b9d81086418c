"""Mistakes of beginners: code that makes them is graded for real, and the explanation names the mistake and the line.

A learner would read "unsupported operand type(s) for *: 'float' and 'NoneType'" and nothing else.
"""

import re
from pathlib import Path

import pytest

from descent.common.i18n import use
from engine.labs.explanation import Failure, Mistake, explain, source_of
from engine.labs.mistakes import MISTAKES
from engine.labs.verdict import Verdict
from tests.helpers.graded_lab import check_of, graded, make_lab, work_on

# The mistake, the function's body as learners write it, and the criterion. Its line ends with "# here".
BOTH = "tensor64([0.0, 1.0, 2.0]), tensor64([1.0, 3.0, 6.0])"
ARRAYS = "array([0.0, 1.0, 2.0]), array([1.0, 3.0, 6.0])"
STEP = """
b = torch.zeros((), dtype=x.dtype, requires_grad=True)
w = torch.zeros((), dtype=x.dtype, requires_grad=True)
for _ in range(3):
    ((b + w * x - y) ** 2).mean().backward()
"""
CASES: dict[str, tuple[str, str, str]] = {
    "grad-of-new-tensor": (
        f"{STEP}    b = b - 0.1 * b.grad  # here\n    w = w - 0.1 * w.grad\nreturn b, w",
        BOTH,
        "0",
    ),
    "no-backward": ("b = torch.zeros((), requires_grad=True)\nreturn b - 0.1 * b.grad  # here", BOTH, "0"),
    "grad-none": (f"{STEP}    torch.ones(2).grad.zero_()  # here", BOTH, "0"),
    "in-place-on-leaf": (f"{STEP}    b -= 0.1 * b.grad  # here", BOTH, "0"),
    "backward-twice": (
        "b = torch.zeros((), requires_grad=True)\nloss = ((b - y) ** 2).mean()\nfor _ in range(2):\n"
        "    loss.backward()  # here",
        BOTH,
        "0",
    ),
    "loss-not-scalar": ("b = torch.zeros((), requires_grad=True)\n((b - y) ** 2).backward()  # here", BOTH, "0"),
    "graph-lost": (
        "b = torch.zeros((), requires_grad=True)\n((b.detach() - y) ** 2).mean().backward()  # here",
        BOTH,
        "0",
    ),
    "no-requires-grad": (
        "b = torch.tensor(0.0)\n((b - y) ** 2).mean().backward()  # here\nreturn b.item()",
        BOTH,
        "0",
    ),
    "requires-grad-of-integers": ("b = torch.tensor(0, requires_grad=True)  # here", BOTH, "0"),
    "changed-before-backward": (
        "b = torch.zeros(3, requires_grad=True)\nc = b.exp()\nc += 1\nc.sum().backward()  # here",
        BOTH,
        "0",
    ),
    "numpy-of-graph": ("return torch.zeros(3, requires_grad=True).numpy()  # here", BOTH, "0"),
    "item-of-many": ("return ((x - y) ** 2).item()  # here", BOTH, "0"),
    "item-before-backward": ("loss = ((x - y) ** 2).mean().item()\nloss.backward()  # here", BOTH, "0"),
    "array-for-tensor": ("return x.unsqueeze(1)  # here", ARRAYS, "0"),
    "array-into-torch": ("return torch.nn.functional.linear(x, torch.ones(1, 3))  # here", ARRAYS, "0"),
    "list-arithmetic": ("return [1, 2] - [3, 4]  # here", ARRAYS, "0"),
    "mean-of-booleans": ("return (x == y).mean()  # here", BOTH, "0"),
    "truth-of-many": ("if x > y:  # here\n    return x", BOTH, "0"),
    "matrix-shapes": ("return torch.nn.Linear(64, 10)(torch.ones(4, 32))  # here", BOTH, "0"),
    "lengths-differ": ("return x - y[1:]  # here", BOTH, "0"),
    "shapes-differ": ("return x - y[1:]  # here", ARRAYS, "0"),
    "column-for-row": (
        "return torch.nn.functional.binary_cross_entropy_with_logits(x.unsqueeze(1), y)  # here",
        BOTH,
        "0",
    ),
    "labels-as-floats": ("return torch.nn.functional.cross_entropy(torch.ones(3, 7), y)  # here", BOTH, "0"),
    "labels-as-integers": (
        "p = torch.tensor([0.5], requires_grad=True)\n"
        "return torch.nn.functional.binary_cross_entropy(p, torch.tensor([1]))  # here",
        BOTH,
        "0",
    ),
    "class-out-of-range": ("return torch.nn.functional.cross_entropy(torch.ones(3, 6), y.long())  # here", BOTH, "0"),
    "types-differ": ("return torch.nn.Linear(3, 1)(x)  # here", BOTH, "0"),
    "wrong-device": ("return x.to('meta') + torch.ones(3)  # here", BOTH, "0"),
    "dimension": ("return x.argmax(1)  # here", BOTH, "0"),
    "index": ("return x[3]  # here", BOTH, "0"),
    "optimizer-without-parameters": ("torch.optim.SGD([], lr=0.1)  # here", BOTH, "0"),
    "optimizer-parameters": ("torch.optim.SGD([x * torch.ones(3, requires_grad=True)], lr=0.1)  # here", BOTH, "0"),
    "module-without-init": (
        "class Net(torch.nn.Module):\n    def __init__(self):\n        self.layer = torch.nn.Linear(1, 1)  # here\n"
        "return Net()",
        BOTH,
        "0",
    ),
    "no-forward": (
        "class Net(torch.nn.Module):\n    def foward(self, x):\n        return x\nreturn Net()(x)  # here",
        BOTH,
        "0",
    ),
    "unknown-name": ("return nn.Linear(1, 1)  # here", BOTH, "0"),
    "used-before-set": ("for one in x:\n    total += one  # here\nreturn total", BOTH, "0"),
    "unpacking-none": ("b, w = print()  # here\nreturn b", BOTH, "0"),
    "returned-none": ("b = x.mean()", BOTH, "1"),
    "broadcast": ("error = x.reshape(-1, 1) - y  # here\nreturn (error ** 2).mean()", BOTH, "1"),
    "broadcast-of-arrays": ("return (x.reshape(-1, 1) - y).mean()  # here", ARRAYS, "1"),
    "softmax-twice": (
        "p = torch.softmax(torch.stack([x, y], 1), 1)\nlabels = torch.zeros(3, dtype=torch.long)\n"
        "return torch.nn.functional.cross_entropy(p, labels)  # here",
        BOTH,
        "1",
    ),
    "softmax-twice-by-hand": (
        "e = torch.stack([x, y], 1).exp()\np = e / e.sum(1, keepdim=True)\n"
        "labels = torch.zeros(3, dtype=torch.long)\n"
        "return torch.nn.functional.cross_entropy(p, labels)  # here",
        BOTH,
        "1",
    ),
    "argmax-dimension": (
        "scores = torch.stack([x, y], 1)\nreturn scores.argmax(0)[0]  # here",
        BOTH,
        "5",
    ),
    "not-zeroed": (f"{STEP.replace('    ((', '    ((').rstrip()}  # here\nreturn b.grad", BOTH, "1"),
    "not-eval": ("net = torch.nn.Dropout(0.5)\nreturn net(x + 1).mean()  # here", BOTH, "9"),
    "log-of-zero": ("return (x * torch.log(x)).mean()  # here", BOTH, "1"),
    "became-infinite": ("return (1 / x).mean()  # here", BOTH, "1"),
    "swapped": ("return 3.0, 1.0", ARRAYS, "[1, 3]"),
    "sign": ("return -1.0, 3.0", ARRAYS, "[1, -3]"),
    "sum-for-mean": ("return 2 * (x - y).sum()", ARRAYS, "-4.66666666667"),
    "divided-twice": ("return (x - y).mean() / len(x)", ARRAYS, "-2.33333333333"),
    "factor-missing": ("return (x - y).mean()", ARRAYS, "-4.66666666667"),
    "factor-twice": ("return 4 * (x - y).mean()", ARRAYS, "-4.66666666667"),
    "all-zero": ("b = w = 0.0\nfor _ in range(3):\n    step = b + 0.1\nreturn b, w", ARRAYS, "[1, 2]"),
}
OF_FILES = {  # mistakes for which the whole file can't be read
    "indentation": "def f(x):\nreturn x\n",
    "bracket": "def f(x):\n    return (x\n",
    "colon": "def f(x)\n    return x\n",
    "outside-function": "def f(x):\n    y = x\nreturn y\n",
}
UNSEEN = {"records-gradients", "diverged"}  # have tests of their own


def _id(case: str) -> str:
    """The mistake that a case makes: several may make the same in different ways."""
    return case.removesuffix("-of-arrays").removesuffix("-by-hand")


def function(name: str, body: str) -> str:
    inside = "".join(f"    {line}\n" for line in body.strip().splitlines())
    return f"def {name.replace('-', '_')}(x, y):\n{inside}\n"


SOURCE = "import numpy as np\nimport torch\n\n\n" + "".join(
    function(name, body) for name, (body, _, _) in CASES.items()
)
CHECKS = "".join(
    f"""
[[lab.checks]]
id = "{name}"
text = {{ en = "{name}", ko = "{name}" }}
value = 'apart(learner("{name.replace("-", "_")}", {given}), {wanted})'
most = 1e-6
"""
    for name, (_, given, wanted) in CASES.items()
)
CHECKS += f"""
[[lab.checks]]
id = "done-in-place"
text = {{ en = "what is done counts", ko = "." }}
prepare = ['learner("returned_none", {BOTH})']
value = "1"
most = 0
"""


@pytest.fixture(scope="module")
def verdict(tmp_path_factory: pytest.TempPathFactory, warm_process: None) -> Verdict:
    """All of them, graded at once."""
    place = tmp_path_factory.mktemp("mistakes")
    lab = make_lab(place, CHECKS, grade_table="grade = false")
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.delenv("DESCENT_WARM", raising=False)
        return graded(work_on(lab, place / "work", code=SOURCE), place)


@pytest.mark.parametrize(
    ("body", "gave"),
    [
        ("return (outputs == 0).any(0).mean()", 1.0),
        ("return (outputs == 0).all(1).mean()", 0.25),
        ("return 0.0", 0.0),
    ],
)
def test_a_number_that_is_twice_another_by_chance_is_no_factor(body: str, gave: float) -> None:
    """Who counts dead units wrongly would be told of the derivative of a square."""
    failure = Failure(source=f"def dead_share(outputs):\n    {body}", gave=(gave,), wanted=(0.5,))
    assert explain(failure, "learner.py", MISTAKES) is None


@pytest.mark.slow
@pytest.mark.parametrize("mistake", CASES)
def test_the_mistake_is_recognised_with_its_line(verdict: Verdict, mistake: str) -> None:
    """A learner would be told of another mistake, or look at a line where nothing is wrong."""
    check = check_of(verdict, mistake)
    assert not check.passed
    assert check.explanation is not None, check.error
    assert check.explanation["id"] == _id(mistake), (check.error, check.explanation)
    body = CASES[mistake][0]
    if "# here" in body:
        line = check.explanation["line"]
        assert SOURCE.splitlines()[line - 1].endswith("# here"), (line, check.explanation)
        assert check.explanation["code"] == SOURCE.splitlines()[line - 1].strip()
    assert f"line {check.explanation['line']}" in f"{check.error} {check.explanation['text']}" or "# here" not in body


@pytest.mark.slow
def test_a_function_that_has_to_return_nothing_is_not_told_to(verdict: Verdict) -> None:
    """A learner would add a return to a function that is called for what it does, and look for the bug there."""
    assert check_of(verdict, "done-in-place").explanation is None


def test_every_mistake_has_code_that_makes_it() -> None:
    """A row that never fits would stay unnoticed."""
    assert {mistake.id for mistake in MISTAKES} == {
        *(_id(case) for case in CASES),
        *OF_FILES,
        *UNSEEN,
    }


@pytest.mark.slow
@pytest.mark.usefixtures("warm")
@pytest.mark.parametrize("mistake", OF_FILES)
def test_a_file_that_is_not_python_is_explained(tmp_path: Path, mistake: str) -> None:
    """A learner would read "expected ':'" and not know which."""
    checks = '[[lab.checks]]\nid = "f"\ntext = { en = "f", ko = "f" }\nvalue = \'learner("f", 1)\'\nmost = 0\n'
    lab = make_lab(tmp_path, checks, grade_table="grade = false")
    check = check_of(graded(work_on(lab, tmp_path / "work", code=OF_FILES[mistake]), tmp_path), "f")
    assert check.explanation is not None, check.error
    assert (check.explanation["id"], bool(check.explanation["line"])) == (mistake, True)


@pytest.mark.slow
@pytest.mark.usefixtures("warm")
def test_right_code_and_unknown_mistakes_get_no_explanation(tmp_path: Path) -> None:
    """A wrong explanation would send a learner where nothing is wrong."""
    code = "def right(x, y):\n    return (x - y).mean()\n\ndef other(x, y):\n    return 1.2345\n\n"
    code += "def unfilled(x, y):\n    raise NotImplementedError('return a number')\n"
    checks = "".join(
        f'[[lab.checks]]\nid = "{name}"\ntext = {{ en = "f", ko = "f" }}\nmost = 1e-6\n'
        f"value = 'apart(learner(\"{name}\", {ARRAYS}), -2.33333333333)'\n"
        for name in ("right", "other", "unfilled")
    )
    lab = make_lab(tmp_path, checks, grade_table="grade = false")
    verdict = graded(work_on(lab, tmp_path / "work", code=code), tmp_path)
    assert check_of(verdict, "right").passed
    assert check_of(verdict, "right").explanation is None
    assert check_of(verdict, "other").explanation is None
    unfilled = check_of(verdict, "unfilled").explanation
    assert unfilled is not None
    assert (unfilled["id"], unfilled["text"]) == ("unfilled", "")


def test_gradients_are_the_mistake_only_where_a_criterion_asks_for_them() -> None:
    """A wrong number would be put down to autograd, which does not change it."""
    seen = {"recording": {"line": 3, "code": "model(x)"}}
    asked = explain(Failure(seen=seen, about='max(calls("net")[:, 2]) == 0'), "net.py", MISTAKES)
    assert asked is not None
    assert asked.id == "records-gradients"
    assert asked.text.endswith('(net.py, line 3: "model(x)")')
    assert explain(Failure(seen=seen, about='apart(learner("f"), 1)'), "net.py", MISTAKES) is None


def test_a_graded_run_that_diverged_says_so() -> None:
    """A learner who chose too large a rate would read that a value is not a number."""
    found = explain(Failure(diverged=True), "net.py", MISTAKES)
    assert found is not None
    assert found.id == "diverged"


@pytest.mark.parametrize("mistake", MISTAKES, ids=[one.id for one in MISTAKES])
def test_explanations_speak_korean_and_fill_their_fields(mistake: Mistake) -> None:
    """A learner would read English, or {left} instead of a shape."""
    fields = set(re.findall(r"{(\w+)}", mistake.text))
    named = set(re.findall(r"\(\?P<(\w+)>", mistake.pattern + mistake.source))
    observed = {"broadcast": {"left", "right", "result"}, "infinite": {"name"}}.get(mistake.seen, set())
    assert fields <= named | observed | {"times", "parts"}
    use("ko")
    from descent.common.i18n import _

    assert re.search("[가-힣]", _(mistake.text, **dict.fromkeys(fields, "1")))


def test_the_source_of_a_function_has_no_comments_but_what_it_calls() -> None:
    """A `zero_grad` in a comment, or a sum in another function, would hide or make a mistake."""
    text = (
        '"""file"""\ndef a(x):\n    "doc"\n    return b(x)  # zero_grad\n\ndef b(x):\n    return x\n\ndef c(): pass\n'
    )
    found = source_of(text, ["a"])
    assert "zero_grad" not in found
    assert "doc" not in found
    assert ("def b" in found, "def c" in found) == (True, False)
    for no_program in ("def a(", "x = " + 200_000 * "-" + "1", "\0"):  # the second one is too deep for the parser
        assert source_of(no_program, ["a"]) == ""
