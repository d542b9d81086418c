"""The list of runs reads a live run's log as it grows: what it says must be what the whole log says."""

from pathlib import Path

import pytest

from descent.run.events import Events
from descent.run.folder import RunFolder
from tui.data.runs import RunSummary


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    return RunFolder(tmp_path)


def _evaluate(folder: RunFolder, step: int, *losses: float | None, split: str = "validation") -> None:
    events = Events(folder.path)
    for member, loss in enumerate(losses):
        events.write("evaluation", step=step, split=split, member=member, loss=loss, accuracy=0.5)
    events.close()


def test_a_run_that_has_said_nothing_yet(folder: RunFolder) -> None:
    told = RunSummary(folder)
    told.look()
    assert (told.state, told.began, told.total, told.reached()) == ({}, {}, None, {})


def test_each_look_takes_up_what_is_new(folder: RunFolder) -> None:
    told, events = RunSummary(folder), Events(folder.path)
    events.state("starting", host="here")
    events.write("plan", step=0, total_steps=900)
    told.look()
    assert (told.state["state"], told.began["host"], told.total) == ("starting", "here", 900)
    events.state("running", step=0)
    _evaluate(folder, 10, 0.5)
    _evaluate(folder, 20, 0.25)
    _evaluate(folder, 20, 0.75, split="test")
    told.look()
    assert told.state["state"] == "running"
    assert told.began["host"] == "here"
    assert told.reached() == {"validation": (0.25, 0.5), "test": (0.75, 0.5)}


def test_of_members_the_mean_of_those_of_the_last_step_or_the_winner(folder: RunFolder) -> None:
    told = RunSummary(folder)
    _evaluate(folder, 10, 0.9, 0.9, 0.1)
    _evaluate(folder, 20, 0.2, 0.4)  # the third trains no more
    told.look()
    assert told.reached() == {"validation": (pytest.approx(0.3), 0.5)}
    Events(folder.path).write("winner", members=[2])
    told.look()
    assert told.reached() == {"validation": (0.1, 0.5)}
    _evaluate(folder, 30, None, None, None)
    told.look()
    assert told.reached() == {"validation": (None, 0.5)}


def test_a_rewind_voids_what_was_told(folder: RunFolder) -> None:
    told = RunSummary(folder)
    _evaluate(folder, 10, 0.5)
    _evaluate(folder, 20, 0.25)
    told.look()
    Events(folder.path).write("rewound", to=15)
    told.look()
    assert told.reached() == {"validation": (0.5, 0.5)}
    _evaluate(folder, 16, 0.4)
    told.look()
    assert told.reached() == {"validation": (0.4, 0.5)}


def test_another_run_of_the_same_name_is_read_from_its_beginning(folder: RunFolder) -> None:
    told = RunSummary(folder)
    for step in range(9):
        _evaluate(folder, step, 0.5)
    told.look()
    folder.events_file.unlink()
    told.look()
    assert told.reached() == {}
    _evaluate(folder, 1, 0.7)
    told.look()
    assert told.reached() == {"validation": (0.7, 0.5)}


def test_a_long_log_does_not_stay_in_memory(folder: RunFolder) -> None:
    told = RunSummary(folder)
    for step in range(500):
        _evaluate(folder, step, 0.5)
        told.look()
    assert len(told.last) + len(told._evaluations) == 2
