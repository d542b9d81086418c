"""A user's own model, data or loss must run when they agreed to it, and fail in their words when it fails."""

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from descent import child
from descent.common.errors import ExitCode
from descent.run.folder import RunFolder
from engine.launch import start as launch
from engine.launch.fork import first_difference
from engine.launch.options import Options
from tests.helpers import workers
from tests.helpers.held_run import PRESET
from tests.helpers.processes import Child

Descent = Callable[..., Child]

MODEL = """import math
import torch

print("loaded")

class Net(torch.nn.Module):
    def __init__(self, input_shape, outputs):
        super().__init__()
        self.linear = torch.nn.Linear(math.prod(input_shape), outputs)
        self.steps = 0

    def forward(self, x):
        self.steps += self.training
        {statement}
        return self.linear(x.flatten(1))
"""
LINE = MODEL.splitlines().index("        {statement}") + 1


@pytest.fixture
def model(tmp_path: Path) -> Callable[[str], Path]:
    """`model(statement)` writes my_model.py, with that statement in its forward, and mine.toml that names it."""

    def write(statement: str) -> Path:
        file = tmp_path / "my_model.py"
        file.write_text(MODEL.format(statement=statement))
        (tmp_path / "mine.toml").write_text(PRESET.format(code="my_model.py:Net", arguments=""))
        return file

    return write


@pytest.mark.slow
def test_code_runs_once_it_was_agreed_to_and_not_before(
    model: Callable[[str], Path], descent: Descent, runs: Path
) -> None:
    """A preset from the internet could run any code; or one's own would have to be agreed to each time."""
    file = model("pass")
    done = descent("run", "mine.toml").end()
    assert done.code == ExitCode.WRONG_USE
    assert f"{file} (SHA-256" in done.err
    assert "--allow-code" in done.err
    assert not runs.exists()
    assert descent("run", "mine.toml", "--allow-code", "-q").end().code == 0
    assert descent("run", "mine.toml", "-q").end().code == 0
    file.write_text(file.read_text() + "# edited\n")
    done = descent("run", "mine.toml").end()
    assert done.code == ExitCode.WRONG_USE
    assert "--allow-code" in done.err


@pytest.mark.slow
def test_the_worker_itself_asks_for_consent(
    model: Callable[[str], Path], descent: Descent, runs: Path, tmp_path: Path
) -> None:
    """Whatever starts a worker without asking would run code, or code that was changed after somebody agreed."""
    model("pass")
    assert descent("run", "mine.toml", "--allow-code", "-q", "--id", "mine").end().code == 0
    kept = runs / "mine" / "code" / "my_model.py"
    kept.write_text("from pathlib import Path\nPath('ran').touch()\n" + kept.read_text())
    words = child.command("engine.launch.background", str(runs / "mine"), "mine", str(tmp_path), "0")
    subprocess.run(words, cwd=tmp_path, capture_output=True, check=False)
    last = RunFolder(runs / "mine").last("state")
    assert last is not None
    assert last["state"] == "failed"
    assert "code that you have not agreed to yet" in last["reason"]
    assert not (tmp_path / "ran").exists()


@pytest.mark.slow
def test_an_error_in_the_user_s_code_names_their_line(
    model: Callable[[str], Path], descent: Descent, runs: Path
) -> None:
    """A student would read a traceback through Descent and torch for a mistake of their own."""
    file = model("if self.steps == 30: raise ValueError('my mistake')")
    done = descent("run", "mine.toml", "--allow-code", "--id", "mine", "--json").end()
    assert done.code == ExitCode.WRONG_USE, done
    assert f"descent: {file}, line {LINE}: ValueError: my mistake\n" in done.err
    assert "Traceback" not in done.err
    assert done.json["state"] == RunFolder(runs / "mine").state() == "failed"
    assert done.json["step"] == 29


@pytest.mark.slow
def test_code_that_ends_the_process_ends_only_the_run(
    model: Callable[[str], Path], descent: Descent, runs: Path
) -> None:
    """A forgotten sys.exit() would look like success, with nothing saved."""
    file = model("if self.steps == 30: raise SystemExit(0)")
    done = descent("run", "mine.toml", "--allow-code", "--id", "mine").end()
    assert done.code == ExitCode.WRONG_USE, done
    assert f"{file}, line {LINE}" in done.err
    assert "exit()" in done.err
    assert RunFolder(runs / "mine").state() == "failed"


@pytest.mark.slow
def test_code_that_fails_at_once_leaves_nothing_but_its_words(
    model: Callable[[str], Path], descent: Descent, runs: Path
) -> None:
    """The id would be taken by a run that never began, and what the code printed be lost with it."""
    file = model("print(x.shape); undefined")
    done = descent("run", "mine.toml", "--allow-code", "--id", "mine").end()
    assert done.code == ExitCode.WRONG_USE, done
    assert f"{file}, line {LINE}: NameError" in done.err
    assert "| loaded" in done.err
    assert "| torch.Size([2, " in done.err
    assert not list(runs.iterdir())


