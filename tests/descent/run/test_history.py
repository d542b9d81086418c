"""A log of very many evaluations must not fill the memory, and what is told of it must be what is in the file."""

from pathlib import Path

import pytest

from descent.run.events import KEPT, Events, History
from descent.run.folder import RunFolder

EACH = KEPT // 2


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    return RunFolder(tmp_path)


def _told(folder: RunFolder, history: History, times: int) -> list[int]:
    """Write EACH events so often, with a look after each, and follow them; the steps of all that were new."""
    events, known, seen = Events(folder), len(history), []
    for _ in range(times):
        for step in range(len(history), len(history) + EACH):
            events.write("evaluation", step=step, split="validation", loss=1.0)
        history.look()
        seen += [event["step"] for event in history[known:]]
        known = len(history)
    return seen


def test_all_events_are_followed_and_few_are_kept(folder: RunFolder) -> None:
    history = History(folder)
    assert _told(folder, history, 9) == list(range(9 * EACH))
    assert len(history) == 9 * EACH
    assert len(history._kept) <= 3 * KEPT
    assert history._left_out > 0
    assert list(history) == folder.events()
    assert history[0] == folder.events()[0]
    assert (history[-1]["step"], history[EACH]["step"]) == (9 * EACH - 1, EACH)
    assert [event["step"] for event in history[3:7]] == [3, 4, 5, 6]
    with pytest.raises(IndexError):
        history[9 * EACH]


def test_who_looks_seldom_misses_nothing(folder: RunFolder) -> None:
    history = History(folder)
    _told(folder, history, 9)
    Events(folder).write("evaluation", step=9 * EACH, split="validation", loss=1.0)  # not looked at yet
    assert [event["step"] for event in history[10:]] == list(range(10, 9 * EACH))


@pytest.mark.parametrize("to", [5, 8 * EACH])
def test_a_rewind_voids_what_is_in_memory_and_what_is_not(folder: RunFolder, to: int) -> None:
    history = History(folder)
    _told(folder, history, 9)
    events = Events(folder)
    events.write("rewound", to=to)
    events.write("evaluation", step=to + 1, split="validation", loss=2.0)
    assert [event["event"] for event in history.look()] == ["rewound", "evaluation"]
    assert history.voided == 1
    assert list(history) == folder.events()
    assert len(history) == to + 3
    assert _told(folder, history, 9)[-1] == len(history) - 1
    assert list(history) == folder.events()
