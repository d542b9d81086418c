"""What the console says of a run, where there is little room, and when the run is not as it was."""

import dataclasses
import json
import shutil
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from textual.geometry import Size
from textual.widgets import Input

from descent.run.folder import create
from descent.run.verdict import Verdict
from tests.helpers.live_console import shown
from tests.helpers.recorded_run import PRESET, record
from tests.helpers.waiting import until
from tui.app import DescentApp
from tui.base import Notice
from tui.data.log import LogLine
from tui.data.snapshot import Anomaly, BestEvaluation, LayerRow, Snapshot, judged
from tui.data.words import mark_of, said
from tui.plot import legend
from tui.plot.chart_data import Line
from tui.screens.console.pictures import Pictures
from tui.screens.console.screen import Console
from tui.widgets.lines import Piece, width_of
from tui.widgets.run_log import folded
from tui.widgets.status_line import StatusLine
from tui.widgets.top_line import top_line
from tui.widgets.vitals import vitals

PASSED: dict[str, Any] = {"loss": 0.04, "val_loss": 0.08, "accuracy": 0.98, "val_accuracy": 0.97}


def status(now: Snapshot, width: int = 80) -> str:
    line = StatusLine()
    line.snapshot = now
    return "".join(piece.text for piece in line.lines(width, 1)[0])


def top(now: Snapshot, width: int) -> str:
    return "".join(piece.text for piece in top_line(now, width))


def test_a_run_that_is_started_again_says_what_its_worker_does() -> None:
    """The last word of a run that is being resumed would be how it stopped."""
    log = (LogLine("13:15:09", None, "stopped", "strong"),)
    now = Snapshot("digits-mlp", "mine", "starting", stage="torch", step=800, log=log, **PASSED)
    assert status(now).rstrip().endswith("loading PyTorch…")
    assert "stopped" not in status(now)


def _vitals(now: Snapshot, width: int, *, offers_help: bool = True) -> str:
    return "".join(piece.text for piece in vitals(now, width, offers_help=offers_help))


@pytest.mark.parametrize("width", [60, 80, 120, 200])
def test_what_is_going_on_is_said_with_the_key_that_helps(width: int) -> None:
    """On 80 columns the end of what is wrong would be cut off, for numbers that are less wanted."""
    verdict = Verdict("overfitting", 400, 0.24, epoch=10)
    best = BestEvaluation(400, 10, 0.146, is_share=False)
    now = Snapshot(
        "digits-mlp", "mine", "running", step=9000, verdict=verdict, best=best, best_checkpoint=400, **PASSED
    )
    said = _vitals(now, width)
    assert len(said) <= width
    assert "▲ overfitting since epoch 10: val +24%" in said
    assert ("b back to the best" in said) == (width >= 120)
    assert ("★ best 0.146 epoch 10" in said) == (width >= 200)
    assert "b back" not in _vitals(now, width, offers_help=False)


def test_an_ended_run_shows_what_came_out() -> None:
    """A finished run said "finished", and the result was one line of its log."""
    best = BestEvaluation(400, 10, 0.0989, is_share=False, accuracy=0.967)
    results = {"val_loss": 0.189, "val_accuracy": 0.961, "test_loss": 0.107, "test_accuracy": 0.983, "loss": 1.4e-4}
    now = Snapshot(
        "digits-mlp", "mine", "finished", step=16_000, best=best, seconds=22.8, checkpoints=(0, 16_000), **results
    )
    assert _vitals(now, 120) == (
        "✓ test 98.3%   val 96.1% (at the lowest loss, epoch 10: 96.7%)   train 1.40e-4   22.8 s   "
        "checkpoint step-16000"
    )
    # A script under `descent run` keeps none by itself.
    assert _vitals(dataclasses.replace(now, checkpoints=()), 120).endswith("22.8 s   no checkpoint")
    broken = dataclasses.replace(now, anomaly=Anomaly(1200, "loss", 1000, collapse="the loss is back"))
    assert _vitals(broken, 120).startswith("✗ collapsed at step 1,200   test 98.3%")
    assert not _vitals(broken, 90).endswith("…")  # what has no room is left out whole
    assert {piece.style for piece in vitals(broken, 120) if piece.text == "98.3%"} == {""}  # nothing good about it
    assert "✗" in top(broken, 120)
    assert "✓" not in top(broken, 120)


