"""A run whose steps are slow must not seem to hang in a log."""

import os
from pathlib import Path

import pytest

from descent.run.progress import Progress
from engine.launch import display
from tests.helpers.waiting import wait_for


def test_a_log_tells_what_goes_on_where_no_line_comes_for_long(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever waits for a large model or a slow machine would stop the run."""
    monkeypatch.setattr(display, "SILENCE", 0.0)
    monkeypatch.setattr(display, "INTERVAL", 0.001)
    monkeypatch.setattr(display, "LONGEST_SILENCE", 0.0)
    log = tmp_path / "log"
    file = os.open(log, os.O_WRONLY | os.O_CREAT)
    shown = display.Display("mine", file)
    shown.start()
    wait_for(lambda: "mine  loading PyTorch and data … 0 s" in log.read_text(), "the first sign of life")
    shown.doing("measuring")
    wait_for(lambda: "mine  measuring … 0 s" in log.read_text(), "the next")
    shown.watch(lambda: Progress(step=120, total_steps=5000, steps_per_second=12.0))
    wait_for(lambda: "step 120 of 5,000, 12.0 step/s, ETA 6:47" in log.read_text(), "the progress")
    shown.watch(lambda: Progress(step=130, total_steps=5000, steps_per_second=12.0, is_paused=True))
    wait_for(lambda: "step 130 of 5,000, paused\n" in log.read_text(), "the pause")
    assert shown.finish()
    os.close(file)


def test_a_run_that_tells_enough_gets_no_further_lines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(display, "INTERVAL", 0.001)
    log = tmp_path / "log"
    file = os.open(log, os.O_WRONLY | os.O_CREAT)
    shown = display.Display("mine", file)
    shown.watch(lambda: Progress(step=1, total_steps=2))
    shown.start()
    for epoch in range(50):
        shown.say(f"epoch {epoch}")
        wait_for(lambda epoch=epoch: f"epoch {epoch}\n" in log.read_text(), "the line")
    assert shown.finish()
    os.close(file)
    assert log.read_text() == "".join(f"epoch {epoch}\n" for epoch in range(50))
