"""What happens before training: PyTorch is loaded, and the data's files are on their way meanwhile."""

import os
from pathlib import Path

import pytest

from engine.launch import loading, start
from engine.launch.options import Options
from tests.helpers.waiting import wait_for


def test_a_worker_that_can_not_load_pytorch_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The run would be called lost, and its user would look for a process that was killed."""
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "torch.py").write_text("raise ImportError('libtorch_cpu.so: cannot open shared object')\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "broken"))
    folder = start.detach("linear-regression", ["train.steps=5"], Options(runs_dir=tmp_path / "runs"))
    wait_for(lambda: folder.state() == "failed", "the end of the run")
    event = folder.last("state")
    assert event is not None
    assert event["reason"].startswith("PyTorch can't be loaded: libtorch_cpu.so: cannot open shared object")


def test_reading_ahead_leaves_what_is_wrong_to_the_reader(tmp_path: Path) -> None:
    """A start would end in a traceback, instead of in the words of who reads the data."""
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "file").write_bytes(b"data")
    loading.read_ahead([tmp_path / "missing", tmp_path, tmp_path / "pipe", tmp_path / "file"])
