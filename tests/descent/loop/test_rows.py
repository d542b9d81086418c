"""What a script pays for being watched is chosen from its first steps, whatever happens meanwhile."""

from pathlib import Path

import torch
from torch import nn

from descent.loop.rows import MEASURED_FIRST, StepRows
from descent.run.folder import RunFolder


def test_a_rewind_in_the_first_steps_leaves_the_cadence_right(tmp_path: Path) -> None:
    """The clock goes back with the run: the step after it would take less than no time."""
    rows = StepRows(RunFolder(tmp_path), None, print, print)
    seconds, chosen = 100.0, []
    for step in range(2 * MEASURED_FIRST + 2):
        if step == 6:
            rows.begin_anew()
            seconds = 0.0
        measured = rows._measures = rows._is_measured(step)
        seconds += 0.011 if measured else 0.01
        rows.row.seconds, rows.row.cost = seconds, 0.001 if measured else 0.0
        chosen.append(rows.choose_cadence())
    assert chosen == [False] * (2 * MEASURED_FIRST + 1) + [True]
    assert rows.every in (10, 20)  # a tenth of a step, at a hundredth of the time, however 0.1 / 0.01 is rounded


def test_an_accuracy_that_comes_late_is_told_once(tmp_path: Path) -> None:
    """It was dropped without a word, since rows have no column for it."""
    told: list[str] = []
    rows, model = StepRows(RunFolder(tmp_path), 1, told.append, print), nn.Linear(2, 1)
    rows.watch(model, torch.device("cpu"))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for step in range(4):
        rows.watch_forward(step)
        loss = model(torch.ones(3, 2)).mean()
        loss.backward()
        rows.row.heard.append(loss.detach())
        rows.before_update(step)
        optimizer.step()
        rows.after_update(0.1)
        rows.row.accuracy = torch.tensor(0.5) if step > 1 else None
        assert rows.finish(step + 1)
    rows.close()
    assert len(told) == 1
    assert told[0].startswith("accuracy was given at step 3 for the first time and is not kept")