def test_no_sign_on_a_layer_of_a_run_that_learns_or_has_ended() -> None:
    """A finished run of 98 % had three red signs, because its planned rate ended at 0."""
    usual = (2e-4, 5e-3)
    learning, stuck, wild = (Verdict(kind) for kind in ("learning", "plateau", "rate"))
    for ratio, scale, verdict, wanted in (
        (1e-3, 1.0, None, "usual"),
        (1e-6, 1e-3, None, "usual"),  # as low as the plan has let the rate fall
        (1e-6, 1.0, learning, ""),
        (1e-6, 1.0, stuck, "low"),
        (9e-2, 1.0, learning, ""),
        (9e-2, 1.0, wild, "high"),
        (0.0, 1.0, learning, "none"),
        (None, 1.0, stuck, ""),
    ):
        assert judged(ratio, usual=usual, scale=scale, verdict=verdict) == wanted
    row = LayerRow(0, "a", "linear", 1.0, 1.0, 9e-1, 0.0, non_finite=False)
    assert row.ratio_sign == (" ", "", "quiet")
    assert dataclasses.replace(row, judged="high").ratio_sign[2] == "warn"  # red is for what is broken
    assert dataclasses.replace(row, non_finite=True).ratio_sign == ("✗", "NaN", "trouble")


def test_a_killed_worker_is_told_of_in_80_columns() -> None:
    """The key that goes on would be cut off."""
    now = Snapshot("digits-mlp", "mine", "lost", checkpoints=(0, 31_280), **PASSED)
    assert status(now).rstrip().endswith("space resumes from step 31,280")


REFUSAL = (
    "optimizer.momentumm = 0.9: there is no such setting of a live run; it must be one of lr_scale, optimizer.lr, "
    "optimizer.momentum, train.batch_size; did you mean optimizer.momentum?"
)


@pytest.mark.parametrize("width", [80, 120, 200])
def test_a_refusal_is_said_to_its_end(width: int) -> None:
    """The end of it says what was meant, or what is allowed."""
    line = StatusLine()
    line.snapshot = Snapshot("digits-mlp", "mine", "running", device="cpu, 1 thread", **PASSED)
    line.notice = Notice(REFUSAL, "trouble", since=time.monotonic())
    lines = ["".join(piece.text for piece in each) for each in line.lines(width - 2, 1)]
    assert len(lines) == line.get_content_height(Size(), Size(), width - 2)
    assert " ".join(each.strip() for each in lines).startswith(f"✗ {REFUSAL}")
    assert all(len(each) <= width - 2 for each in lines)


def test_a_refusal_without_end_says_that_there_is_more() -> None:
    line = StatusLine()
    line.snapshot = Snapshot("digits-mlp", "mine", "running", **PASSED)
    line.notice = Notice("wrong " * 200, "trouble", since=time.monotonic())
    lines = line.lines(78, 1)
    assert len(lines) == 4
    assert lines[-1][-1].text.endswith("…")


@pytest.mark.slow
async def test_the_status_line_takes_the_room_that_a_refusal_needs(tmp_path: Path) -> None:
    app = DescentApp(run=record(tmp_path), runs_dir=tmp_path)
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: "o compare" in shown(pilot), "the run")
        assert isinstance(app.screen, Console)
        app.screen.say(Notice(REFUSAL, "trouble", since=time.monotonic()))
        await until(pilot, lambda: "optimizer.momentum?" in shown(pilot), "all of it")
        assert "? help" in shown(pilot)
        app.screen.say(Notice("saved at step 3", "good", since=time.monotonic()))
        await until(pilot, lambda: app.screen.query_one(StatusLine).size.height == 1, "one line again")


def test_the_name_stays_on_a_tiny_screen() -> None:
    """Of several terminals nobody could tell which run is in which."""
    now = Snapshot("digits-mlp", "digits-mlp-261121-142636-wzei", "running", step=5, total_steps=9, speed=100.0)
    assert top(now, 20).startswith("digits-mlp")
    assert all(width_of(top_line(now, width)) <= width for width in range(1, 130))


