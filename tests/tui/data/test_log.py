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
