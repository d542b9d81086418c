"""The log of a run with thousands of evaluations opens as fast as one with a few, and says the same."""

from typing import Any

import pytest

from tui.data import log as log_
from tui.data.log import MOST_LINES, ROUTINE, Log
from tui.data.words import said

FACTS = {"steps_per_epoch": 10, "device": "cpu", "threads": 1}


def _evaluations(count: int) -> list[dict[str, Any]]:
    evaluation = {"event": "evaluation", "split": "validation", "member": 0, "accuracy": 0.9}
    return [{**evaluation, "time": 60.0 * n, "step": 10 * n, "loss": 1 / n} for n in range(1, count + 1)]


def test_what_is_folded_is_never_put_into_words(monkeypatch: pytest.MonkeyPatch) -> None:
    """It took half as long as reading a million rows."""
    worded: list[object] = []

    def counted(event: dict[str, Any], facts: dict[str, Any]) -> tuple[str, str] | None:
        worded.append(event)
        return said(event, facts)

    monkeypatch.setattr(log_, "said", counted)
    lines = Log().of(_evaluations(2000), FACTS)
    assert len(worded) == ROUTINE
    assert [line.text for line in lines[:2]] == ["… 1,994 more epochs", "epoch 1,995  val 5.01e-4  90.0%"]
    assert [line.step for line in lines] == [None, *range(19_950, 20_001, 10)]


def test_all_at_once_and_one_by_one_say_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    """The log would be another one after the console was opened again."""
    monkeypatch.setattr(log_, "CALM", 0.0)
    events = [*_evaluations(20), {"event": "checkpoint", "time": 1300.0, "step": 205}, *_evaluations(40)[20:]]
    events.insert(9, {"event": "plan", "time": 500.0, "step": 90, "lr": 0.1, "lr_scale": 0.5})
    events.insert(30, {"event": "epoch", "time": 1801.0, "step": 300, "loss": 0.1})
    slow = Log()
    for count in range(len(events) + 1):
        slow.of(events[:count], FACTS)
    assert slow.of(events, FACTS) == Log().of(events, FACTS)


def test_a_very_long_log_keeps_its_end() -> None:
    """Scrolling would take a user's memory, or lose what happened last."""
    events = [{"event": "state", "state": "stopped", "time": float(n)} for n in range(MOST_LINES + 5)]
    lines = Log().of(events, FACTS)
    assert len(lines) == MOST_LINES
    assert lines[-1].text == "stopped"


def test_the_log_of_an_earlier_step_shows_what_was_last_then(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever went back to epoch 20 of 900 read "894 more epochs" and no line of that time."""
    log = Log()
    log.of([{"event": "state", "state": "running", "step": 0, "time": 0.0}, *_evaluations(900)], FACTS)
    lines = log.until(205)
    assert [line.text.split("  ")[0] for line in lines] == [
        "started on cpu, 1 thread", "… 14 more epochs", *(f"epoch {epoch}" for epoch in range(15, 21)),
    ]  # fmt: skip
    assert [line.step for line in log.until(15)] == [0, 10]
    # Of a long run not all are kept, and what is left counts those that went.
    monkeypatch.setattr(log_, "MOST_LINES", 50)
    long = Log()
    now = long.of(_evaluations(3000), FACTS)
    assert len(long._entries) < 100
    assert [line.text.split("  ")[0] for line in now[:2]] == ["… 2,994 more epochs", "epoch 2,995"]
    then = long.until(20_000)
    latest = max(line.step or 0 for line in then)
    assert 19_000 < latest <= 20_000
    assert then[0].text == f"… {latest // 10 - len(then) + 1:,} more epochs"
