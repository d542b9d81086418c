"""The learner's process: whatever a learner's file does, the grader hears one sentence of it in time, and goes on."""

import os
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest

from descent.common.i18n import use
from engine.labs.messages import CheckError
from engine.labs.sandbox import enclosure
from engine.labs.sandbox.client import KEPT_OUTPUT, Learner, Limits, RaisedError
from engine.labs.sandbox.wire import Handle, Marked, Opaque

SOURCE = """
import ctypes, os, signal, subprocess, sys, time
import numpy as np, torch

def both(a, b):
    return {"type": type(a).__name__, "dtype": str(a.dtype), "sum": a + b}

def many():
    return 1, True, None, "x", torch.ones(2, requires_grad=True), np.float32(0.5), torch.nn.ReLU(), float("nan")

def fine(): return 1

def shapes():
    x = torch.ones(2)
    return x @ torch.ones(3)

def leaves(): sys.exit(0)
def interrupts(): raise KeyboardInterrupt
def deep(): return deep()
def asks(): return input()
def forks(): os.fork()
def spawns(): subprocess.run(["true"])
def hoards(): return torch.zeros(1 << 34)
def hoards_bytes(): return bytearray(1 << 34)
def unfilled(): raise NotImplementedError("unfilled: fill me")
def complex_numbers(): return np.array([1j])
def chatters(): print("y" * 300_000)

def loops():
    while True: pass

def sleeps():
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    time.sleep(1000)

def floods():
    while True: print("x" * 1000)

class Late:
    def __del__(self):
        while True: pass

def dies_late():
    Late()

def ends(): os._exit(7)
def crashes(): ctypes.string_at(0)

def right(model, loss, optimizer, x, y):
    optimizer.zero_grad()
    loss(model(x), y).backward()
    optimizer.step()

def wrong(model, loss, optimizer, x, y):
    loss(model(x), y).backward()
    optimizer.step()
"""


def process(folder: Path, source: str = SOURCE, **limits: float) -> Learner:
    (folder / "mine.py").write_text(source)
    agreed = sha256(source.encode()).hexdigest()
    allowed = Limits(**{"memory": 1 << 30, **limits})  # type: ignore[arg-type]
    (folder / "scratch").mkdir()
    file = folder / "mine.py"
    return Learner(file, file.name, folder / "scratch", allowed, agreed=agreed, readable=[folder.parent])


@pytest.fixture(scope="module")
def learner(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Learner]:
    """A process whose calls may take long, started as a learner's is: tests share it, for as long as it lives."""
    made = process(tmp_path_factory.mktemp("learner"), seconds=60.0, total=1000.0)
    yield made
    made.end()


@pytest.fixture
def hasty(warm: None, tmp_path: Path) -> Iterator[Learner]:
    """A process whose calls may not."""
    made = process(tmp_path, seconds=0.5, total=1000.0)
    yield made
    made.end()


def failed(learner: Learner, name: str) -> str:
    """What is said of a call."""
    with pytest.raises(CheckError) as caught:
        learner.call(name, [])
    assert "\n" not in str(caught.value)
    return str(caught.value)


# --- values ---


@pytest.mark.slow
def test_values_arrive_as_they_were(learner: Learner) -> None:
    """A right answer would be marked wrong."""
    x = np.array([[1.5, 2.0]])
    assert learner.call("both", [x, 1])["type"] == "ndarray"
    single = learner.call("both", [Marked(x, "float32"), Marked(x, "float32")])
    assert (single["type"], single["dtype"]) == ("Tensor", "torch.float32")
    assert np.array_equal(single["sum"], 2 * x)
    found = learner.call("many", [])
    assert found[:4] == [1, True, None, "x"]
    assert np.array_equal(found[4], [1.0, 1.0])
    assert found[6] == Opaque("ReLU")
    assert np.isnan(found[7])


# --- what goes wrong, with the process going on ---


def test_an_exception_names_the_learner_s_own_line(learner: Learner) -> None:
    """Learners would look for their mistake in torch."""
    with pytest.raises(RaisedError) as caught:
        learner.call("shapes", [])
    assert '(mine.py, line 15: "return x @ torch.ones(3)")' in str(caught.value)
    assert "RuntimeError" in str(caught.value)


@pytest.mark.parametrize(
    ("name", "en", "ko"),
    [
        ("leaves", "called exit()", "exit()"),
        ("interrupts", "KeyboardInterrupt", "KeyboardInterrupt"),
        ("deep", "calls itself", "재귀"),
        ("asks", "keyboard", "키보드"),
        ("forks", "another process", "다른 프로세스"),
        ("spawns", "another process", "다른 프로세스"),
        ("hoards", "memory", "메모리"),
        ("hoards_bytes", "memory", "메모리"),
        ("unfilled", "is not filled in yet: unfilled: fill me (mine.py, line ", "작성하지 않은"),
        ("complex_numbers", "can't be looked at", "확인할 수 없는"),
    ],
)
def test_what_code_must_not_do_is_one_sentence(learner: Learner, name: str, en: str, ko: str) -> None:
    """The grader would end, or say nothing that helps."""
    assert en in failed(learner, name)
    use("ko")
    assert ko in failed(learner, name)
    assert learner.call("fine", []) == 1


def test_a_missing_function_is_named_with_those_there_are(learner: Learner) -> None:
    """A misspelt name would be hard to find."""
    assert failed(learner, "shape").startswith("mine.py has no function shape; it has both, many, fine, shapes, ")


@pytest.mark.usefixtures("warm")
def test_a_slip_of_syntax_is_said_for_every_call(tmp_path: Path) -> None:
    """The second check of a file that can't be read would hang, or tell something else."""
    broken = process(tmp_path, "def f(:\n    pass")
    try:
        for _ in range(2):
            assert "mine.py can't be read as Python: " in failed(broken, "f")
            assert '(mine.py, line 1: "def f(:")' in failed(broken, "f")
    finally:
        broken.end()


