"""The text of a lab beside its run: else a learner would not know what to do, or what was asked."""

from pathlib import Path

import pytest

from engine.labs import flow, progress
from engine.labs.library import find_lab
from tui.data.labs import look_at_lab
from tui.widgets.lab_guide import to_do


def test_a_task_that_is_done_stays_whole_until_the_next_one_is_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The question of a task would go from the screen at the end of the run that is to answer it."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.chdir(tmp_path)
    lab = find_lab("first-run")
    flow.start(lab, tmp_path)
    progress.predicted(lab.id, {"larger": "both"})
    first, second, third = (str(task.text) for task in lab.model.tasks)

    def shown(*deeds: str) -> list[str]:
        progress.did(lab.id, *deeds)
        return to_do(look_at_lab(lab.id))

    assert shown("opened fit") == [f"## Task 1 of 3\n\n{first}"]
    assert shown("ran") == [f"## ✓ Task 1 of 3\n\n{first}", f"## Task 2 of 3\n\n{second}"]
    *whole, short = shown("changed")
    assert whole == [f"## ✓ Task 2 of 3\n\n{second}", f"## Task 3 of 3\n\n{third}"]
    assert short.startswith("✓ Press enter to train.")
    progress.attempted(lab.id, passed=True, met=2, of=2, checks=[])
    assert next(part.split("\n")[0] for part in to_do(look_at_lab(lab.id))) == "## All tasks are done"


def test_a_task_that_is_done_before_its_turn_is_ticked_off_in_its_turn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A learner who turns the knob first would never read what to look for."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.chdir(tmp_path)
    lab = find_lab("first-run")
    flow.start(lab, tmp_path)
    progress.predicted(lab.id, {"larger": "both"})
    first, second, third = (str(task.text) for task in lab.model.tasks)
    progress.did(lab.id, "ran", "changed")
    assert to_do(look_at_lab(lab.id)) == [f"## Task 1 of 3\n\n{first}"]
    progress.did(lab.id, "opened fit")
    assert to_do(look_at_lab(lab.id))[:2] == [f"## ✓ Task 2 of 3\n\n{second}", f"## Task 3 of 3\n\n{third}"]