def test_an_id_is_not_taken_for_the_preset_as_well() -> None:
    """Until its facts are written, a run `night` would be called `night night`."""
    assert top(Snapshot("night", "night", "starting"), 80).startswith("night ▷")


def test_a_long_line_of_the_log_is_folded() -> None:
    """The number that a line is about would be cut off."""
    line = LogLine("12:33:00", 800, "ensemble test loss 0.0799  98.1%", "good")
    lines = ["".join(piece.text for piece in part) for part in folded(line, 44)]
    assert lines == ["12:33:00 step 800  ensemble test loss 0.0799", "                   98.1%"]
    assert folded("x" * 100, 46)[2][0].text == "x" * 8  # what the worker has printed, too


def test_your_hand_on_the_rate_stays_where_the_schedule_has_no_room() -> None:
    """The learning rate's chart would not say by what it is multiplied."""
    said = legend.settings("constant · 0.1 × 1.41 (you)", "", None, "step", 20, zoomed=False, unicode=True)
    assert said == "0.1 × 1.41 (you)"


@pytest.mark.parametrize(("edit", "mark"), [("lr_scale=1.0", "lr ×1"), ("train.clip_norm=none", "clip_norm none")])
def test_a_mark_is_written_as_a_person_would(edit: str, mark: str) -> None:
    """A dial turned back to 1 would read as another number than the 1 in the log."""
    event = {"event": "command", "command": "set", "step": 3, "arguments": {"edits": [edit]}}
    assert mark_of(event) == (3, mark, "quiet")


@pytest.mark.parametrize(
    ("giver", "words"),
    [
        (None, "you: rate × 0.5"),  # in a folder of an older Descent
        ("console", "you: rate × 0.5"),
        ("shell", "shell: rate × 0.5"),
        ("program", "program: rate × 0.5"),
        ("assistant", "assistant: rate × 0.5"),
    ],
)
def test_the_log_says_who_gave_a_command(giver: str | None, words: str) -> None:
    """A change by a script or an assistant would look as if the person at the console had made it."""
    event = {"event": "command", "command": "set", "step": 3, "arguments": {"edits": ["lr_scale=0.5"]}}
    given = {} if giver is None else {"given_by": giver}
    assert said(event | given, {}) == (words, "you")
    rewind = said({"event": "command", "command": "rewind", "step": 0, "arguments": {"to": None}} | given, {})
    assert rewind == (None if giver in (None, "console") else (f"{giver}: rewind", "you"))


@pytest.mark.slow
async def test_a_run_whose_folder_is_deleted(tmp_path: Path) -> None:
    """It would be said to have been killed, and keys would offer to go on with what is no longer there."""
    run = record(tmp_path)
    app = DescentApp(run=run, runs_dir=tmp_path)
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: "o compare" in shown(pilot), "the run")
        shutil.rmtree(run.path)
        await until(pilot, lambda: "the folder of this run is gone" in shown(pilot), "the truth")
        assert "resume" not in shown(pilot)
        assert "fork" not in shown(pilot)


@pytest.mark.slow
async def test_a_run_without_its_preset(tmp_path: Path) -> None:
    """A preset that is gone, or of a version that this one can't read, would stop the screen for good."""
    run = record(tmp_path)
    run.preset.unlink()
    with (run.path / "events.jsonl").open("a") as log:
        log.write(json.dumps({"event": "plan", "step": 0, "lr": 0.1, "lr_scale": 1.0, "time": 0.0}) + "\n")
    app = DescentApp(run=run, runs_dir=tmp_path)
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: "o compare" in shown(pilot), "the run")
        shutil.rmtree(run.path)
        await until(pilot, lambda: "the folder of this run is gone" in shown(pilot), "a later look")


async def test_a_run_whose_files_are_damaged(tmp_path: Path) -> None:
    """The screen would stay empty and say nothing, or end as for a bug in Descent."""
    run = record(tmp_path)
    whole = (run.path / "run.json").read_text()
    (run.path / "run.json").write_text(whole[:20])
    app = DescentApp(run=run, runs_dir=tmp_path)
    async with app.run_test(size=(80, 24)) as pilot:
        told = app._notifications
        await until(pilot, lambda: any("run.json is damaged" in each.message for each in told), "what is wrong")
        (run.path / "run.json").write_text(whole)
        await until(pilot, lambda: "o compare" in shown(pilot), "the run, once it can be read")