@pytest.mark.slow
def test_what_the_code_prints_is_kept_and_tears_nothing(
    model: Callable[[str], Path], descent: Descent, runs: Path
) -> None:
    """A print() in forward would spoil the JSON, or be lost."""
    model("print('in forward')")
    done = descent("run", "mine.toml", "--allow-code", "--id", "mine", "--json").end()
    assert done.code == 0, done
    told = [event["message"] for event in RunFolder(runs / "mine").events() if event["event"] == "warning"]
    opening, ending = [text for text in told if text.startswith("your code printed")]
    assert "lines into output.log, the first of them: loaded" in opening
    assert "the first of them: in forward" in ending
    assert opening in done.err
    assert len(done.out.splitlines()) == 1
    assert done.json["state"] == "finished"
    log = RunFolder(runs / "mine").output.read_text()
    assert "loaded" in log
    assert "in forward" in log


@pytest.mark.slow
def test_a_run_goes_on_with_the_code_it_was_started_with(
    model: Callable[[str], Path], descent: Descent, runs: Path
) -> None:
    """An edit of the file would change a run under way, and a resume end as another model."""
    file = model("if self.steps == 30 and not open(__file__ + '.again', 'a').tell(): raise ValueError('once')")
    assert descent("run", "mine.toml", "--allow-code", "--id", "mine").end().code == ExitCode.WRONG_USE
    (runs / "mine" / "code" / "my_model.py.again").write_text("now it works")
    file.unlink()
    done = descent("resume", "mine", "--json").end()
    assert done.code == 0, done
    assert done.json["state"] == "finished"


@pytest.mark.slow
def test_a_user_s_data_and_loss(descent: Descent, tmp_path: Path, runs: Path) -> None:
    """Own data or an own loss would not be reached by --allow-code, or share a name with another file."""
    (tmp_path / "own.py").write_text(
        "import numpy, torch\n"
        "def data(n):\n    return numpy.random.default_rng(0).normal(size=(n, 3)), numpy.arange(n) % 2\n"
        "def loss(outputs, targets):\n    return torch.nn.functional.cross_entropy(outputs, targets)\n"
    )
    (tmp_path / "mine.toml").write_text(
        '[data]\ncode = "own.py:data"\narguments = { n = 100 }\n[model]\nname = "mlp"\n[loss]\ncode = "own.py:loss"\n'
        '[optimizer]\nname = "sgd"\nlr = 0.1\n[train]\nepochs = 2\nbatch_size = 16\n'
    )
    done = descent("run", "mine.toml", "--allow-code", "--id", "mine", "--json").end()
    assert done.code == 0, done
    assert done.json["metrics"].keys() >= {"train_loss", "test_accuracy"}
    assert [file.name for file in (runs / "mine" / "code").iterdir()] == ["own.py"]


@pytest.mark.slow
def test_a_training_step_of_one_s_own_is_asked_for_kept_and_explained(
    tmp_path: Path, descent: Descent, runs: Path
) -> None:
    """Code would run that nobody agreed to, or a run would change with a later edit of the file."""
    file = tmp_path / "step.py"
    file.write_text("def step(model, loss_function, optimizer, x, y):\n    raise KeyError('mine')\n")
    words = ["run", "linear-regression", "--set", "train.code=step.py:step", "--id"]
    done = descent(*words, "unasked").end()
    assert done.code == ExitCode.WRONG_USE
    assert "train.code: this preset runs code that you have not agreed to yet" in done.err
    done = descent(*words, "mine", "--allow-code").end()
    assert done.code == ExitCode.WRONG_USE
    assert f"{file}, line 2: KeyError: 'mine'" in done.err
    file.write_text("def step(model, loss_function, optimizer, x, y):\n    return loss_function(model(x), y)\n")
    done = descent(*words, "kept", "--allow-code", "--set", "train.steps=2", "-q").end()
    assert done.code == 0, done
    assert (runs / "kept" / "code" / "step.py").read_text() == file.read_text()


@pytest.mark.slow
def test_a_project_s_files_are_kept_and_an_edit_is_told(tmp_path: Path, runs: Path) -> None:
    """A run of several files could not begin, or its fork would be of other code, without a word."""
    (tmp_path / "parts").mkdir()
    (tmp_path / "parts" / "rate.py").write_text("FACTOR = 1.0\n")
    (tmp_path / "utils.py").write_text(
        "from parts.rate import FACTOR\n\ndef scaled(loss):\n    return FACTOR * loss\n"
    )
    (tmp_path / "step.py").write_text(
        "import utils\n\ndef step(model, loss_function, optimizer, x, y):\n    optimizer.zero_grad()\n"
        "    loss = utils.scaled(loss_function(model(x), y))\n    loss.backward()\n    optimizer.step()\n"
        "    return loss\n"
    )
    settings = ["train.steps=40", "train.threads=1", "train.statistics_every=5", "train.checkpoint_every.steps=20"]
    options = Options("mine", runs, quiet=True, allow_code=True)
    code = f"train.code={tmp_path}/step.py:step"
    assert workers.child(lambda: launch.run("linear-regression", [code, *settings], options)) == 0
    kept = runs / "mine" / "code"
    assert sorted(str(file.relative_to(kept)) for file in kept.rglob("*.py")) == [
        "parts/rate.py",
        "step.py",
        "utils.py",
    ]
    (tmp_path / "parts" / "rate.py").write_text("FACTOR = 2.0\n")
    again = Options("again", runs, quiet=True)
    assert workers.child(lambda: launch.fork(str(runs / "mine"), 20, [], again)) == 0
    assert first_difference(RunFolder(runs / "mine"), RunFolder(runs / "again")) is None
    told = [event["message"] for event in RunFolder(runs / "again").events() if event["event"] == "warning"]
    assert any(f"are gone: {tmp_path}/parts/rate.py" in message for message in told)
