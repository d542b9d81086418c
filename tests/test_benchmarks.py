"""The benchmarks as a command: what they measure is for them to say, but they must be there to be asked."""

import importlib
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.tools.benchmarks.__main__ import BENCHMARKS, INTERRUPTED

COMMAND = (sys.executable, "-m", "tests.tools.benchmarks")


def test_each_is_there_and_listed() -> None:
    told = subprocess.run([*COMMAND, "--help"], capture_output=True, text=True, check=True).stdout
    for name, benchmark in BENCHMARKS.items():
        assert re.search(rf"^  {name} +{re.escape(benchmark.about)}$", told, re.MULTILINE)
        module = importlib.import_module(f"tests.tools.benchmarks.{benchmark.module}")
        assert callable(getattr(module, benchmark.function))


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["metrics", "nonsense"], "no such benchmark: nonsense; there are: class, compiled, control, "),
        (["metrics", "--out", ""], "--out '': is empty; name a file"),
        (["metrics", "--out", "{folder}"], "is a folder; name a file"),
        (["metrics", "--out", "{folder}/file/times.json"], "name a file that can be written"),
    ],
)
def test_what_is_wrong_is_said_before_anything_is_measured(words: list[str], told: str, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    command = [*COMMAND, *(word.format(folder=tmp_path) for word in words)]
    answer = subprocess.run(command, capture_output=True, text=True, check=False)
    assert answer.returncode == 2
    assert told in answer.stderr
    assert "Traceback" not in answer.stderr
    assert not answer.stdout


def test_an_interrupted_one_cleans_up(tmp_path: Path) -> None:
    process = subprocess.Popen(
        [*COMMAND, "metrics", "--out", str(tmp_path / "times.json")],
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"TMPDIR": str(tmp_path)},
    )
    assert process.stderr is not None
    assert process.stderr.read(len("metrics …")) == "metrics …"
    process.send_signal(signal.SIGINT)
    process.send_signal(signal.SIGINT)  # as of an impatient person
    assert process.stderr.read().strip() == "interrupted: metrics was not finished"
    assert process.wait() == INTERRUPTED
    assert list(tmp_path.iterdir()) == []
