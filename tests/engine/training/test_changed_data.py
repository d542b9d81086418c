"""A run that goes on with other data would train on what it is validated and tested with, without a word."""

import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from descent import warm
from descent.control import send
from descent.run.folder import RunFolder
from descent.run.metrics import Metrics
from descent.run.results import result_of
from engine.launch.fork import first_difference
from tests.helpers.waiting import wait_for

TOML = """
[data]
name = "{name}"
{source}

[model]
name = "mlp"
widths = [8]

[loss]
name = "cross-entropy"

[optimizer]
name = "sgd"
lr = 0.01

[train]
steps = 60
batch_size = 8
device = "cpu"
threads = 1
statistics_every = 7
checkpoint_every.steps = 10
"""
LINES = [f"{i % 7},{i % 3},{'ab'[i % 2]}" for i in range(80)]


# A fork of the tests' own process can't read a table once another test has: Polars' threads are not in the copy.
pytestmark = pytest.mark.usefixtures("warm", "in_folder")


@pytest.fixture
def in_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Presets and runs are in the test's own folder."""
    monkeypatch.chdir(tmp_path)


def descent(*words: str) -> "subprocess.CompletedProcess[str]":
    return warm.run("descent", *words, "--quiet", "--allow-code", "--runs-dir", "runs")


def killed(preset: str, *words: str, steps: int = 100_000) -> RunFolder:
    """A run that was killed after step 20."""
    Path("mine.toml").write_text(preset)
    fixed = ("--id", "mine", "--quiet", "--allow-code", "--runs-dir", "runs")
    words = ("--set", f"train.steps={steps}", *words)
    process = warm.start("descent", "run", "mine.toml", *words, *fixed)
    begun = RunFolder(Path.cwd() / "runs" / "mine")
    wait_for(lambda: begun.path.exists() and len(Metrics(begun.path)) > 20, "its first rows")
    process.kill()
    process.wait()
    return begun


def table(folder: Path, lines: list[str]) -> str:
    (folder / "t.csv").write_text("\n".join(["p,q,kind", *lines]) + "\n")
    return TOML.format(name="csv", source=f'path = "{folder}/t.csv"\ntarget = "kind"')


@pytest.mark.slow
@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ([*LINES, "1,2,a", "2,1,b"], "82 samples, not 80 samples"),
        ([*LINES[1:], LINES[0]], "other inputs, or in another order; other targets, or in another order"),
        ([*LINES[:-1], "1,2,c"], "the classes a, b, c, not the classes a, b"),
    ],
    ids=["more rows", "another order", "another class"],
)
def test_a_table_that_changed_is_refused_and_named(tmp_path: Path, lines: list[str], said: str) -> None:
    run = killed(table(tmp_path, LINES))
    table(tmp_path, lines)
    before = len(Metrics(run.path))
    assert descent("resume", "mine").returncode != 0
    (reason,) = [event["reason"] for event in run.events() if event.get("state") == "failed"]
    assert f"the data are not those that mine began with: {said}." in reason
    assert f"descent fork {run.id}" in reason
    assert len(Metrics(run.path)) == before
    replayed = descent("replay", "mine", "--id", "again")
    assert replayed.returncode != 0
    assert not (run.path.parent / "again").exists()
    assert said in replayed.stderr


@pytest.mark.slow
def test_with_the_former_data_it_goes_on(tmp_path: Path) -> None:
    """A fingerprint that isn't the same at every reading would refuse each run."""
    preset = table(tmp_path, LINES)
    run = killed(preset)
    table(tmp_path, [*LINES, "1,2,a"])
    assert descent("resume", "mine").returncode != 0
    table(tmp_path, LINES)
    resumed = warm.start("descent", "resume", "mine", "--quiet", "--runs-dir", "runs")
    wait_for(lambda: run.last("resumed") and run.state() == "running", "the resumed run")
    send(run.path, "stop")
    assert resumed.wait() == 0