@pytest.mark.slow
async def test_the_log_of_a_low_screen(tmp_path: Path) -> None:
    """On 80 × 24 nobody could read what happened to the run."""
    run = record(tmp_path)
    run.output.write_text("from my own code\n")
    app = DescentApp(run=run, runs_dir=tmp_path)
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: "l log" in shown(pilot), "the keys")
        await pilot.press("l")
        await until(pilot, lambda: "0.0600   97.5%" in shown(pilot), "the log")
        await pilot.press("l")
        await until(pilot, lambda: "from my own code" in shown(pilot), "the output")
        await pilot.press("l")
        await until(pilot, lambda: "|grad|" in shown(pilot), "the charts")


@pytest.mark.slow
@pytest.mark.parametrize("size", [(80, 24), (120, 40)])
async def test_the_beginning_of_a_long_log_is_a_key_away(tmp_path: Path, size: tuple[int, int]) -> None:
    """What happened first could not be read: lines that fold would push it out for good."""
    run = record(tmp_path)
    run.output.write_text("".join(f"line {number} begins {'and goes on ' * 20}\n" for number in range(80)))
    app = DescentApp(run=run, runs_dir=tmp_path)
    async with app.run_test(size=size) as pilot:
        await until(pilot, lambda: "compare" in shown(pilot), "the run")
        await pilot.press(*["l"] * (1 if size[0] > 100 else 2))
        await until(pilot, lambda: "line 79 begins" in shown(pilot), "the output")
        await pilot.press("home")
        await until(pilot, lambda: "line 0 begins" in shown(pilot), "its beginning")
        await pilot.press("end")
        await until(pilot, lambda: "line 79 begins" in shown(pilot), "its end")


def test_a_long_name_leaves_room_for_the_numbers() -> None:
    """On 80 columns the step, which moves, would give way to a name, which is known."""
    now = Snapshot(
        "손글씨-프리셋", "아주-길고-긴-실행-이름-가나다라마바사아자차", "running", step=24_500, total_steps=4_000_000
    )
    shown = top(now, 80)
    assert "step 24.5k/4M" in shown
    assert shown.startswith("손글씨-프리셋 아주-길고-긴-")
    assert width_of([Piece(shown)]) <= 80


def test_what_explains_a_chart_gives_way_to_its_value() -> None:
    """On 80 columns a layer's charts had the beginning of a sentence, and no number."""
    line = Line("norm", None, np.array([0.0427], np.float32), np.array([0.0427], np.float32), "train")
    for room, words in ((60, "gradient norm: near 0 is vanishing  ━ 0.0427"), (30, "gradient norm  ━ 0.0427")):
        pieces = legend.title("gradient norm: near 0 is vanishing", [line], room, unicode=True)
        assert "".join(text for text, _ in pieces) == words


@pytest.mark.slow
async def test_the_palette_offers_what_the_screen_can_do(tmp_path: Path) -> None:
    """Who knows no key could do nothing to a run."""
    app = DescentApp(run=record(tmp_path), runs_dir=tmp_path, read_only=True)
    async with app.run_test(size=(120, 40)) as pilot:
        await until(pilot, lambda: "o compare" in shown(pilot), "the run")
        assert isinstance(app.screen, Console)
        await pilot.press("ctrl+p")
        await until(pilot, lambda: "compare with other runs" in shown(pilot), "the commands")
        assert "fork" not in shown(pilot)  # read-only
        app.screen.query_one(Input).value = "pictures of what"
        await until(pilot, lambda: "compare with other runs" not in shown(pilot), "those that fit")
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(app.screen, Pictures), "the pictures")


@pytest.mark.slow
async def test_a_run_that_has_not_begun_has_no_chart_of_an_accuracy(tmp_path: Path) -> None:
    """A regression's would be an empty panel that vanishes."""
    run = create(tmp_path, "line-231114-221320-kqzt", PRESET, {})
    app = DescentApp(run=run, runs_dir=tmp_path)
    async with app.run_test(size=(120, 40)) as pilot:
        await until(pilot, lambda: "starting the worker" in shown(pilot), "the run")
        assert "accuracy" not in shown(pilot)
        assert "nothing measured yet" in shown(pilot)
