"""What a script pays for being watched is chosen from its first steps, whatever happens meanwhile."""

from pathlib import Path

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