@pytest.mark.slow
def test_a_fork_goes_on_with_the_new_data_and_says_what_that_means(tmp_path: Path) -> None:
    run = killed(table(tmp_path, LINES))
    table(tmp_path, [*LINES, "1,2,a", "2,1,b"])
    assert descent("fork", "mine", "--at", "20", "--set", "train.steps=40", "--id", "other").returncode == 0
    other = RunFolder(run.path.parent / "other")
    (said,) = [event["message"] for event in other.events() if "forgotten" in event.get("message", "")]
    assert "(82 samples, not 80 samples): its evaluations are forgotten" in said
    assert other.facts()["fingerprint"]["samples"] == 82


@pytest.mark.slow
def test_a_picture_that_was_added_is_noticed(tmp_path: Path) -> None:
    draw = np.random.default_rng(0)
    for kind in "ab":
        (tmp_path / "images" / kind).mkdir(parents=True)
        for number in range(20):
            pixels = draw.integers(0, 255, (6, 6, 3), np.uint8)
            Image.fromarray(pixels).save(tmp_path / "images" / kind / f"{number}.png")
    run = killed(TOML.format(name="images", source=f'path = "{tmp_path}/images"\nimage_size = 6'))
    Image.new("RGB", (6, 6)).save(tmp_path / "images" / "a" / "new.png")
    assert descent("resume", "mine").returncode != 0
    reason = [event["reason"] for event in run.events() if event.get("state") == "failed"]
    assert "41 samples, not 40 samples" in reason[-1]


DRAWS = """
import random
import numpy as np
import torch

def load():
    order = np.random.permutation(80)
    x = np.stack([order % 7, order % 3], 1).astype(np.float32)
    return x, [random.randrange(2) for _ in order]

def load_unseeded():
    return np.random.default_rng().normal(size=(80, 2)), np.arange(80) % 2

def step(model, loss_function, optimizer, x, y):
    share = float(np.random.beta(0.4, 0.4))
    order = list(range(len(x)))
    random.shuffle(order)
    optimizer.zero_grad()
    loss = loss_function(model(share * x + (1 - share) * x[order]), y)
    loss.backward()
    optimizer.step()
    return loss
"""


@pytest.fixture
def drawing(tmp_path: Path) -> Callable[[str], str]:
    """A preset whose code draws from all the global generators, for its data and in its steps."""
    (tmp_path / "mine.py").write_text(DRAWS)
    preset = TOML.format(name="code", source=f'code = "{tmp_path}/mine.py:LOAD"\ntask = "classification"')
    return lambda load: preset.replace("LOAD", load).replace("[train]", f'[train]\ncode = "{tmp_path}/mine.py:step"')


@pytest.mark.slow
def test_the_same_seed_gives_the_same_run_whatever_generator_ones_code_draws_from(
    tmp_path: Path, drawing: Callable[[str], str]
) -> None:
    (tmp_path / "mine.toml").write_text(drawing("load"))
    ids = ("one", "two")
    for run_id in ids:
        assert descent("run", "mine.toml", "--set", "train.steps=1000", "--id", run_id).returncode == 0
    one, two = (RunFolder(tmp_path / "runs" / run_id) for run_id in ids)
    assert first_difference(one, two) is None
    assert result_of(one).metrics == result_of(two).metrics

    hit = killed(drawing("load"), "--set", "train.checkpoint_every.steps=100", steps=1000)
    assert descent("resume", "mine").returncode == 0
    assert first_difference(one, hit) is None


def test_data_of_ones_code_that_differ_each_time_are_refused(tmp_path: Path, drawing: Callable[[str], str]) -> None:
    """Each resume would shuffle the splits, and train on what was held out."""
    run = killed(drawing("load_unseeded"))
    assert descent("resume", "mine").returncode != 0
    reason = [event["reason"] for event in run.events() if event.get("state") == "failed"]
    assert "data.code gives mine other data than when it began: other inputs" in reason[-1]
    assert "a generator of its own needs a seed" in reason[-1].lower()
