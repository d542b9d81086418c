"""The top line says whether a loop of one's own goes on exactly, in as many words as there is room for."""

import pytest

from tui.data.snapshot import Snapshot
from tui.widgets.lines import width_of
from tui.widgets.top_line import top_line

WHY = "not tracked: noise (Generator)"


def shown(width: int, **more: object) -> str:
    known = {"step": 120, "total_steps": 3000, "epoch": 0.4, "epochs": 10.0, "speed": 210.0, **more}
    state = known.pop("state", "running")
    line = top_line(Snapshot("train", "train-231114-221320-kqzt", state, **known), width)  # type: ignore[arg-type]
    assert width_of(line) <= width
    return "".join(piece.text for piece in line)


@pytest.mark.parametrize(("width", "told"), [(80, "not exact"), (120, "not exact"), (200, f"not exact: {WHY}")])
def test_a_loop_that_may_end_otherwise_says_so(width: int, told: str) -> None:
    """Whoever goes back or resumes would trust what comes then."""
    line = shown(width, is_exact=False, why_not_exact=WHY)
    assert f"  {told}  " in line or f"  {told} " in line
    assert ("noise" in line) == ("noise" in told)
    assert "120" in line


def test_an_exact_loop_says_so_and_a_preset_nothing() -> None:
    """Nobody would know that they may rely on it."""
    assert "exact ✓" in shown(80, is_exact=True)
    assert "exact" not in shown(200)


def test_a_paused_run_has_no_time_at_which_it_is_done() -> None:
    """It would stand still, and be wrong from the first second on."""
    assert "ETA  0:14" in shown(120)
    assert "ETA" not in shown(120, state="paused")