@pytest.mark.usefixtures("warm")
def test_an_own_module_with_a_name_of_ours_is_told(tmp_path: Path) -> None:
    """A learner would search in Descent's package for what is in their own file."""
    learner = process(tmp_path, "import math\nimport engine\n\ndef fine(): return engine.answer()\n")
    said = failed(learner, "fine")
    assert "(mine.py, line 4" in said
    assert "engine is Descent's own package in this process, not your engine.py" in said
    use("ko")
    assert "engine.py가 아니라" in failed(learner, "fine")
    learner.end()


@pytest.mark.usefixtures("warm")
def test_a_flood_is_kept_in_part(tmp_path: Path) -> None:
    """The output of a loop with a print would fill the memory, or block the learner's process."""
    talkative = process(tmp_path, seconds=60.0)
    talkative.call("chatters", [])
    talkative.end()
    assert talkative.output.text().startswith("yyy")
    assert talkative.output.text().endswith(f"… and {300_001 - KEPT_OUTPUT:,} bytes more")


# --- what ends the process ---


@pytest.mark.parametrize("name", ["loops", "sleeps", "floods", "dies_late"])
def test_an_endless_call_is_ended_in_time(hasty: Learner, name: str) -> None:
    """`lab check` would never return, and the loop would go on heating the machine."""
    assert hasty.has("fine")
    pid = hasty._process.pid if hasty._process is not None else 0
    assert failed(hasty, name) == f"{name} ran longer than 0.5 s and was ended"
    with pytest.raises(ProcessLookupError):
        os.killpg(pid, 0)
    assert len(hasty.output.text()) < KEPT_OUTPUT + 100


@pytest.mark.usefixtures("warm")
def test_a_loop_at_import_is_ended_once(tmp_path: Path) -> None:
    """Each of ten checks would wait for the limit again."""
    stuck = process(tmp_path, "while True: pass", seconds=0.5)
    for _ in range(2):
        assert failed(stuck, "f") == "mine.py ran longer than 0.5 s and was ended"
        assert stuck._process is None


@pytest.mark.slow
def test_a_process_that_ends_itself_is_started_again(learner: Learner) -> None:
    """One os._exit, or a crash in C, would fail all other checks."""
    assert "ended the whole process (exit code 7)" in failed(learner, "ends")
    assert "SIGSEGV" in failed(learner, "crashes")
    assert learner.call("fine", []) == 1


@pytest.mark.usefixtures("warm")
def test_all_calls_together_have_a_limit(tmp_path: Path) -> None:
    """A hundred calls of nine seconds each would be allowed."""
    slow = process(tmp_path, seconds=0.5, total=0.1)
    failed(slow, "sleeps")
    assert "has used its 0.1 s" in failed(slow, "fine")
    slow.end()


# --- objects of the preset's ---

PRESET = """
[data]
name = "line"
scaling = "standard"
[model]
name = "linear"
[loss]
name = "mse"
[optimizer]
name = "sgd"
lr = 0.1
[train]
epochs = 1
"""
FACTS = {"input_shape": [1], "task": "regression", "target_size": 1, "classes": 0}


def test_a_learner_s_step_is_compared_with_one_of_ours(learner: Learner, tmp_path: Path) -> None:
    """The planted bug of a lab could not be told from its repair."""
    (tmp_path / "p.toml").write_text(PRESET)
    x = np.linspace(0, 1, 8).reshape(-1, 1).astype(np.float32)
    marked = Marked(x, "float32")

    def apart(name: str) -> float:
        learner.begin({"preset": str(tmp_path / "p.toml"), "run": None, "data": FACTS})
        for _ in range(2):
            objects = [Handle("model", "m"), Handle("loss", "loss"), Handle("optimizer", "o", "m")]
            learner.call(name, [*objects, marked, marked])
            learner.ask("step_of", "r", "p", x, x)
        return float(np.abs(learner.ask("state_of", "m") - learner.ask("state_of", "r")).max())

    assert apart("right") < 1e-7
    assert apart("wrong") > 1e-3
    assert learner.ask("calls", "m").tolist() == [[8, 1, 1]] * 2


@pytest.mark.usefixtures("warm")
def test_data_come_from_a_process_without_the_learner_s_code(tmp_path: Path) -> None:
    """A file that patches NumPy would choose the data it is graded on."""
    (tmp_path / "p.toml").write_text(PRESET)
    reader = Learner(None, "data", tmp_path)
    try:
        source = {"preset": str(tmp_path / "p.toml"), "root": str(tmp_path)}
        scaled = reader.data(**source, split="train", raw=False)["inputs"]
        assert abs(float(scaled.mean())) < 1e-6
        raw = reader.data(**source, split="train", raw=True)["inputs"]
        assert 0 <= raw.min() < raw.max() <= 1
        assert reader.facts(**source) == FACTS
    finally:
        reader.end()


@pytest.mark.slow
def test_libraries_of_pythonpath_are_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Clusters put whole PyTorch installations there, and some environments name them in a .pth file."""
    with TemporaryDirectory() as elsewhere:
        libraries = Path(elsewhere, "site-packages")
        libraries.mkdir()
        (libraries / "lent.py").write_text("VALUE = 7")
        monkeypatch.setenv("PYTHONPATH", str(libraries))
        monkeypatch.syspath_prepend(libraries)
        enclosure.of_python.cache_clear()
        learner = process(tmp_path, "import lent\ndef fine(): return lent.VALUE")
        try:
            assert learner.call("fine", []) == 7
        finally:
            learner.end()
            enclosure.of_python.cache_clear()
